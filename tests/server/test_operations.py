"""Alive, ready, counted; and an end that loses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest

from guardrail.errors import ConfigError
from guardrail.server import Metrics, ServerSettings, build_app
from guardrail.server.gate import TROUBLES
from guardrail.server.metrics import BUCKETS
from guardrail.server.process import SWITCH_S, listen
from guardrail.upstream.dialect import Statuses
from tests.server import upstream as script
from tests.server.conftest import eventually
from tests.server.stand_ins import PlainDialect, WordGuard


def test_alive_is_said_without_a_guard_that_is_ready(running):
    running.guard.started = False
    assert running.call("GET", "/healthz").json == {"alive": True}


def test_ready_says_why_not(running):
    assert eventually(lambda: running.guard.started)
    assert running.call("GET", "/readyz").json == {"ready": True, "reasons": {}}
    running.guard.started = False
    got = running.call("GET", "/readyz")
    assert (got.status, got.json) == (503, {"ready": False, "reasons": {"models": "not started"}})


def test_a_warm_up_that_fails_is_logged_once_and_tried_until_it_does_not(start):
    guard = WordGuard()
    guard.cold = ["age: took longer than 20 s", "age: took longer than 21 s", ValueError("quotes a secret")]
    running = start(ServerSettings(warm_pause_s=0.05), guard)
    assert running.logged(event="the guard is warm", level="warning")
    assert running.call("GET", "/readyz").status == 200
    (told,) = (line for line in running.lines() if line["event"] == "the guard is not warm and is tried again")
    assert (told["level"], told["why"]) == ("error", "age: took longer than 20 s")
    assert "secret" not in running.log.getvalue()


def test_a_warm_up_that_raises_is_logged_without_its_message(start):
    guard = WordGuard()
    guard.cold = [ValueError("quotes a secret")]
    running = start(ServerSettings(warm_pause_s=0.05), guard)
    assert running.logged(event="the guard is warm")
    (told,) = (line for line in running.lines() if line["event"] == "the guard is not warm and is tried again")
    assert told["why"].startswith("ValueError at stand_ins.py:")
    assert "secret" not in running.log.getvalue()


def test_a_guard_that_is_warm_at_once_says_nothing_of_it(running):
    assert eventually(lambda: running.guard.started)
    assert not [line for line in running.lines() if "warm" in line["event"]]


def test_a_server_ends_while_its_guard_is_cold(start):
    guard = WordGuard()
    guard.cold = ["no"]
    running = start(ServerSettings(warm_pause_s=60.0), guard)
    assert running.logged(event="the guard is not warm and is tried again")
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 10
    assert not guard.started


def test_ready_is_counted_as_readyz_says_it(running):
    assert eventually(lambda: running.guard.started)
    assert b"\nguardrail_ready 1.0\n" in running.call("GET", "/metrics").body
    running.guard.started = False
    assert b"\nguardrail_ready 0.0\n" in running.call("GET", "/metrics").body


def test_who_counts_without_a_server_says_neither_ready_nor_not():
    assert b"\nguardrail_ready NaN\n" in Metrics().page()


def test_metrics_count_requests_by_decision(running):
    running.ask()
    running.ask("forbidden")
    page = running.call("GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = page.body.decode()
    assert 'guardrail_requests_total{decision="allow",route="generate",status="200"} 1.0' in text
    assert 'guardrail_requests_total{decision="block",route="generate",status="400"} 1.0' in text
    assert 'guardrail_stage_seconds_count{stage="upstream"} 1.0' in text
    assert "guardrail_in_flight_requests 0.0" in text


def test_what_may_be_counted_is_counted_from_zero_so_that_the_first_of_a_kind_is_seen_to_come():
    """`increase()` of a series that begins at 1 is 0: an alert would miss the first connection that is turned away."""
    kinds = documented("guardrail_upstream_errors_total")
    assert kinds == set(TROUBLES)
    assert documented("guardrail_connections_refused_total") == {"all", "address"}
    metrics = Metrics()
    metrics.signals(["prompt.minor"])
    expected = [("guardrail_upstream_errors_total", {"kind": kind}) for kind in kinds]
    expected += [("guardrail_connections_refused_total", {"limit": limit}) for limit in ("all", "address")]
    expected += [
        ("guardrail_decisions_total", {"action": action, "stage": stage})
        for action in ("allow", "flag", "hold", "block")
        for stage in ("prompt", "input", "output")
    ]
    expected.append(("guardrail_unknown_signals_total", {"signal": "prompt.minor"}))
    assert [one for one in expected if metrics.registry.get_sample_value(*one) != 0.0] == []


class Foreseeing(PlainDialect):
    foreseen: ClassVar = {"generate": Statuses(201, (400, 200)), "poll": Statuses()}


def test_requests_that_may_come_are_counted_from_zero_where_the_dialect_foresees_them(start):
    """The first refusal after a start would otherwise be in no rate, and no alert."""
    running = start(dialect=Foreseeing())

    def counts() -> dict[tuple[str, str, str], float]:
        said = running.call("GET", "/metrics").body.decode()
        line = re.compile(r'guardrail_requests_total\{decision="(.+)",route="(.+)",status="(.+)"\} (.+)')
        return {found.groups()[:3]: float(found[4]) for found in map(line.fullmatch, said.splitlines()) if found}

    refused = [(word, "generate", status) for word in ("hold", "block") for status in ("400", "200")]
    refused += [(word, "poll", "400") for word in ("hold", "block")]
    passed = [(word, *ends) for word in ("allow", "flag") for ends in (("generate", "201"), ("poll", "200"))]
    assert counts() == dict.fromkeys(refused + passed, 0.0)
    running.ask("forbidden")
    assert counts() == {**dict.fromkeys(refused + passed, 0.0), ("block", "generate", "400"): 1.0}


def test_what_took_no_time_yet_is_in_no_histogram(start):
    """A count of 0 says that nothing came; a time of 0 would say that something was quick."""
    running = start(dialect=Foreseeing())
    assert b"guardrail_request_seconds_count" not in running.call("GET", "/metrics").body


def documented(metric: str) -> set[str]:
    """The values of a metric's label, as its line in the reference has them, before what stands in brackets."""
    page = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()
    line = next(one for one in page.splitlines() if one.startswith(f"| `{metric}`"))
    return set(re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", line.rpartition("|")[0].rpartition("|")[2])))


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.005, "0.005"), (0.0050001, "0.01"), (300.0, "300.0"), (301.0, "+Inf")]
)
def test_a_time_is_counted_in_its_bucket_and_in_all_above(seconds, bucket):
    metrics = Metrics()
    metrics.stage("read", seconds)

    def count(bound: str) -> float | None:
        return metrics.registry.get_sample_value("guardrail_stage_seconds_bucket", {"stage": "read", "le": bound})

    bounds = [*map(str, BUCKETS), "+Inf"]
    at = bounds.index(bucket)
    assert [count(bound) for bound in bounds] == [0.0] * at + [1.0] * (len(bounds) - at)
    assert metrics.registry.get_sample_value("guardrail_stage_seconds_sum", {"stage": "read"}) == seconds


def test_two_servers_count_apart():
    one, other = Metrics(), Metrics()
    one.audit_failure()
    assert other.registry.get_sample_value("guardrail_audit_failures_total") == 0


def test_a_shutdown_finishes_what_is_in_flight_and_closes_the_guard_last(start, upstream):
    running = start()
    upstream.script = lambda heard: script.late(script.images(b"clean"), 1.0)
    got = []
    thread = threading.Thread(target=lambda: got.append(running.ask()))
    thread.start()
    assert eventually(lambda: len(upstream.calls) == 1)
    running.server.stop()
    assert eventually(lambda: running.guard.closed_with is not None, 10)
    thread.join(5)
    assert got[0].status == 200
    assert running.guard.statuses == ["answered"]
    assert running.guard.closed_with == 1
    with pytest.raises(ConnectionRefusedError):
        running.call("GET", "/healthz")


def test_a_shutdown_that_runs_out_of_patience_records_what_it_cut_off(start, upstream):
    running = start()
    running.server.config.timeout_graceful_shutdown = 1
    upstream.script = lambda heard: script.late(script.images(b"clean"), 30)
    got = []
    thread = threading.Thread(target=lambda: got.append(running.ask()))
    thread.start()
    assert eventually(lambda: len(upstream.calls) == 1)
    running.server.stop()
    assert eventually(lambda: running.guard.closed_with is not None, 10)
    assert running.guard.statuses == ["shutdown"]
    assert running.guard.closed_with == 1
    thread.join(5)
    assert got[0].status == 500
    assert b"b64_json" not in got[0].body


def test_policies_are_read_again_when_they_have_changed_and_not_otherwise(start):
    changed = threading.Event()

    def once() -> bool:
        return changed.is_set() and not changed.clear()

    running = start(watch=once)
    time.sleep(1.3)
    assert running.guard.reloads == 0
    changed.set()
    assert eventually(lambda: running.guard.reloads == 1)
    time.sleep(1.3)
    assert running.guard.reloads == 1


CHILD = """
import gc, sys, threading
from guardrail.server import Metrics, ServerSettings, Upstream, build_app, serve
from tests.server.stand_ins import PlainDialect, WordGuard

guard = WordGuard()
app = build_app(guard, {"plain": Upstream(PlainDialect(), sys.argv[1])}, ServerSettings(), Metrics())
serve(app, "127.0.0.1", 0, drain_s=5, on_listening=lambda host, port: print(port, flush=True))
print("records", guard.statuses, "closed", guard.closed_with, "reloads", guard.reloads, flush=True)
print(sys.getswitchinterval(), gc.get_freeze_count() > 10_000, flush=True)
"""


def test_sigterm_finishes_what_is_in_flight_and_ends_with_status_zero(upstream):
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, upstream.url],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        upstream.script = lambda heard: script.late(script.images(b"clean"), 1.0)
        got = []

        def ask() -> None:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/images/generations", b'{"prompt": "x"}', method="POST"
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                got.append(answer.status)

        thread = threading.Thread(target=ask)
        thread.start()
        assert eventually(lambda: len(upstream.calls) == 1)
        child.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        thread.join(10)
        assert got == [200]
        assert child.wait(10) == 0
        assert child.stdout.readline().strip() == "records ['answered'] closed 1 reloads 1"
        # The interpreter was tuned for a server, which a library may not do to its caller.
        assert child.stdout.readline().split() == [str(SWITCH_S), "True"]
    finally:
        child.kill()
        child.wait()


def test_an_address_that_is_taken_is_said_in_our_words():
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen on"):
            listen("127.0.0.1", taken.getsockname()[1])


def test_a_server_without_a_generator_does_not_start():
    with pytest.raises(ConfigError, match="no upstream"):
        build_app(WordGuard(), {}, ServerSettings(), Metrics())
