"""Start and stop of a guard as whoever operates it sees them: real processes, signals and files."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli import plugin
from tests.cli.served import CLEAN, PATIENCE_S, ROUTE, House, Served, free_port, wait_for
from tests.server import upstream as script
from tests.server.upstream import ScriptedUpstream
from tests.system.conftest import FULL

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
    # Each starts up to five processes.
    pytest.mark.timeout(4 * PATIENCE_S),
]
linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux only: it finds the workers under /proc")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ScriptedUpstream() as upstream:
        made = House(tmp_path, upstream)
        try:
            yield made
        finally:
            made.close()


def test_a_policy_saved_while_checks_open_holds_as_soon_as_requests_are_taken(house):
    house.opening.write_text("")
    served = house.serve(ready=False)
    wait_for(lambda: house.opening.read_text() == "opening")
    house.policy.write_text(plugin.policy("second"))
    house.opening.unlink()
    served.wait_ready()
    wait_for(lambda: served.rules() == ["second"])
    (line,) = served.lines("policies reloaded")
    assert not line["faults"]


def test_the_record_says_when_which_policy_began_to_hold_also_after_a_restart_with_another_file(house):
    first = house.serve()
    assert first.ask().status == 200
    assert first.end() == 0
    house.policy.write_text(plugin.policy("second"))
    again = house.serve()
    assert again.ask().status == 200
    house.policy.write_text(plugin.policy("third"))
    wait_for(lambda: again.rules() == ["third"])
    assert again.end() == 0

    told = [json.loads(line) for line in house.run("audit", "export").stdout.splitlines()]
    spoke = [
        (one["action"], one["body"].get("policy_sha256") or next(iter(one["body"]["sha256"]["after"])))
        for one in told
        if one["kind"] == "event" or one["action"] == "allow"
    ]
    began, second, third = spoke[0][1], spoke[2][1], spoke[4][1]
    assert len({began, second, third}) == 3
    assert spoke[:5] == [
        ("started", began),
        ("allow", began),
        ("started", second),
        ("allow", second),
        ("reloaded", third),
    ]
    shown = house.run("policy", "show", str(house.policy)).stdout
    assert third in shown.splitlines()[0]
    listed = house.run("audit", "list", "--action", "started").stdout
    assert [f"@{digest[:8]}" in listed for digest in (began, second, third)] == [True, True, False]
    (event,) = (one for one in told if one["action"] == "reloaded")
    explained = " ".join(house.run("audit", "show", event["id"]).stdout.split())
    assert f"@{second[:8]}" in explained
    assert third in explained
    assert house.run("audit", "verify").returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hang_up_while_checks_open_is_kept_until_there_are_policies_to_read_again(house, workers):
    house.opening.write_text("")
    port = free_port() if workers == "2" else 0
    served = house.serve("--workers", workers, port=port, ready=False, GUARDRAIL_POLICY_WATCH="false")
    wait_for(lambda: house.opening.read_text() == "opening")
    served.process.send_signal(signal.SIGHUP)
    house.policy.write_text(plugin.policy("second"))
    house.opening.unlink()
    served.wait_ready(int(workers))
    wait_for(lambda: all(served.rules() == ["second"] for _ in range(10)))
    assert not served.lines("a worker ended and is replaced")


@linux
def test_a_policy_that_was_broken_meanwhile_holds_back_the_worker_that_starts_and_no_other(house):
    served = house.serve("--workers", "2", port=free_port())
    served.wait_ready(2)
    house.policy.write_text("rules: [")
    os.kill(served.workers()[0], signal.SIGKILL)
    wait_for(lambda: len(served.lines("a worker ended and is replaced")) >= 2)
    killed, broken = served.lines("a worker ended and is replaced")[:2]
    assert (killed["ended"], killed["others"]) == ("SIGKILL", 1)
    assert (broken["ended"], broken["others"]) == ("status 2", 1)
    assert f"guardrail: {house.policy}" in served.said, "the worker says why"
    assert served.rules() == ["first"]
    house.policy.write_text(plugin.policy("second"))
    wait_for(lambda: served.listening == 3)
    wait_for(lambda: all(served.rules() == ["second"] for _ in range(10)))
    assert served.end() == 0


@linux
@pytest.mark.slow
def test_a_record_that_cannot_be_opened_holds_back_the_worker_that_starts_and_no_other(house):
    served = house.serve("--workers", "2", port=free_port())
    served.wait_ready(2)
    assert served.ask().status == 200
    kept = house.home / "audit/audit.db-head"
    # Two starts and an answer: it was synced, and is not written again.
    wait_for(lambda: kept.read_bytes().split(b".")[2] == b"3")
    whole = kept.read_bytes()
    log_id = whole.split(b".")[1]
    kept.write_bytes(whole.replace(log_id, b"0" * len(log_id), 1))
    os.kill(served.workers()[0], signal.SIGKILL)
    wait_for(lambda: [line["ended"] for line in served.lines("a worker ended and is replaced")][1:2] == ["status 2"])
    assert "names another log" in served.said
    assert served.rules() == ["first"]
    kept.unlink()
    wait_for(lambda: served.listening == 3)
    assert served.end() == 0
    assert house.run("audit", "verify").returncode == 0


def test_workers_of_whom_none_can_start_say_why_and_all_end(house):
    house.policy.write_text(plugin.policy().replace("prompt.sexual", "prompt.minor"))
    served = house.serve("--workers", "2", port=free_port(), ready=False)
    assert served.process.wait(PATIENCE_S) == 2
    assert "guardrail: " in served.said
    assert "prompt.minor" in served.said
    assert "Traceback" not in served.said


def test_a_start_without_its_record_says_why_and_ends_so_that_it_is_tried_again(house):
    assert house.serve().end() == 0
    record = house.home / "audit/audit.db"
    away = record.rename(record.with_name("away"))
    record.mkdir()  # as a volume that is not there yet
    served = house.serve(ready=False)
    assert served.process.wait(PATIENCE_S) == 1
    assert "cannot be made: Is a directory" in served.said
    assert "Traceback" not in served.said
    workers = house.serve("--workers", "2", port=free_port(), ready=False)
    wait_for(lambda: len(workers.lines("a worker ended and is replaced")) >= 2)
    record.rmdir()
    away.rename(record)
    workers.wait_ready(2)
    assert workers.ask().status == 200
    assert workers.end() == 0


@linux
def test_workers_end_with_a_supervisor_that_was_killed(house):
    served = house.serve("--workers", "2", port=free_port())
    served.wait_ready(2)
    workers = served.workers()
    served.process.kill()
    served.process.wait(10)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_port_that_another_guards_workers_share_is_taken(house):
    port = free_port()
    house.serve("--workers", "2", port=port)
    other = house.serve("--workers", "2", port=port, ready=False)
    assert other.process.wait(PATIENCE_S) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in other.said


def held_open(house, seconds: float) -> None:
    """The generator streams a picture, and the next one after so many seconds."""
    early, final = (script.event(f"image_generation.{kind}", CLEAN) for kind in ("partial_image", "completed"))
    house.upstream.script = lambda heard: script.events([early, seconds, final])


@contextmanager
def streaming(served: Served) -> Iterator[list[bytes | Exception]]:
    """A caller who has had the first picture of a stream; afterwards, all that came of it, or how it broke."""
    ended: list[bytes | Exception] = []
    begun = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", ROUTE, b'{"prompt": "x", "stream": true}', {"content-type": "application/json"})
            answer = connection.getresponse()
            first = answer.readline()
            begun.set()
            ended.append(first + answer.read())
        except (http.client.HTTPException, OSError) as error:
            ended.append(error)
        finally:
            begun.set()
            connection.close()

    caller = threading.Thread(target=ask)
    caller.start()
    assert begun.wait(PATIENCE_S)
    yield ended
    caller.join(PATIENCE_S)


def statuses(house) -> list[str]:
    """How the cases on record ended, oldest first."""
    told = house.run("audit", "export", "--kind", "decision").stdout
    return [json.loads(line)["body"]["status"] for line in told.splitlines()]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("told", ["SIGTERM", "SIGTERM twice", "SIGINT to all"])
def test_a_stream_that_is_open_is_finished_before_the_guard_ends(house, told, workers):
    held_open(house, 2.0)
    served = house.serve("--workers", workers, port=free_port() if workers == "2" else 0)
    served.wait_ready(int(workers))
    with streaming(served) as ended:
        if told == "SIGINT to all":
            os.killpg(served.process.pid, signal.SIGINT)
        else:
            for _ in told.split():
                served.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        assert served.process.wait(PATIENCE_S) == 0
    (got,) = ended
    assert isinstance(got, bytes)
    assert b"image_generation.completed" in got
    assert statuses(house) == ["streaming", "answered"]


@pytest.mark.parametrize("how", ["impatient", "out of time"])
def test_a_stream_that_is_cut_off_at_the_end_is_not_taken_for_whole_and_on_record(house, how):
    held_open(house, 60.0)
    served = house.serve(GUARDRAIL_SERVER_DRAIN_S="60" if how == "impatient" else "1")
    with streaming(served) as ended:
        served.process.send_signal(signal.SIGINT)
        if how == "impatient":
            time.sleep(0.5)
            served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_S) == 0
    assert isinstance(ended[0], http.client.IncompleteRead)
    assert statuses(house) == ["streaming", "shutdown"]
    assert house.run("audit", "verify").returncode == 0
    assert "lifespan" not in served.said
    assert len(served.lines("request")) == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux only")
def test_why_records_cannot_be_written_is_said_once_and_when_they_are_again(house):
    served = house.serve()
    assert served.ask().status == 200
    limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    assert [served.ask().status for _ in range(3)] == [503] * 3
    assert served.call("GET", "/readyz").status == 503
    wait_for(lambda: bool(served.lines("records cannot be written")))
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, limits)
    wait_for(lambda: served.ask().status == 200)
    wait_for(lambda: len(served.lines("records are written again")) == 1)
    (line,) = served.lines("records cannot be written")
    assert "audit.db cannot be written" in line["why"]
    assert line["level"] == "error"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux only")
def test_where_no_record_is_required_answers_leave_without_one_and_say_so(house):
    served = house.serve(GUARDRAIL_AUDIT_REQUIRED="false")
    assert "not-recorded" not in served.ask().headers["x-guardrail-receipt"]
    limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    answered, refused = served.ask(), served.ask("forbidden")
    assert (answered.status, refused.status) == (200, 400)
    for got in (answered, refused):
        assert got.headers["x-guardrail-receipt"].endswith("; not-recorded")
    assert served.call("GET", "/readyz").status == 200
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, limits)
    wait_for(lambda: "not-recorded" not in served.ask().headers["x-guardrail-receipt"])


def test_two_guards_of_one_home_keep_one_record(house):
    one, other = house.serve(), house.serve()
    for _ in range(10):
        assert (one.ask().status, other.ask().status) == (200, 200)
    assert (one.end(), other.end()) == (0, 0)
    assert statuses(house) == ["answered"] * 20
    assert house.run("audit", "verify").returncode == 0
