"""A running proxy as the judge: latency and decision together, as a caller meets them."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from guardrail.errors import ConfigError
from guardrail.evaluate.judging import About, Seen, content
from guardrail.evaluate.rows import Row

REFUSED = "proxy.refused"
"""The one signal: 1 where the answer was a refusal, 0 where it was an answer."""
PATIENCE_S = 600.0
ANSWER_BYTES = 256 << 20
REFUSALS = frozenset({"hold", "block"})


class ProxyJudge:
    """Sends each row as an OpenAI Images call: `generations` for a text, `edits` where the row has an input picture.

    What the answer's `x-guardrail-decision` says is the action; without that header (a generator of its own) a 4xx
    with an error is a refusal. Anything else that is no answer is an error of the row: it could not be asked. Which
    policy and models stand behind the address cannot be told from here. `headers_digest` stands for the headers, which
    may hold a credential, in what a run is made with.
    """

    def __init__(
        self, url: str, *, model: str, headers: Mapping[str, str] | None = None, headers_digest: str = ""
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"--proxy {url}: an http or https address is expected")
        self._parts = parts
        self._base = parts.path.rstrip("/").removesuffix("/v1")
        self._model = model
        self._headers = dict(headers or {})
        place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        self.about = About(
            (f"proxy@{place}",),
            frozenset({REFUSED}),
            claims={"*": REFUSED},
            thresholds={REFUSED: (1.0,)},
            settings={"scheme": parts.scheme, "path": self._base, "model": model, "headers": headers_digest},
            settled=False,
        )

    def judge(self, rows: Sequence[Row]) -> list[Seen]:
        return [self._ask(row) for row in rows]

    def _ask(self, row: Row) -> Seen:
        """Texts that came apart are one call each; the row is refused when one of them is."""
        began = time.perf_counter()
        rules: tuple[str, ...] = ()
        action = "allow"
        for text in row.texts or ("",):
            try:
                status, headers, body = self._send(text, [content(one) for one in row.inputs])
            except (OSError, http.client.HTTPException) as error:
                return self._unasked(f"the proxy can't be asked: {type(error).__name__}", began)
            told = headers.get("x-guardrail-decision")
            if status != 200 and told not in REFUSALS and not _said_no(body):
                return self._unasked(f"the proxy answered {status} without a refusal", began)
            if status != 200 or told in REFUSALS:
                action, rules = told if told in REFUSALS else "block", _rules(body)
                break
            action = told or action
        took_ms = (time.perf_counter() - began) * 1000.0
        return Seen({REFUSED: float(action in REFUSALS)}, {}, took_ms, action=action, rules=rules)

    @staticmethod
    def _unasked(why: str, began: float) -> Seen:
        return Seen({}, {REFUSED: why}, (time.perf_counter() - began) * 1000.0, action="unscored")

    def _send(self, text: str, pictures: Sequence[bytes]) -> tuple[int, dict[str, str], bytes]:
        if pictures:
            path, kind, body = f"{self._base}/v1/images/edits", *_form(text, self._model, pictures)
        else:
            path, kind = f"{self._base}/v1/images/generations", "application/json"
            body = json.dumps({"model": self._model, "prompt": text, "n": 1, "size": "256x256"}).encode()
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            link: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=PATIENCE_S, context=ssl.create_default_context()
            )
        else:
            link = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        try:
            link.request("POST", path, body, {"content-type": kind, **self._headers})
            answer = link.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read(ANSWER_BYTES)
        finally:
            link.close()


def _form(text: str, model: str, pictures: Sequence[bytes]) -> tuple[str, bytes]:
    edge = uuid.uuid4().hex
    parts = []
    for name, value in (("model", model), ("prompt", text)):
        parts.append(f'--{edge}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for at, picture in enumerate(pictures):
        name = "image" if len(pictures) == 1 else "image[]"
        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        told = f'form-data; name="{name}"; filename="{at}"'
        head = f"--{edge}\r\ncontent-disposition: {told}\r\ncontent-type: {kind}\r\n\r\n"
        parts.append(head.encode() + picture + b"\r\n")
    return f"multipart/form-data; boundary={edge}", b"".join(parts) + f"--{edge}--\r\n".encode()


def _said_no(body: bytes) -> bool:
    """Whether an error is a refusal of the content, by the codes that generators use for it."""
    error = _error(body)
    return str(error.get("code")) in {"moderation_blocked", "content_policy_violation"}


def _rules(body: bytes) -> tuple[str, ...]:
    details = _error(body).get("moderation_details")
    rules = details.get("categories") if isinstance(details, dict) else None
    return tuple(str(rule) for rule in rules) if isinstance(rules, list) else ()


def _error(body: bytes) -> dict[str, object]:
    try:
        error = json.loads(body).get("error")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def read_headers(file: Path) -> dict[str, str]:
    """Headers from a file of NAME: VALUE lines: what stands on a command line, everybody on the machine can read."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--headers {file}: cannot be read: {type(error).__name__}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise ConfigError(f"--headers {file}:{number}: NAME: VALUE is expected")
        if line.strip():
            found[name.strip().lower()] = value.strip()
    return found
