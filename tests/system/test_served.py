"""`guardrail serve` as a process of its own: changes seen without a restart, a full disk, an orderly end."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from guardrail.inference.weights import Models
from tests.server import upstream as script
from tests.server.conftest import ROUTE
from tests.server.upstream import ScriptedUpstream
from tests.system.conftest import CLEAN, JSON, Got, System, wait_for

GUARDRAIL = (sys.executable, "-c", "from guardrail.cli import main; main()")
POLICY = """
version: 1
name: strict
rules:
  - id: {rule}
    when: {{prompt.undress: {at_least}}}
    action: block
    says: asks to undress
"""


@dataclass
class Served:
    """A running `guardrail serve`; what it says is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    home: Path
    call = System.call

    def generate(self, prompt: str = "a red bicycle") -> Got:
        return self.call("POST", ROUTE, json.dumps({"prompt": prompt}).encode(), JSON)


@contextmanager
def serving(models: Models, home: Path, *flags: str, **environ: str) -> Iterator[tuple[Served, ScriptedUpstream]]:
    with ScriptedUpstream() as upstream:
        upstream.script = lambda heard: script.images(CLEAN)
        home.mkdir(parents=True)
        log = home / "log"
        command = [*GUARDRAIL, "serve", "--port", "0", "--upstream", f"openai={upstream.url}"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *flags],
                stderr=out,
                stdout=out,
                env={**os.environ, "GUARDRAIL_HOME": str(home), "GUARDRAIL_MODELS_CACHE": str(models.cache), **environ},
            )
        served = Served(process, log, 0, home)
        try:
            wait_for(lambda: "listens on http://" in log.read_text() or process.poll() is not None, 30)
            said = log.read_text()
            assert process.poll() is None, said
            served.port = int(said.partition("listens on http://127.0.0.1:")[2].split()[0])
            wait_for(lambda: served.call("GET", "/readyz").status == 200, 30)
            yield served, upstream
        finally:
            process.terminate()
            status = process.wait(40)
        assert status == 0


@pytest.mark.parametrize("how", ["SIGHUP", "watched"])
def test_a_changed_policy_holds_without_a_restart_and_a_broken_one_never_does(models, tmp_path, how):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(rule="first", at_least=1.0))
    watch = "false" if how == "SIGHUP" else "true"
    with serving(models, tmp_path / "home", "--policy", str(policy), GUARDRAIL_POLICY_WATCH=watch) as (
        served,
        upstream,
    ):

        def change(text: str) -> None:
            policy.write_text(text)
            if how == "SIGHUP":
                served.process.send_signal(signal.SIGHUP)

        prompt = "without clothes"
        assert served.generate(prompt).status == 200
        change(POLICY.format(rule="second", at_least=0.5))
        wait_for(lambda: served.generate(prompt).status == 400)
        assert served.generate(prompt).error["moderation_details"]["categories"] == ["second"]
        assert served.generate().status == 200
        change(POLICY.format(rule="third", at_least=50))
        wait_for(lambda: "not reloaded" in served.log.read_text())
        assert served.generate(prompt).error["moderation_details"]["categories"] == ["second"]
        calls = len(upstream.calls)
        assert served.generate(prompt).status == 400
        assert len(upstream.calls) == calls
    assert prompt not in served.log.read_text()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux only")
def test_with_a_full_disk_under_the_records_nothing_leaves_and_when_there_is_space_it_goes_on(models, tmp_path):
    with serving(models, tmp_path / "home") as (served, upstream):
        assert served.generate().status == 200
        largest = max(file.stat().st_size for file in served.home.rglob("audit*") if file.is_file())
        limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (largest // 2, resource.RLIM_INFINITY))
        for prompt in ("a red bicycle", "take off her clothes, my neighbour"):
            got = served.generate(prompt)
            assert (got.status, got.code) == (503, "audit_unavailable")
            assert b"b64_json" not in got.body
            assert int(got.headers["retry-after"]) > 0
        upstream.script = lambda heard: script.events([script.event("image_generation.completed", CLEAN)])
        body = b'{"prompt": "a red bicycle", "stream": true}'
        got = served.call("POST", ROUTE, body, JSON)
        assert b"b64_json" not in got.body
        assert got.status == 503
        assert served.call("GET", "/healthz").status == 200
        assert served.call("GET", "/readyz").status == 503
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, limits)
        upstream.script = lambda heard: script.images(CLEAN)
        wait_for(lambda: served.call("GET", "/readyz").status == 200)
        assert served.generate().status == 200
    done = subprocess.run(
        [*GUARDRAIL, "audit", "verify"],
        env={**os.environ, "GUARDRAIL_HOME": str(served.home)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_registry_that_changes_from_another_process_is_seen(models, tmp_path, portrait):
    with serving(models, tmp_path / "home") as (served, upstream):
        upstream.script = lambda heard: script.images(portrait)
        assert served.generate().status == 200
        (tmp_path / "portrait.jpg").write_bytes(portrait)
        told = subprocess.run(
            [*GUARDRAIL, "registry", "add", tmp_path / "portrait.jpg", "--label", "E", "--json"],
            env={**os.environ, "GUARDRAIL_HOME": str(served.home), "GUARDRAIL_MODELS_CACHE": str(models.cache)},
            capture_output=True,
            check=True,
            timeout=30,
        )
        assert json.loads(told.stdout)["id"].startswith("p-")
        wait_for(lambda: served.generate().status == 400, 3)
        assert served.generate().error["moderation_details"]["categories"] == ["protected-output"]


def test_what_is_in_flight_when_it_is_told_to_end_is_answered(models, tmp_path):
    with serving(models, tmp_path / "home") as (served, upstream):
        upstream.script = lambda heard: script.late(script.images(CLEAN), 1.0)
        got: list[Got] = []
        caller = threading.Thread(target=lambda: got.append(served.generate()))
        caller.start()
        wait_for(lambda: bool(upstream.calls))
        served.process.terminate()
        caller.join(20)
    assert got[0].status == 200
