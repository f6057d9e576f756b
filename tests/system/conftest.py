"""One guard with its real weights, behind a real server, in front of a scripted generator."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pybase64
import pytest

from guardrail.audit import AuditLog
from guardrail.cli.generator import paint
from guardrail.home import Home
from guardrail.inference.manifest import packaged
from guardrail.inference.weights import Models
from guardrail.pipeline import DEFAULT_CHECKS, Guard
from guardrail.pipeline.guard import open_checks
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings, Upstream, build_app
from guardrail.server.process import Server, listen
from guardrail.types import Check
from guardrail.upstream.fetch import SafeFetch
from guardrail.upstream.openai import OpenAIImages
from tests.checks.people import real_models
from tests.server import upstream as script
from tests.server.upstream import ScriptedUpstream

PICTURES = Path(__file__).parents[1] / "pictures"
MOST_GROWTH_MB = 300
"""How far one hostile call may raise the peak of memory: far below what unpacking a bomb would take (10 GB)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.weights)


@dataclass(frozen=True)
class Got:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, after a look at its envelope: the official client reads these four and no others."""
        said = self.json
        assert set(said) == {"error"}
        assert {"message", "type", "param", "code"} <= set(said["error"])
        found: dict[str, Any] = said["error"]
        return found

    @property
    def code(self) -> str:
        return str(self.error["code"])

    @property
    def receipt(self) -> str:
        return self.headers["x-guardrail-receipt"]


class System:
    """A guard that listens. `new_records` are those since the test began."""

    def __init__(self, guard: Guard, audit: AuditLog, upstream: ScriptedUpstream, home: Home, **more: Any) -> None:
        self.guard, self.audit, self.upstream, self.home = guard, audit, upstream, home
        metrics = Metrics()
        fetch = more.pop("fetch", None) or SafeFetch()
        base_url = more.pop("base_url", upstream.url)
        app = build_app(
            guard,
            {"openai": Upstream(OpenAIImages(), base_url, fetch=fetch)},
            more.pop("settings", ServerSettings()),
            metrics,
        )
        self.server = Server(app, listen("127.0.0.1", 0), drain_s=5)
        self.port = self.server.address[1]
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._known: set[str] = set()

    def __enter__(self) -> System:
        self._thread.start()
        # Warm, or known to be broken: a check may be here that fails.
        wait_for(lambda: self.server.started and self.guard.ready()[1].get("models") != "not started", 30)
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def begin(self) -> None:
        """A new test: forget calls and records of the one before."""
        self.upstream.calls.clear()
        self.upstream.script = lambda heard: script.images(CLEAN)
        self._known = {record.entry.id for record in self.audit.entries(limit=MANY)}

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Got(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def generate(self, prompt: str = "a red bicycle", **more: Any) -> Got:
        body = json.dumps({"prompt": prompt, "model": "demo", **more}).encode()
        return self.call("POST", "/v1/images/generations", body, JSON)

    def edit(self, picture: bytes, prompt: str = "make it autumn", *, form: bool = True, **more: Any) -> Got:
        """An edit, as a form or as JSON with a data URL."""
        if form:
            return self.call("POST", "/v1/images/edits", *multipart(picture, prompt=prompt, **more))
        url = "data:image/png;base64," + b64(picture)
        return self.edit_url(url, prompt, **more)

    def edit_url(self, url: str, prompt: str = "make it autumn", **more: Any) -> Got:
        body = json.dumps({"prompt": prompt, "images": [{"image_url": url}], **more}).encode()
        return self.call("POST", "/v1/images/edits", body, JSON)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Bodies of the records of this test, oldest first, each with its `id` and `action`."""
        found = [one.entry for one in self.audit.entries(limit=MANY) if one.entry.id not in self._known]
        return [{"id": one.id, "action": one.action, **one.body} for one in found[::-1] if one.kind == "decision"]

    def record(self, got: Got) -> dict[str, Any]:
        """The record that the receipt of an answer names."""
        (found,) = [one for one in self.records if one["id"] == got.receipt]
        return found

    def alive(self) -> bool:
        return self.call("GET", "/healthz").status == 200 and self.call("GET", "/readyz").status == 200


JSON = {"content-type": "application/json"}
CLEAN = paint("hills")
BOUNDARY = "c0ffee"
FULL = 8192
"""Bytes that a file may have on a disk that is full: one record takes more in the write-ahead log, wherever in it the
next one goes, and what a server says of a few requests less."""
MANY = 1000
"""More records than one session of these tests writes."""


def b64(data: bytes) -> str:
    return pybase64.b64encode(data).decode()


def multipart(picture: bytes, name: str = "image", **fields: object) -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'content-disposition: form-data; name="{name}"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n'
    parts.append(f"--{BOUNDARY}\r\n{head}".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode())
    return b"".join(parts), {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def wait_for(true: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"did not come true within {seconds} s"
        time.sleep(0.02)


def peak_mb() -> float:
    """The most memory this process has held since `forget_peak`, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0.0


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fails a test during which memory explodes. Says nothing where the kernel does not tell."""
    try:
        forget_peak()
        before = peak_mb()
    except OSError:
        yield
        return
    yield
    assert peak_mb() - before < MOST_GROWTH_MB


@pytest.fixture(scope="session")
def models() -> Models:
    """The default weights, opened once; skips where they were never pulled."""
    return real_models(*sorted(packaged().required_by(DEFAULT_CHECKS)))


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system")


Begin = Callable[..., System]


@pytest.fixture(scope="session")
def begin(models: Models, session_folder: Path) -> Iterator[Begin]:
    """Starts systems; they share the weights and end with the session.

    `name` is the folder of a system's state below the session's; `policy` and `checks` (more than the default ones)
    are the guard's, everything else the server's.
    """
    with ExitStack() as stack:

        def start(name: str, *, policy: str | Path = "default", checks: Sequence[Check] = (), **more: Any) -> System:
            home = Home(session_folder / name)
            audit = AuditLog.open(f"sqlite:///{home.folder() / 'audit.db'}", home.key("audit"))
            guard = Guard(
                [*open_checks(DEFAULT_CHECKS, models, home, {}), *checks],
                PolicyBook(policy),
                digest_key=home.key("digest"),
                audit=audit,
                threads=2,
                **more.pop("guard", {}),
            )
            upstream = stack.enter_context(ScriptedUpstream())
            return stack.enter_context(System(guard, audit, upstream, home, **more))

        yield start


@pytest.fixture(scope="session")
def shared(begin: Begin) -> System:
    return begin("shared")


@pytest.fixture
def system(shared: System, bounded: None) -> Iterator[System]:
    """The system that most tests share, as `guardrail serve` makes it; alive after each of them."""
    shared.begin()
    yield shared
    assert shared.alive()


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """A face of an adult."""
    return (PICTURES / "collins.jpg").read_bytes()


@pytest.fixture(scope="session")
def other_portrait() -> bytes:
    return (PICTURES / "hopper.jpg").read_bytes()
