"""A real server on a loopback port, in front of a scripted generator."""

from __future__ import annotations

import http.client
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from guardrail.server import Metrics, ServerSettings, Upstream, build_app
from guardrail.server.logs import start as start_logs
from guardrail.server.process import Server, listen
from tests.server.stand_ins import PlainDialect, WordGuard
from tests.server.upstream import ScriptedUpstream

ROUTE = "/v1/images/generations"


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A guard that listens, with everything a test looks at."""

    def __init__(self, guard: WordGuard, upstream: ScriptedUpstream, settings: ServerSettings, **more: Any) -> None:
        self.guard = guard
        self.upstream = upstream
        self.metrics = Metrics()
        base_url = more.pop("base_url", upstream.url)
        changed = more.pop("watch", None)
        dialect = more.pop("dialect", None) or PlainDialect()
        self.app = build_app(guard, {dialect.name: Upstream(dialect, base_url, **more)}, settings, self.metrics)
        if changed is not None:
            self.app.watch(changed)
        self.server = Server(self.app, listen("127.0.0.1", 0), drain_s=5)
        self.port = self.server.address[1]
        self.log = io.StringIO()
        self._stop_logs = start_logs(logging.DEBUG, self.log)
        self._thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        until = time.monotonic() + 10
        while not self.server.started and time.monotonic() < until:
            time.sleep(0.005)
        assert self.server.started
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._stop_logs()

    def connect(self, timeout: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Got:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Got(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def ask(self, prompt: str = "a red bicycle", headers: dict[str, str] | None = None, **more: Any) -> Got:
        body = json.dumps({"prompt": prompt, **more}).encode()
        return self.call("POST", ROUTE, body, {"content-type": "application/json", **(headers or {})})

    def logged(self, **said: Any) -> bool:
        """True once the log has a line with all of this."""
        return eventually(lambda: any(said.items() <= line.items() for line in self.lines()))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


Start = Callable[..., Running]


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def start(upstream: ScriptedUpstream) -> Iterator[Start]:
    """Starts servers with settings of a test's own, and stops them."""
    with ExitStack() as stack:

        def begin(settings: ServerSettings | None = None, guard: WordGuard | None = None, **more: Any) -> Running:
            return stack.enter_context(Running(guard or WordGuard(), upstream, settings or ServerSettings(), **more))

        yield begin


@pytest.fixture
def running(start: Start) -> Running:
    return start()


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.01)
    return true()
