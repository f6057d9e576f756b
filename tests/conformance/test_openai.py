"""The Images API through the real openai packages: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import json

import pytest

from guardrail.upstream.openai import OpenAIImages
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, MASK, OTHER, Saw, by_model, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "images"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]
MODELS = b'{"object":"list","data":[{"id":"m-1","object":"model","created":1,"owned_by":"x"}]}'


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario; the scenario is the model that was asked for."""
    if heard.target.endswith("/models"):
        return script.whole(MODELS)
    if "/files/" in heard.target:
        return script.whole(BAD, kind="image/png")
    name = by_model(heard)
    kind = "image_edit" if "edit" in name else "image_generation"
    partial = script.event(f"{kind}.partial_image", OTHER, partial_image_index=0)
    done = script.event(f"{kind}.completed", GOOD)
    url = "data:image/png;base64," + base64.b64encode(BAD).decode()
    scripts = {
        "generate": script.images(GOOD, OTHER),
        "generate-async": script.images(GOOD, OTHER),
        "stream": script.events([partial[:100], partial[100:], done]),
        "edit-stream": script.events([partial + done]),
        "output-refused": script.images(BAD),
        "output-edit": script.images(BAD),
        "output-variation": script.images(BAD),
        "output-data-url": script.whole(json.dumps({"created": 1, "data": [{"url": url}]}).encode()),
        "output-unknown-field": script.whole(
            json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(GOOD).decode(), "preview": url}]}).encode()
        ),
        "output-one-of-two": script.images(GOOD, BAD),
        "output-stream-partial": script.events(
            [partial, script.event(f"{kind}.partial_image", BAD, partial_image_index=1), done]
        ),
        "output-stream-last": script.events([partial, script.event(f"{kind}.completed", BAD)]),
        "output-edit-stream": script.events([partial + script.event(f"{kind}.completed", BAD)]),
        "stream-cut": script.events([partial, 0.3], finish=False),
        "busy": script.too_many(),
        "html": script.html(),
    }
    return scripts.get(name, script.images(GOOD))


def scenario_of(heard: Heard) -> str:
    return heard.target.rpartition("/")[2] if heard.method == "GET" else by_model(heard)


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(request.param)
    return run_client(folder, request.param, "images_client.py", OpenAIImages(), play, scenario_of)


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0", "6.49.0"}


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [
        ("generate", [GOOD, OTHER]),
        ("generate-async", [GOOD, OTHER]),
        ("edit-one", [GOOD]),
        ("edit-several", [GOOD]),
        ("edit-mask", [GOOD]),
        ("json-edit", [GOOD]),
        ("variation", [GOOD]),
    ],
)
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario, pictures):
    assert [entry["sha256"] for entry in saw.results[scenario]["entries"]] == [sha(one) for one in pictures]
    (asked,) = saw.tries(scenario)
    assert asked.answer == script.body_of(script.images(*pictures))
    assert (asked.answer_headers["x-up"], asked.answer_headers["content-type"]) == ("1", "application/json")
    assert saw.calls[scenario] == 1


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [("edit-one", [GOOD]), ("edit-several", [GOOD, OTHER]), ("edit-mask", [GOOD, MASK]), ("variation", [GOOD])],
)
def test_edits_and_variations_reach_the_generator_whole(saw, scenario, pictures):
    (heard,) = saw.sent(scenario)
    (asked,) = saw.tries(scenario)
    assert heard.body == asked.body
    assert all(picture in heard.body for picture in pictures)


@case("clean")
def test_a_clean_answer_carries_the_receipt(saw):
    (asked,) = saw.tries("generate-headers")
    assert asked.answer_headers["x-guardrail-decision"] == "allow"
    assert asked.answer_headers["x-guardrail-checked"] == "prompt=1/1, output=1/1"
    assert asked.answer_headers["x-guardrail-policy"].startswith("conformance@")
    assert saw.results["generate-headers"]["headers"]["x-guardrail-receipt"]


@case("caller")
def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    assert {heard.headers["authorization"] for heard in saw.heard} == {"Bearer sk-test"}
    (heard,) = saw.sent("switches")
    said = json.loads(heard.body)
    assert (said["moderation"], said["disable_safety_checker"]) == ("auto", False)


@case("stream")
@pytest.mark.parametrize(("scenario", "kind"), [("stream", "image_generation"), ("edit-stream", "image_edit")])
def test_a_stream_brings_previews_and_the_picture(saw, scenario, kind):
    assert saw.results[scenario]["events"] == [
        {"type": f"{kind}.partial_image", "sha256": sha(OTHER)},
        {"type": f"{kind}.completed", "sha256": sha(GOOD)},
    ]
    (asked,) = saw.tries(scenario)
    assert asked.answer == script.body_of(play(saw.sent(scenario)[0]))
    assert saw.calls[scenario] == 1


WORDS = ["prompt", "stream", "edit", "edit-stream", "json-edit", "negative", "unknown", "unknown-of-form", "deep"]
INPUTS = ["edit", "second", "mask", "variation", "edit-stream", "json-edit", "json-mask", "file", "markup", "unknown"]
OUTPUTS = ["refused", "edit", "variation", "data-url", "unknown-field"]


@pytest.mark.parametrize(
    ("scenario", "rule", "calls"),
    [pytest.param(f"slot-{one}", "bad-words", 0, marks=case("words", "refusal", "uncalled")) for one in WORDS]
    + [pytest.param(f"input-{one}", "bad-input", 0, marks=case("input", "refusal", "uncalled")) for one in INPUTS]
    + [pytest.param(f"output-{one}", "bad-output", 1, marks=case("output", "refusal")) for one in OUTPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule, calls):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert "request was rejected as a result of the safety system" in error["message"]
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert error["request_id"]
    assert error["request_id"] in error["message"]
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@case("output")
def test_one_bad_picture_of_two_leaves_its_neighbour(saw):
    good, bad = saw.results["output-one-of-two"]["entries"]
    assert good["sha256"] == sha(GOOD)
    assert bad["sha256"] is None
    assert bad["error"]["code"] == "moderation_blocked"
    assert saw.calls["output-one-of-two"] == len(saw.tries("output-one-of-two")) == 1


@case("output", "stream", "refusal")
@pytest.mark.parametrize("scenario", ["output-stream-partial", "output-stream-last", "output-edit-stream"])
def test_a_refusal_in_the_middle_of_a_stream_is_raised(saw, scenario):
    result = saw.results[scenario]
    assert [event["sha256"] for event in result["events"]] == [sha(OTHER)]
    assert (result["error"]["class"], result["error"]["code"]) == ("APIError", "moderation_blocked")
    assert saw.calls[scenario] == len(saw.tries(scenario)) == 1


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []
    assert sum(name.startswith("output-") for name in saw.results) == 9


@case("input")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    assert not any(b"FORBIDDEN" in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("fault")
def test_a_stream_that_is_cut_is_raised(saw):
    result = saw.results["stream-cut"]
    assert len(result["events"]) == 1
    assert result["error"]["class"] == "APIError"
    assert result["error"]["code"] == "upstream_error"


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "name", "status"),
    [("busy", "RateLimitError", 429), ("html", "InternalServerError", 502), ("closed", "NotFoundError", 404)],
)
def test_faults_arrive_as_the_class_that_callers_handle(saw, scenario, name, status):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"]) == (name, status)
    assert saw.calls[scenario] == (scenario != "closed")


@case("clean")
def test_routes_without_pictures_pass(saw):
    assert saw.results["models"] == {"models": ["m-1"]}
    (asked,) = saw.tries("models")
    assert asked.answer == MODELS


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
    blocked = [name for name in saw.results if name.startswith(("slot-", "input-", "output-"))]
    assert saw.refusals == len(blocked)
