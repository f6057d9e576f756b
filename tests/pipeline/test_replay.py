"""Replaying what a guard recorded: its own policy changes nothing, another one what it should."""

from __future__ import annotations

import pytest

from guardrail.errors import BadRequest
from guardrail.policy import parse, replay, stored_of
from guardrail.types import Action, Artifact, Kind, Request
from tests.pipeline.conftest import POLICY
from tests.stand_ins import png

ASKED = (
    {"prompt": "a red bicycle"},
    {"prompt": "something sexual"},
    {"prompt": "explicit"},
    {"prompt": "undress her", "inputs": [png("a person")]},
    {"prompt": "explicit", "inputs": [png("a tree")]},
    {"prompt": "a walk", "inputs": [png("a person")], "outputs": [png("a tree, bare"), png("a person")]},
    {"prompt": "a walk", "inputs": [png("a person")], "outputs": [png("a person, bare"), png("a tree")]},
    {"prompt": "a walk", "outputs": [png("a person"), png("a tree")]},
)


def recorded(guard, audit):
    ids = [guard.check(**asked).receipt.id for asked in ASKED]
    records = [audit.get(one) for one in ids]
    return [stored_of(one.entry.id, one.entry.action, one.entry.body) for one in records]


def test_a_policy_replayed_over_its_own_record_decides_as_it_did(guard, audit):
    stored = recorded(guard, audit)
    assert [one.old for one in stored] == [
        Action.ALLOW, Action.FLAG, Action.BLOCK, Action.BLOCK, Action.BLOCK, Action.BLOCK, Action.BLOCK, Action.ALLOW,
    ]  # fmt: skip
    told = replay(parse(POLICY), stored)
    assert told.differences == ()
    assert (told.versions[0].gained, told.versions[0].lost) == ({}, {})


async def test_what_a_refusal_kept_from_being_looked_at_cannot_be_replayed_milder(guard, audit):
    """A text that is blocked does not wait for its pictures; nobody knows what they show."""
    picture = Artifact(Kind.INPUT, "image[0]", data=png("a tree"))
    case = guard.open(Request((Artifact(Kind.PROMPT, "prompt", text="explicit"),), (picture,)), route="test")
    decision = await case.judge_request()
    receipt = await case.seal(decision, status="refused")
    entry = audit.get(receipt.id).entry
    stored = stored_of(entry.id, entry.action, entry.body)
    assert stored.cut
    milder = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {pair.same_face: 0.9}, action: flag}\n")
    (told,) = replay(milder, [stored]).differences
    assert (told.new, told.partial) == (Action.ALLOW, True)


async def test_a_request_that_was_turned_back_for_a_broken_picture_is_no_decision_to_replay(guard, audit):
    """The guard blocked it, not the policy, which saw all but the picture: to replay it would seem to change it."""
    picture = Artifact(Kind.INPUT, "image[0]", data=png("a tree")[:-20])
    case = guard.open(Request((Artifact(Kind.PROMPT, "prompt", text="clean"),), (picture,)), route="test")
    with pytest.raises(BadRequest):
        await case.judge_request()
    await case.seal(case.so_far, status="unreadable_input")
    entry = audit.get(case.id).entry
    assert (entry.action, {error is None for _, _, _, _, error in entry.body["signals"]}) == ("block", {True, False})
    assert stored_of(entry.id, entry.action, entry.body) is None
