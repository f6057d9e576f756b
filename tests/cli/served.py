"""`guardrail serve` as a process of its own, with a check that needs no weights."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli import plugin
from tests.server import upstream as script
from tests.server.upstream import ScriptedUpstream
from tests.system.conftest import Got

GUARDRAIL = (sys.executable, "-c", "from guardrail.cli import main; main()")
ROUTE = "/v1/images/generations"
PATIENCE_S = 300.0
"""A start takes about 1 s on an idle machine, and half a minute on one that has much else to do."""
CLEAN = b"a picture"


class House:
    """What a guard is started from: a home, a policy file, an installed check; and the generator behind it."""

    def __init__(self, folder: Path, upstream: ScriptedUpstream) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.policy = folder / "policy.yaml"
        self.policy.write_text(plugin.policy())
        self.opening = folder / "opening"
        self.upstream = upstream
        upstream.script = lambda heard: script.images(CLEAN)
        self._site = plugin.install(folder / "site")
        self._begun: list[Served] = []

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARDRAIL_")}
        path = os.pathsep.join([str(self._site), str(Path(__file__).parents[2])])
        return {**kept, "PYTHONPATH": path, "OPENING": str(self.opening), "GUARDRAIL_HOME": str(self.home), **more}

    def serve(self, *flags: str, port: int = 0, ready: bool = True, **environ: str) -> Served:
        """Start a guard; with `ready`, return once all of it takes requests."""
        command = [*GUARDRAIL, "--set", "checks.enabled=[words]", "serve", "--policy", str(self.policy)]
        command += ["--port", str(port), "--upstream", f"openai={self.upstream.url}", *flags]
        log = self.folder / f"log-{len(self._begun)}"
        with log.open("wb") as out:
            # A group of its own, as a terminal gives it.
            process = subprocess.Popen(
                command, stdout=out, stderr=out, env=self.environ(**environ), start_new_session=True
            )
        served = Served(process, log, port)
        self._begun.append(served)
        if ready:
            served.wait_ready()
        return served

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same home."""
        command = [*GUARDRAIL, *arguments]
        return subprocess.run(
            command, env=self.environ(**environ), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def close(self) -> None:
        """End whatever still runs."""
        for served in self._begun:
            for pid in [*served.workers(), served.process.pid]:
                if served.process.poll() is None:
                    os.kill(pid, signal.SIGKILL)
            served.process.wait(10)


@dataclass
class Served:
    """A guard that runs; what it says is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def said(self) -> str:
        return self.log.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        told = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in told if line["event"] == event]

    @property
    def listening(self) -> int:
        """How many times a process has said that it listens."""
        return self.said.count("listens on http://")

    def wait_ready(self, processes: int = 1) -> None:
        wait_for(lambda: self.listening >= processes or self.process.poll() is not None, PATIENCE_S)
        assert self.process.poll() is None, self.said
        self.port = int(self.said.partition("listens on http://127.0.0.1:")[2].split()[0].strip('",'))
        wait_for(lambda: self.call("GET", "/readyz").status == 200, PATIENCE_S)

    def call(self, method: str, path: str, body: bytes | None = None) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ask(self, prompt: str = "a red bicycle", **more: object) -> Got:
        return self.call("POST", ROUTE, json.dumps({"prompt": prompt, **more}).encode())

    def rules(self) -> list[str]:
        """The rules by which a forbidden prompt is refused now; empty where it is not."""
        got = self.ask("forbidden")
        return list(got.error["moderation_details"]["categories"]) if got.status == 400 else []

    def end(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_S) -> int:
        """Tell it to end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def workers(self) -> list[int]:
        """The server processes under a supervisor, as Linux knows them."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        below = [int(word) for word in children.read_text().split()] if children.exists() else []
        return [one for one in below if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
