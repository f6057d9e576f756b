"""A plain dialect and a guard that judges by words, behind the interfaces of the real ones."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.policy.unjudged import turned_back, word_of
from guardrail.types import Action, Artifact, Decision, Kind, Reason, Receipt, Request, Stage
from guardrail.upstream.dialect import Answer, Call, Door, Event, Forward, Reply

JSON = [("content-type", "application/json")]


class PlainDialect:
    """JSON in, JSON out: {"prompt", "images": [base64], "file", "stream"} and {"data": [{"b64_json"}]}."""

    name = "plain"

    def door(self, method: str, path: str) -> Door:
        if (method, path) == ("POST", "/v1/images/generations"):
            return Door.JUDGED
        if (path == "/v1/models" and method == "GET") or path == "/v1/say":
            return Door.PASSED
        return Door.CLOSED

    async def read(self, method, path, query, headers, body, fetch, fetch_file) -> Call:
        try:
            asked = json.loads(body)
        except ValueError:
            raise BadRequest("the body is not JSON", code="not_json") from None
        if not isinstance(asked, dict) or not isinstance(asked.get("prompt"), str):
            raise BadRequest("prompt: a text is expected", param="prompt")
        if asked.get("explode"):
            raise RuntimeError(f"a bug that quotes {asked['prompt']}")
        data = [base64.b64decode(one) for one in asked.get("images", [])]
        if "file" in asked:
            data.append((await fetch_file(asked["file"])).data)
        if "url" in asked:
            data.append((await fetch(asked["url"], param="url")).data)
        inputs = tuple(Artifact(Kind.INPUT, f"image[{at}]", data=one) for at, one in enumerate(data))
        request = Request(
            (Artifact(Kind.PROMPT, "prompt", text=asked["prompt"]),),
            inputs,
            count=asked.get("n", 1),
            stream=asked.get("stream", False),
        )
        target = f"{path}?{query}" if query else path
        return Call(request, Forward(method, target, headers, body), "generate")

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        return Reply(400, JSON, json.dumps(_refusal(decision)).encode())

    def fault(self, error: GuardrailError) -> Reply:
        headers = list(JSON)
        status = 500
        if isinstance(error, BadRequest | UpstreamError):
            status = error.status
        elif isinstance(error, Overloaded):
            status = 503
            headers.append(("retry-after", str(error.retry_after_s)))
        elif isinstance(error, AuditError):
            status = 503
        return Reply(status, headers, json.dumps(_fault(error)).encode())

    async def read_answer(self, call, status, headers, body, fetch) -> Answer:
        if status >= 400:
            return Answer(status, headers, body, (), ())
        if any(name == "content-encoding" for name, _ in headers):
            raise UpstreamError("the answer is compressed")
        try:
            entries = json.loads(body)["data"]
            pictures = [base64.b64decode(entry["b64_json"], validate=True) for entry in entries]
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise UpstreamError("the answer holds no pictures") from None
        if not pictures:
            raise UpstreamError("the answer holds no pictures")
        artifacts = tuple(Artifact(Kind.OUTPUT, f"data[{at}]", data=one) for at, one in enumerate(pictures))
        return Answer(status, headers, body, artifacts, tuple(range(len(pictures))))

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: str) -> Reply:
        if one_bad == "refuse-all" or len(refused) == len(answer.entries):
            return self.refuse(next(iter(refused.values())), Stage.OUTPUT)
        said = json.loads(answer.body)
        said["data"] = [_refusal(refused[at]) if at in refused else one for at, one in enumerate(said["data"])]
        return Reply(answer.status, answer.headers, json.dumps(said).encode())

    def read_stream(self, call: Call) -> PlainStream:
        return PlainStream()


def _refusal(decision: Decision) -> dict[str, Any]:
    assert decision.receipt is not None
    return {"error": {"code": "refused", "rules": list(decision.rules), "receipt": decision.receipt.id}}


def _fault(error: GuardrailError) -> dict[str, Any]:
    return {"error": {"code": getattr(error, "code", type(error).__name__), "message": str(error)}}


class PlainStream:
    """Events end at an empty line."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, chunk: bytes) -> list[Event]:
        *ready, self.held = (self.held + chunk).split(b"\n\n")
        return [self._event(one + b"\n\n") for one in ready]

    def _event(self, raw: bytes) -> Event:
        said = json.loads(raw.partition(b"data: ")[2])
        kind = said.get("type", "")
        picture = said.get("b64_json")
        found = (Artifact(Kind.OUTPUT, kind, data=base64.b64decode(picture)),) if picture else ()
        return Event(raw, found, final=kind.endswith("completed"), error="error" in said)

    def close(self) -> list[Event]:
        if self.held:
            raise UpstreamError("the stream was cut within an event")
        return []

    def refuse(self, decision: Decision) -> bytes:
        return f"data: {json.dumps(_refusal(decision))}\n\n".encode()

    def fault(self, error: GuardrailError) -> bytes:
        return f"data: {json.dumps(_fault(error))}\n\n".encode()


@dataclass
class Sealed:
    """One record: what it was about, and when it was written."""

    id: str
    status: str
    action: Action
    said: str
    at: float
    tenant: str


class WordGuard:
    """Judges by words: "forbidden" in a prompt and BAD in a picture block, HOLD in a picture holds, FLAG flags."""

    def __init__(self) -> None:
        self.records: list[Sealed] = []
        self.judged: list[bytes] = []
        self.fail_records: set[str] = set()
        self.full = False
        self.explodes = False
        self.takes_s = 0.0
        self.judging = threading.Event()
        self.started = False
        self.closed_with: int | None = None
        self.reloads = 0
        self.warm_s = 0.0
        # Why the next warm-ups fail, one after another.
        self.cold: list[str | Exception] = []

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        return (True, {}) if self.started else (False, {"models": "not started"})

    def open(self, request: Request, *, route: str) -> WordCase:
        return WordCase(self, request)

    def admit(self) -> None:
        if self.full:
            raise Overloaded("the queue is full", retry_after_s=3.0)

    async def reload(self) -> list[str]:
        self.reloads += 1
        return []

    async def start(self) -> str:
        await asyncio.sleep(self.warm_s)
        if self.cold:
            why = self.cold.pop(0)
            if isinstance(why, Exception):
                raise why
            return why
        self.started = True
        return ""

    async def close(self) -> None:
        self.closed_with = len(self.records)

    @property
    def statuses(self) -> list[str]:
        return [record.status for record in self.records]


class WordCase:
    count = 0

    def __init__(self, guard: WordGuard, request: Request) -> None:
        WordCase.count += 1
        self.id = f"case-{WordCase.count}"
        self.guard = guard
        self.request = request
        self.so_far = self._decision(Action.ALLOW, Stage.PROMPT)

    async def judge_request(self) -> Decision:
        for one in self.request.inputs:
            if b"UNREADABLE" in (one.data or b""):
                why = f"{one.slot}: not a picture"
                self.so_far = turned_back(self.so_far, why)
                raise BadRequest(why, param=one.slot, code="invalid_image")
            if b"BUG" in (one.data or b""):
                raise RuntimeError("a bug in the pipeline")
        texts = " ".join(artifact.text or "" for artifact in self.request.texts)
        bad = "forbidden" in texts or any(b"BAD" in (one.data or b"") for one in self.request.inputs)
        return self._decision(Action.BLOCK if bad else Action.ALLOW, Stage.PROMPT)

    async def judge_outputs(self, outputs: Sequence[Artifact], texts: Sequence[Artifact] = ()) -> list[Decision]:
        self.guard.judging.set()
        if self.guard.explodes:
            raise RuntimeError("a bug in the pipeline")
        if self.guard.takes_s:
            await asyncio.sleep(self.guard.takes_s)
        decisions = []
        for one in outputs:
            self.guard.judged.append(one.data or b"")
            words = {b"BAD": Action.BLOCK, b"HOLD": Action.HOLD, b"FLAG": Action.FLAG}
            action = next((words[word] for word in words if word in (one.data or b"")), Action.ALLOW)
            decisions.append(self._decision(action, Stage.OUTPUT))
        if texts and not outputs:
            bad = any("forbidden" in (one.text or "") for one in texts)
            return [self._decision(Action.BLOCK if bad else Action.ALLOW, Stage.OUTPUT)]
        return decisions

    def _decision(self, action: Action, stage: Stage) -> Decision:
        reasons = (Reason(f"no-{stage.value}", action, {}),) if action else ()
        return Decision(action, reasons, "words@1", stage=stage)

    def overall(self, decisions: Sequence[Decision]) -> Decision:
        return max(decisions, key=lambda decision: decision.action)

    async def seal(self, decision: Decision, *, status: str) -> Receipt:
        await asyncio.sleep(0)
        if status in self.guard.fail_records or "*" in self.guard.fail_records:
            raise AuditError("the disk is full")
        last = [record.id for record in self.guard.records if record.status != "streaming"]
        if status != "streaming" and self.id in last:
            raise AuditError("a case has one last record")
        said = word_of(decision, status)
        self.guard.records.append(Sealed(self.id, status, decision.action, said, time.monotonic(), self.request.tenant))
        return Receipt(self.id, "words@1", (), (), {})

    def headers(self, decision: Decision, receipt: Receipt) -> list[tuple[str, str]]:
        return [
            ("x-guardrail-decision", decision.action.word),
            ("x-guardrail-receipt", receipt.id),
            ("x-guardrail-checked", "prompt=1/1"),
            ("x-guardrail-policy", receipt.policy),
        ]
