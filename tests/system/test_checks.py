"""A check beside the real ones that raises, hangs, says NaN or lies about how much it saw: held, never passed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from guardrail.types import Kind
from tests.server import upstream as script
from tests.stand_ins import Asks, Hangs
from tests.system.conftest import CLEAN, Begin

# Named in rules beside the real exposure check: what either cannot tell is unknown.
FACTORS = ["exposure"]


def raises(_: Any) -> Any:
    raise ValueError("this quotes a secret prompt")


class SaysLess(Asks):
    def score(self, batch: Any) -> Any:
        return []


BROKEN = {
    "raises": lambda kind: Asks(raises, FACTORS, [kind], "third"),
    "says NaN": lambda kind: Asks(lambda _: {"exposure": math.nan}, FACTORS, [kind], "third"),
    "says infinity": lambda kind: Asks(lambda _: {"exposure": math.inf}, FACTORS, [kind], "third"),
    "says 60": lambda kind: Asks(lambda _: {"exposure": 60.0}, FACTORS, [kind], "third"),
    "says nothing": lambda kind: Asks(lambda _: {}, FACTORS, [kind], "third"),
    "says a text": lambda kind: Asks(lambda _: {"exposure": "none"}, FACTORS, [kind], "third"),
    "gives no answers": lambda kind: SaysLess(raises, FACTORS, [kind], "third"),
    "hangs": lambda kind: Hangs(FACTORS, [kind], "third"),
}


@pytest.mark.parametrize("kind", [Kind.INPUT, Kind.OUTPUT])
@pytest.mark.parametrize("name", BROKEN)
def test_what_a_broken_check_should_have_seen_is_held(begin: Begin, name, kind):
    check = BROKEN[name](kind)
    system = begin(f"{name} {kind}", checks=[check], guard={"deadline_s": 3.0})
    try:
        system.upstream.script = lambda heard: script.images(CLEAN)
        got = system.edit(CLEAN) if kind is Kind.INPUT else system.generate()
        assert (got.status, got.code) == (400, "moderation_blocked")
        assert b"secret" not in got.body
        assert len(system.upstream.calls) == (0 if kind is Kind.INPUT else 1)
        record = system.record(got)
        assert (record["action"], record["status"]) == ("hold", "refused")
        assert any(reason["unknown"] for reason in record["reasons"])
        assert "secret" not in str(record)
        # A prompt is judged all the same.
        assert "undress-named" in system.generate("take off her clothes").error["moderation_details"]["categories"]
        assert system.call("GET", "/healthz").status == 200
        # Its warm-up failed too: no traffic should be sent here.
        assert system.call("GET", "/readyz").status == 503
    finally:
        if isinstance(check, Hangs):
            check.let_go.set()
