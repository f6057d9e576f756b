"""Metrics: what the server and the pipeline count, in Prometheus' text format.

One registry of its own, so that two servers in one process do not share counts. No label ever holds what a caller
sent: routes, actions, stages and signals are fixed words.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from guardrail.server.connections import Full
from guardrail.server.gate import TROUBLES, Gate, Trouble
from guardrail.types import Action, Stage
from guardrail.upstream.dialect import Statuses

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# From a cached verdict (well under 1 ms) to a slow generator (minutes).
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Timings(Collector):
    """A histogram of seconds by one label. The library's own takes eight times as long to count, under three locks."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._lock = threading.Lock()
        # For each value of the label: how many fell into each bucket, the last for what is beyond all; and their sum.
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, value: str, seconds: float) -> None:
        """Count one that took `seconds`."""
        bucket = bisect_left(BUCKETS, seconds)
        with self._lock:
            counts = self._counts.get(value)
            if counts is None:
                counts = self._counts[value] = [0] * (len(BUCKETS) + 1)
                self._sums[value] = 0.0
            counts[bucket] += 1
            self._sums[value] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What was counted, as the library's registry asks for it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=(self._label,))
        with self._lock:
            kept = [(value, list(counts), self._sums[value]) for value, counts in self._counts.items()]
        bounds = [str(bound) for bound in BUCKETS] + ["+Inf"]
        for value, counts, total in kept:
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            family.add_metric((value,), buckets=buckets, sum_value=total)
        yield family


class Metrics:
    """Counts for operators; also the `Observer` that the pipeline reports to. Safe to call from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)

        of_request = ("route", "decision", "status")
        self._requests = counter(
            "guardrail_requests", "Requests answered, by route, what was decided, and HTTP status.", of_request
        )
        self._request_seconds = Timings(
            "guardrail_request_seconds", "From the first byte of a request to the last of its answer.", "route"
        )
        self._stage_seconds = Timings("guardrail_stage_seconds", "Time spent in one stage of a request.", "stage")
        self.registry.register(self._request_seconds)
        self.registry.register(self._stage_seconds)
        self._decisions = counter("guardrail_decisions", "Decisions taken, by action and stage.", ("action", "stage"))
        self._unknown = counter("guardrail_unknown_signals", "Signals that could not be told, by signal.", ("signal",))
        self._queue = gauge("guardrail_queue_depth", "Pictures that wait to be judged.")
        self._upstream_errors = counter(
            "guardrail_upstream_errors", "Answers that a generator did not give, by what went wrong.", ("kind",)
        )
        self._audit_failures = counter("guardrail_audit_failures", "Records that could not be written.")
        self._refused_early = counter("guardrail_turned_away", "Requests turned away unread because of load.")
        self._in_flight = gauge("guardrail_in_flight_requests", "Requests in flight.")
        self._connections = gauge("guardrail_connections", "Connections that callers hold open.")
        self._connections_refused = counter(
            "guardrail_connections_refused", "Connections turned away, by the limit they were over.", ("limit",)
        )
        self._bytes = gauge("guardrail_in_flight_bytes", "Bytes of bodies that are held.")
        self._ready = gauge("guardrail_ready", "1 while requests can be judged and recorded, as /readyz says.")
        # A program that counts without a server never says: neither ready nor not.
        self._ready.set(math.nan)
        self._upstream_in_flight = gauge(
            "guardrail_upstream_in_flight", "Calls in flight, by generator.", ("upstream",)
        )
        self._upstream_open = gauge(
            "guardrail_upstream_open", "1 while a generator is not asked because it did not answer.", ("upstream",)
        )

        # Looking a label up takes longer than counting; the words are few, so each is looked up once.
        self._answers: dict[tuple[str, str, int], Counter] = {}
        self._decided = {
            (action.word, stage.value): self._decisions.labels(action.word, stage.value)
            for action in Action
            for stage in Stage
        }
        self._begin()

    def _begin(self) -> None:
        """Count from 0 what may come: of a series that begins with its first event, rates and alerts miss that one."""
        for kind in TROUBLES:
            self._upstream_errors.labels(kind)
        for limit in Full:
            self._connections_refused.labels(limit.value)

    def foresee(self, routes: Mapping[str, Statuses]) -> None:
        """Count the requests that may come from 0 as well: those that are let through and those that are refused."""
        for route, ends in routes.items():
            for action in Action:
                for status in ends.refused if action.refuses else (ends.answered,):
                    self._requests.labels(route, action.word, str(status))

    # What the pipeline says.
    def stage(self, name: str, seconds: float) -> None:
        self._stage_seconds.observe(name, seconds)

    def decision(self, action: str, stage: str) -> None:
        self._decided[action, stage].inc()

    def signals(self, names: Iterable[str]) -> None:
        for name in names:
            self._unknown.labels(name)

    def unknown(self, signal: str) -> None:
        self._unknown.labels(signal).inc()

    def queue(self, depth: Callable[[], int]) -> None:
        self._queue.set_function(depth)

    # What the server says.
    def answered(self, route: str, decision: str, status: int, seconds: float) -> None:
        """One request is over. `status` is 0 when the caller left before an answer."""
        answers = self._answers.get((route, decision, status))
        if answers is None:
            answers = self._answers[route, decision, status] = self._requests.labels(route, decision, str(status))
        answers.inc()
        self._request_seconds.observe(route, seconds)

    def upstream_error(self, kind: Trouble) -> None:
        self._upstream_errors.labels(kind).inc()

    def audit_failure(self) -> None:
        self._audit_failures.inc()

    def turned_away(self) -> None:
        self._refused_early.inc()

    def connection_refused(self, limit: str) -> None:
        self._connections_refused.labels(limit).inc()

    def watch_load(
        self, requests: Callable[[], float], held: Callable[[], float], connections: Callable[[], float]
    ) -> None:
        """Read the load from where it is counted, when metrics are asked for."""
        self._in_flight.set_function(requests)
        self._connections.set_function(connections)
        self._bytes.set_function(held)

    def ready(self, ready: bool) -> None:
        self._ready.set(ready)

    def watch_gate(self, gate: Gate) -> None:
        """Read the state of a generator from its gate, when metrics are asked for."""
        self._upstream_in_flight.labels(gate.name).set_function(lambda: gate.in_flight)
        self._upstream_open.labels(gate.name).set_function(lambda: gate.state == "open")

    def page(self) -> bytes:
        """All metrics as Prometheus reads them."""
        return generate_latest(self.registry)
