"""A guard that runs in front of a scripted generator, and a client in an environment of its own that talks to it.

The dialect, policy, audit log and server are real. Checks are the only stand-ins: the word "forbidden" in a text
and the bytes FORBIDDEN in a picture are what they find. Whatever leaves to the client is kept, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from guardrail.audit import AuditLog, verify
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings, Upstream
from guardrail.server.app import App
from guardrail.server.process import Server, listen
from guardrail.types import Kind
from guardrail.upstream.dialect import Dialect
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.stand_ins import Asks

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
LEAST_NODE = 20  # what the packages say that they need
MARK = b"FORBIDDEN"
# In base64 it reads in three ways, by where it begins; the characters at both ends hang on what is beside it.
_SPELLED = (MARK, *(base64.b64encode(bytes(at) + MARK)[start : 12 + at] for at, start in enumerate((0, 2, 3))))
POLICY = """
version: 1
name: conformance
on_unknown: hold
rules:
  - id: bad-words
    when: {prompt.sexual: 0.5}
    action: block
    says: a word that is refused
  - id: bad-input
    when: {input.known: 0.5}
    action: block
    says: a picture that is refused
  - id: bad-output
    when: {output.known: 0.5}
    action: block
    says: a picture that is refused
"""


def painted(colour: int, tail: bytes = b"") -> bytes:
    """A PNG; `tail` stands behind its end, for a stand-in check to find."""
    out = io.BytesIO()
    Image.new("RGBA", (16, 16), (colour, 80, 120, 255)).save(out, "PNG")
    return out.getvalue() + tail


GOOD, OTHER, MASK, BAD = painted(10), painted(20), painted(40), painted(30, MARK)


def sha(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def by_model(heard: Heard) -> str:
    """The scenario of a request of OpenAI's protocols: the model that it asks for, in JSON or in a form."""
    if heard.body.lstrip()[:1] == b"{":
        return str(json.loads(heard.body).get("model", ""))
    return heard.body.partition(b'name="model"\r\n\r\n')[2].partition(b"\r\n")[0].decode()


@dataclass
class Asked(Heard):
    """What a client sent the guard, and every byte that left to it. A websocket has no status but 101."""

    status: int = 0
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)


class Tapped(App):
    """The server's application, which keeps what it was asked and what it answered."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.asked: list[Asked] = []
        self._tap = Tap(super().__call__, self.asked)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._tap(scope, receive, send)


class Tap:
    """An ASGI application that keeps what another was asked and what it answered."""

    def __init__(self, app: Any, asked: list[Asked]) -> None:
        self.app = app
        self.asked = asked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        asked = Asked(scope.get("method", "GET"), target.decode("latin-1"), _plain(scope["headers"]), b"")
        self.asked.append(asked)

        async def heard() -> Any:
            message = await receive()
            asked.body += message.get("body", b"") if message["type"] == "http.request" else _frame(message)
            return message

        async def said(message: Any) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                asked.status = message.get("status", 101)
                asked.answer_headers = _plain(message.get("headers", ()))
            asked.answer += message.get("body", b"") if message["type"] == "http.response.body" else _frame(message)
            await send(message)

        await self.app(scope, heard, said)


def _plain(headers: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _frame(message: Any) -> bytes:
    return bytes(message.get("bytes") or (message.get("text") or "").encode())


def leaked(asked: list[Asked]) -> list[str]:
    """The requests whose answers held a piece of a refused picture, as it is or in base64."""
    return [f"{one.method} {one.target}" for one in asked if any(piece in one.answer for piece in _SPELLED)]


@dataclass
class Saw:
    """What one client saw, what the generator heard and the guard answered, and what is wrong with the record."""

    results: dict[str, Any]
    heard: list[Any]
    asked: list[Asked]
    scenario_of: Callable[[Any], str]
    faults: list[Any]
    refusals: int
    """How many requests the guard refused by decision: a client that tries a refusal again is seen here."""
    version: str

    @property
    def calls(self) -> Counter[str]:
        """How often the generator was asked in each scenario."""
        return Counter(self.scenario_of(heard) for heard in self.heard)

    def sent(self, scenario: str) -> list[Any]:
        """What reached the generator in a scenario."""
        return [heard for heard in self.heard if self.scenario_of(heard) == scenario]

    def tries(self, scenario: str) -> list[Asked]:
        """What the client asked the guard in a scenario, and what it was answered: one, unless it tried again."""
        return [asked for asked in self.asked if self.scenario_of(asked) == scenario]

    def leaked(self) -> list[str]:
        """The requests whose answers held a piece of a refused picture, as it is or in base64."""
        return leaked(self.asked)


def program_of(environment: str) -> Path:
    """What runs the scripts of an environment: its Python, or node; skips the test where there is none."""
    if environment == "node":
        own = ROOT / ".venv-node" / "bin" / "node"
        found = str(own) if own.exists() else shutil.which("node")
        if found is None:
            pytest.skip("not run: there is no node on this machine; `make clients` installs one")
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        if not new_enough(said):
            pytest.skip(f"not run: {found} is {said or 'no Node.js'}, and {LEAST_NODE} or later is expected")
        if not (HERE / "node" / "node_modules" / ".installed").exists():
            pytest.skip("not run: the npm clients are not installed; `make clients` does it where npm is there")
        return Path(found)
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"not run: no .venv-{environment}; `make clients` makes it")
    return python


def new_enough(said: str) -> bool:
    """True for a version of Node.js, as it says it, that the npm clients run on."""
    major = said.removeprefix("v").partition(".")[0]
    return major.isdigit() and int(major) >= LEAST_NODE


@dataclass
class Serving:
    """A guard that listens, and what is asked of it."""

    app: Tapped | Tap
    port: int
    metrics: Metrics
    audit: tuple[str, bytes]

    @property
    def refusals(self) -> int:
        """How many requests the guard refused by decision."""
        samples = (sample for metric in self.metrics.registry.collect() for sample in metric.samples)
        counted = (one for one in samples if one.name == "guardrail_requests_total")
        return int(sum(one.value for one in counted if one.labels["decision"] == "block"))


@contextmanager
def serving(dialect: Dialect, generator: Any, folder: Path, **upstream: Any) -> Iterator[Serving]:
    """A guard with that dialect, at the root of a loopback port, in front of `generator`, which has a `url`."""
    metrics = Metrics()
    guard, audit = judging(folder, metrics)
    app = Tapped(guard, {dialect.name: Upstream(dialect, generator.url, **upstream)}, ServerSettings(), metrics)
    server = Server(app, listen("127.0.0.1", 0), drain_s=5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Serving(app, server.address[1], metrics, audit)
    finally:
        server.stop()
        thread.join(20)


def judging(folder: Path, metrics: Metrics) -> tuple[Guard, tuple[str, bytes]]:
    """A guard that knows a word and a picture, and where its record is: the address and the key."""
    (folder / "policy.yaml").write_text(POLICY)
    words = Asks(lambda text: {"sexual": float("forbidden" in text.text)}, ["sexual"], [Kind.PROMPT], "words")
    marks = Asks(lambda one: {"known": float(MARK in one.data)}, ["known"], [Kind.INPUT, Kind.OUTPUT], "marks")
    url, key = f"sqlite:///{folder / 'audit.db'}", b"k" * 32
    guard = Guard(
        [words, marks],
        PolicyBook(folder / "policy.yaml"),
        digest_key=b"d" * 32,
        audit=AuditLog.open(url, key),
        observer=metrics,
    )
    return guard, (url, key)


def drive(
    dialect: Dialect,
    generator: Any,
    program: Path,
    client: str,
    folder: Path,
    scenario_of: Callable[[Any], str],
    **upstream: Any,
) -> Saw:
    """Run `client` (a script beside this one) as `program client PORT FOLDER` against a guard, and say what it saw.

    It prints a JSON object: the client's `version`, and as `results` what came of each scenario.
    `generator` runs already and has `url` and `calls`. `scenario_of` tells the scenario of a request, from what
    reached the generator as well as from what the client sent. `upstream` is what else the server is told of the
    generator: how pictures are fetched by address, say.
    """
    with serving(dialect, generator, folder, **upstream) as guard:
        said = played(program, client, guard.port, folder)
    return saw(said, guard, generator.calls, scenario_of)


def played(program: Path, client: str, port: int, folder: Path) -> dict[str, Any]:
    """What the client said of every scenario."""
    done = subprocess.run(
        [program, HERE / client, str(port), folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def saw(said: dict[str, Any], guard: Serving, heard: list[Any], scenario_of: Callable[[Any], str]) -> Saw:
    """All that is known of a run, once the guard has stopped."""
    return Saw(
        said["results"],
        heard,
        guard.app.asked,
        scenario_of,
        list(verify(*guard.audit)),
        guard.refusals,
        said["version"],
    )


def run_client(
    folder: Path,
    environment: str,
    client: str,
    dialect: Dialect,
    play: Callable[[Heard], Script],
    scenario_of: Callable[[Any], str],
    **upstream: Any,
) -> Saw:
    """Run `client` in `environment` against a guard with that dialect, before a generator that answers as `play` says.

    It finds good.png, other.png, mask.png and bad.png in the folder. A client of an npm package is the script of the
    same name in node/.
    """
    put_pictures(folder)
    if environment == "node":
        client = f"node/{client.removesuffix('_client.py')}.mjs"
    program = program_of(environment)
    with ScriptedUpstream() as generator:
        generator.script = play
        return drive(dialect, generator, program, client, folder, scenario_of, **upstream)


def put_pictures(folder: Path) -> None:
    """good.png, other.png, mask.png and bad.png, for a client to find."""
    for name, data in (("good", GOOD), ("other", OTHER), ("mask", MASK), ("bad", BAD)):
        (folder / f"{name}.png").write_bytes(data)
