"""Pictures that come back: what cannot be read whole, or shows what it must not, never leaves; its neighbours do."""

from __future__ import annotations

import json

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script
from tests.system import hostile
from tests.system.conftest import CLEAN, Begin, System, b64

NAMES = pytest.mark.parametrize("name", hostile.BROKEN)


def refused_whole(system: System, got, calls: int = 1) -> None:
    assert (got.status, got.code) == (400, "moderation_blocked")
    assert got.headers["x-should-retry"] == "false"
    assert got.error["moderation_details"]["moderation_stage"] == "output"
    assert len(system.upstream.calls) == calls
    record = system.record(got)
    assert record["status"] == "refused"
    assert record["action"] in {"hold", "block"}


@NAMES
def test_a_result_that_cannot_be_read_whole_is_held(system: System, name):
    picture = hostile.broken()[name]
    system.upstream.script = lambda heard: script.images(picture)
    got = system.generate()
    refused_whole(system, got)
    assert b64(picture)[:40] not in got.body.decode()


@pytest.mark.parametrize("name", hostile.UNCOMMON)
def test_an_uncommon_result_is_judged_and_leaves_byte_for_byte(system: System, name):
    answer = script.images(hostile.uncommon()[name])
    system.upstream.script = lambda heard: answer
    got = system.generate()
    assert got.status == 200, got.body
    assert got.body == answer.steps[0].partition(b"\r\n\r\n")[2]
    assert got.headers["x-guardrail-checked"] == "prompt=1/1, output=1/1"
    assert system.record(got)["status"] == "answered"


@NAMES
def test_one_bad_result_of_two_is_replaced_and_its_neighbour_leaves(system: System, name):
    bad = hostile.broken()[name]
    system.upstream.script = lambda heard: script.images(bad, CLEAN)
    got = system.generate(n=2)
    assert got.status == 200
    first, second = got.json["data"]
    assert first["b64_json"] is None
    assert first["error"]["code"] == "moderation_blocked"
    assert first["error"]["receipt"] == got.receipt
    assert second["b64_json"] == b64(CLEAN)
    assert b64(bad)[:40] not in got.body.decode()
    assert system.record(got)["status"] == "partly_refused"


@pytest.fixture(scope="module")
def dropping(begin: Begin) -> System:
    return begin("dropping", settings=ServerSettings(one_bad="drop"))


@pytest.fixture(scope="module")
def refusing(begin: Begin) -> System:
    return begin("refusing", settings=ServerSettings(one_bad="refuse-all"))


def test_one_bad_result_of_two_is_dropped_where_the_operator_wants_that(dropping: System):
    dropping.begin()
    dropping.upstream.script = lambda heard: script.images(CLEAN, hostile.polyglot())
    got = dropping.generate(n=2)
    assert got.status == 200
    assert got.json["data"] == [{"b64_json": b64(CLEAN)}]
    assert dropping.record(got)["status"] == "partly_refused"
    assert dropping.alive()


def test_one_bad_result_of_two_refuses_both_where_the_operator_wants_that(refusing: System):
    refusing.begin()
    refusing.upstream.script = lambda heard: script.images(CLEAN, hostile.polyglot())
    got = refusing.generate(n=2)
    refused_whole(refusing, got)
    assert b64(CLEAN)[:40] not in got.body.decode()
    assert refusing.alive()


def event(kind: str, picture: bytes) -> bytes:
    return script.event(
        f"image_generation.{kind}", picture, **({"partial_image_index": 0} if kind == "partial_image" else {})
    )


@NAMES
@pytest.mark.parametrize("kind", ["partial_image", "completed"])
def test_a_bad_picture_of_a_stream_does_not_leave(system: System, name, kind):
    bad = event(kind, hostile.broken()[name])
    parts = [bad, event("completed", CLEAN)] if kind == "partial_image" else [event("partial_image", CLEAN), bad]
    system.upstream.script = lambda heard: script.events(parts)
    got = system.generate(stream=True)
    assert got.status == 200
    *passed, last = [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: ")]
    assert [one["type"] for one in passed] == ([] if kind == "partial_image" else ["image_generation.partial_image"])
    assert last["error"]["code"] == "moderation_blocked"
    assert bad[60:120] not in got.body
    assert [one["status"] for one in system.records] == ["streaming", "refused"]
    assert len(system.upstream.calls) == 1


def test_a_clean_stream_leaves_byte_for_byte(system: System):
    parts = [event("partial_image", CLEAN), event("completed", CLEAN)]
    system.upstream.script = lambda heard: script.events(parts)
    assert system.generate(stream=True).body == b"".join(parts)
    assert [one["status"] for one in system.records] == ["streaming", "answered"]
