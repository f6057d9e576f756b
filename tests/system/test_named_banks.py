"""A tenant's own bank stops that tenant's pictures and nobody else's; the common one stops everyone's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from guardrail.checks.bank import Entry
from guardrail.checks.known import bank_of
from guardrail.errors import ConfigError
from guardrail.home import Home
from guardrail.inference.image import pdq
from guardrail.pipeline import Guard
from guardrail.types import Action
from tests.checks.pictures import encoded, scene

COMMON = """
version: 1
name: common
rules:
  - id: known-output
    when: {output.known: 0.5}
    action: block
"""
ACME = (
    COMMON.replace("name: common", "name: acme")
    + """
  - id: own-bank
    when: {output.known.acme: 0.5}
    action: hold
"""
)


def opened(tmp_path: Path, *banks: str) -> Guard:
    for name, text in (("common", COMMON), ("acme", ACME)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return Guard.from_policy(
        tmp_path / "common.yaml",
        home=Home(tmp_path, secret="11" * 32),
        checks=["known"],
        options={"known": {"banks": list(banks)}} if banks else {},
        tenants={"acme": tmp_path / "acme.yaml"},
        threads=1,
    )


def test_a_tenants_bank_stops_its_own_pictures_and_the_common_one_everybodys(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    bank_of(tmp_path).add([Entry(pdq=pdq.hash_of(scene(1)).hex)], now=now)
    bank_of(tmp_path, "acme").add([Entry(pdq=pdq.hash_of(scene(2)).hex)], now=now)
    guard = opened(tmp_path, "acme")

    def action(seed: int, tenant: str) -> Action:
        return guard.check(outputs=[encoded(scene(seed))], tenant=tenant).action

    assert action(1, "acme") is action(1, "other") is Action.BLOCK
    assert action(2, "acme") is Action.HOLD
    assert action(2, "other") is Action.ALLOW
    assert action(3, "acme") is Action.ALLOW
    guard.looker.close()


def test_a_policy_that_reads_a_bank_which_is_not_opened_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"output\.known\.acme"):
        opened(tmp_path)
