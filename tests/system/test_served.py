"""`guardrail serve` as a process of its own: changes seen without a restart, a full disk, an orderly end."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
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
from tests.system.conftest import CLEAN, FULL, JSON, Got, System, wait_for

GUARDRAIL = (sys.executable, "-c", "from guardrail.cli import main; main()")
START_S = 60.0
"""About 3 on an idle machine, for each process."""
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
def serving(
    models: Models, home: Path, *flags: str, port: int = 0, **environ: str
) -> Iterator[tuple[Served, ScriptedUpstream]]:
    with ScriptedUpstream() as upstream:
        upstream.script = lambda heard: script.images(CLEAN)
        home.mkdir(parents=True)
        log = home / "log"
        command = [*GUARDRAIL, "serve", "--port", str(port), "--upstream", f"openai={upstream.url}"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *flags],
                stderr=out,
                stdout=out,
                env={**os.environ, "GUARDRAIL_HOME": str(home), "GUARDRAIL_MODELS_CACHE": str(models.cache), **environ},
            )
        served = Served(process, log, 0, home)
        try:
            wait_for(lambda: "listens on http://" in log.read_text() or process.poll() is not None, START_S)
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

        prompt = "remove her clothes"
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
        limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
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


def test_requests_under_way_while_policies_change_are_each_decided_by_one_of_them(models, tmp_path):
    """Twenty reloads, some of a broken file, under requests that never pause: no error, no third policy."""
    policy = tmp_path / "policy.yaml"
    texts = [POLICY.format(rule=rule, at_least=0.5) for rule in ("first", "second")]
    policy.write_text(texts[0])
    flags = ("--policy", str(policy))
    with serving(models, tmp_path / "home", *flags, GUARDRAIL_POLICY_WATCH="false") as (served, _):
        seen: list[tuple[int, tuple[str, ...]]] = []
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                refused, answered = served.generate("remove her clothes"), served.generate()
                seen.append((answered.status, tuple(refused.error["moderation_details"]["categories"])))

        callers = [threading.Thread(target=ask) for _ in range(3)]
        for caller in callers:
            caller.start()
        for at in range(20):
            policy.write_text("rules: [" if at % 4 == 3 else texts[(at + 1) % 2])
            served.process.send_signal(signal.SIGHUP)
            so_far = len(seen)
            wait_for(lambda so_far=so_far: len(seen) > so_far + 3)
        ended.set()
        for caller in callers:
            caller.join(20)
        reloads = [json.loads(line) for line in served.log.read_text().splitlines() if '"policies ' in line]
    assert set(seen) == {(200, ("first",)), (200, ("second",))}
    # Two signals that come while one is handled are one to the process.
    assert {line["event"] for line in reloads} == {"policies reloaded", "policies not reloaded, the old ones stay"}
    assert all(line["faults"] for line in reloads if line["level"] == "error")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux only: it finds the workers under /proc")
def test_a_worker_that_dies_is_replaced_and_all_of_them_reload_and_end_together(models, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(rule="first", at_least=0.5))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ("--policy", str(policy), "--workers", "2")
    with serving(models, tmp_path / "home", *flags, port=port, GUARDRAIL_POLICY_WATCH="false") as (served, _):

        def listening() -> int:
            return served.log.read_text().count("listens on http://")

        def rules() -> set[str]:
            """By which rules a score of connections, spread over the workers, is refused."""
            got = [served.generate("remove her clothes") for _ in range(20)]
            return {rule for one in got for rule in one.error["moderation_details"]["categories"]}

        wait_for(lambda: listening() == 2, START_S)
        assert rules() == {"first"}
        policy.write_text(POLICY.format(rule="second", at_least=0.5))
        served.process.send_signal(signal.SIGHUP)
        wait_for(lambda: rules() == {"second"})
        os.kill(workers_of(served.process.pid)[0], signal.SIGKILL)
        wait_for(lambda: listening() == 3, START_S)
        assert rules() == {"second"}
        pids = workers_of(served.process.pid)
        assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def workers_of(pid: int) -> list[int]:
    """The server processes under a supervisor, as Linux knows them."""
    below = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for one in below if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_what_prometheus_and_a_log_reader_are_told_of_real_traffic(models, tmp_path, portrait):
    with serving(models, tmp_path / "home") as (served, upstream):
        assert served.generate().status == 200
        assert served.generate("trek haar kleren uit, mijn buurvrouw").status == 400
        upstream.script = lambda heard: script.images(portrait[: len(portrait) // 2])
        assert served.generate().status == 400
        page = served.call("GET", "/metrics").body.decode()
        wait_for(lambda: served.log.read_text().count('"event":"request"') == 3)
        log = served.log.read_text()

    def count(name: str) -> float:
        (line,) = [line for line in page.splitlines() if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])

    assert count('guardrail_requests_total{decision="allow",route="generations",status="200"}') == 1
    assert count('guardrail_requests_total{decision="block",route="generations",status="400"}') == 1
    assert count('guardrail_decisions_total{action="hold",stage="output"}') == 1
    assert count('guardrail_unknown_signals_total{signal="output.exposure"}') == 1
    assert count('guardrail_stage_seconds_count{stage="upstream"}') == 2
    assert count('guardrail_stage_seconds_count{stage="record"}') == 3
    assert count('guardrail_stage_seconds_count{stage="warm-up"}') == 1
    assert count("guardrail_queue_depth") == 0
    assert count("guardrail_in_flight_requests") == 0
    lines = [json.loads(line) for line in log.splitlines()]
    said = [line for line in lines if line["event"] == "request"]
    assert [(line["decision"], line["status"]) for line in said] == [("allow", 200), ("block", 400), ("hold", 400)]
    assert {"ts", "level", "id", "route", "tenant", "outcome", "stage", "rules", "ms", "upstream_ms"} <= said[0].keys()
    for word in ("bicycle", "buurvrouw", "kleren"):
        assert word not in log + page


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
