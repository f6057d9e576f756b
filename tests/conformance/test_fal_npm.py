"""The real @fal-ai/client, through its setting for a proxy, against a running guard in front of a scripted fal."""

from __future__ import annotations

import json

import pytest

from guardrail.upstream.dialect import Setup
from guardrail.upstream.fal import Fal
from tests.conformance.cases import case
from tests.conformance.guarded import GOOD, OTHER, Saw, run_client, sha
from tests.conformance.test_fal import HOSTED, MADE, STREAMS, Vendor, job_of, name_of
from tests.server import upstream as script
from tests.server.upstream import ScriptedUpstream
from tests.upstream.asking import Store

DOOR, CLIENT = "fal", "node"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

WORDS = ["prompt", "negative", "unknown", "nested", "queue", "stream"]
PICTURES = ["image", "second", "mask", "nested", "address", "queue", "stream"]


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    with ScriptedUpstream() as queue:
        vendor = Vendor()
        queue.script = vendor
        dialect = Fal.open(Setup(options={"queue_url": queue.url}))
        folder = tmp_path_factory.mktemp("fal-npm")
        saw = run_client(folder, CLIENT, "fal_client.py", dialect, vendor, name_of, fetch=Store(HOSTED).fetch)
        saw.heard.extend(queue.calls)
        return saw


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [
        ("run", [GOOD]),
        ("run-two", [GOOD, OTHER]),
        ("run-data-url", [GOOD]),
        ("run-one", [GOOD]),
        ("run-edit", [GOOD]),
        ("run-address", [GOOD]),
        ("subscribe", [GOOD]),
        ("queued", [GOOD]),
    ],
)
def test_what_was_made_arrives_through_the_guard(saw, scenario, pictures):
    images = saw.results[scenario]["images"]
    assert [one["sha256"] for one in images] == [sha(one) for one in pictures]
    assert all(one["at"] == "data" or one["at"].startswith("http://127.0.0.1:") for one in images)


@case("clean")
def test_a_request_is_queued_polled_fetched_and_cancelled_through_the_guard(saw):
    assert saw.results["queued"]["seen"] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert saw.results["cancelled"] == {"id": job_of("cancelled")}


@case("clean")
def test_a_clean_answer_arrives_byte_for_byte(saw):
    (asked,) = saw.tries("run-data-url")
    assert asked.answer == json.dumps(MADE["run-data-url"], indent=1).encode()


@case("stream")
def test_a_stream_arrives_with_its_pictures(saw):
    for scenario in ("stream", "stream-address"):
        events = saw.results[scenario]["events"]
        assert [[one["sha256"] for one in event["images"]] for event in events] == [[sha(GOOD)], [sha(OTHER)]]
    (asked,) = saw.tries("stream")
    assert asked.answer == script.body_of(script.events(STREAMS["stream"]))


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [pytest.param(f"word-{one}", "bad-words", marks=case("words", "refusal", "uncalled")) for one in WORDS]
    + [pytest.param(f"picture-{one}", "bad-input", marks=case("input", "refusal", "uncalled")) for one in PICTURES]
    + [
        pytest.param(one, "bad-output", marks=case("output", "refusal"))
        for one in ("output", "output-data-url", "output-one", "output-queue")
    ],
)
def test_a_refusal_is_a_validation_error_that_is_not_tried_again(saw, scenario, rule):
    result = saw.results[scenario]["error"]
    assert (result["class"], result["status"], result["type"]) == ("ValidationError", 422, "content_policy_violation")
    assert result["detail"][0]["ctx"]["extra_info"]["rules"] == [rule]
    submitted = [asked for asked in saw.tries(scenario) if asked.method == "POST"]
    assert len(submitted) == 1
    if rule != "bad-output":
        assert saw.sent(scenario) == []


@case("output")
def test_one_bad_picture_of_two_is_replaced_and_said_so(saw):
    result = saw.results["output-one-of-two"]
    assert result["images"][0]["sha256"] == sha(GOOD)
    assert result["nsfw"] == [False, True]


@case("output", "stream")
@pytest.mark.parametrize("scenario", ["output-stream", "output-stream-address"])
def test_a_bad_picture_ends_a_stream(saw, scenario):
    first, last = saw.results[scenario]["events"]
    assert [one["sha256"] for one in first["images"]] == [sha(GOOD)]
    assert last["detail"][0]["type"] == "content_policy_violation"


@case("output")
def test_not_one_byte_of_a_bad_picture_arrives(saw):
    assert saw.leaked() == []


@case("caller")
def test_the_callers_own_credentials_arrive_and_switches_are_clamped(saw):
    assert {heard.headers.get("authorization") for heard in saw.heard} == {"Key id:s3cret"}
    (heard,) = saw.sent("switched-off")
    given = json.loads(heard.body)
    assert (given["enable_safety_checker"], given["safety_tolerance"]) == (True, "2")


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "status"), [("lora", 400), ("no-picture", 400), ("unknown", 404), ("invalid", 422)]
)
def test_what_nobody_can_judge_and_errors_of_the_generator_are_raised(saw, scenario, status):
    result = saw.results[scenario]["error"]
    assert result["status"] == status
    assert len(saw.tries(scenario)) == 1
    assert len(saw.sent(scenario)) == (scenario == "invalid")


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
