"""The real openai packages: moderations, Azure's deployment paths, xAI's JSON edits, Together's fields."""

from __future__ import annotations

import json

import pytest

from guardrail.upstream.openai import OpenAIImages
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, by_model, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "vendors"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

AZURE = "/openai/deployments/"


def scenario_of(heard: Heard) -> str:
    return "moderation" if heard.target.endswith("/moderations") else by_model(heard)


def play(heard: Heard) -> Script:
    name = scenario_of(heard)
    if name.startswith("azure-stream"):
        last = BAD if "output" in name else GOOD
        kind = "image_generation"
        return script.events(
            [
                script.event(f"{kind}.partial_image", OTHER, partial_image_index=0),
                script.event(f"{kind}.completed", last),
            ]
        )
    if "output" in name:
        return script.images(BAD)
    if name == "azure-busy":
        return script.too_many()
    if name == "xai-moderated":
        return script.whole(b'{"data": [{"b64_json": null, "url": "", "respect_moderation": false}]}')
    return script.images(OTHER)


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(f"vendors-{request.param}")
    return run_client(folder, request.param, "vendors_client.py", OpenAIImages(), play, scenario_of)


@case("clean")
def test_a_moderation_is_answered_by_the_guard_and_reads_like_openais(saw):
    said = saw.results["moderate"]
    assert said["model"] == "omni-moderation-latest"
    assert said["id"].startswith("modr-")
    (result,) = said["results"]
    assert (result["flagged"], result["sexual"], result["score"]) == (False, False, 0.0)
    assert result["violence"] is None  # nobody looked
    assert result["guardrail"]["receipt"] in said["id"]


@case("words")
def test_what_the_policy_refuses_is_flagged_string_by_string(saw):
    said = saw.results["moderate-refused"]
    assert said["model"] == "omni-moderation-2024-09-26"
    assert [one["flagged"] for one in said["results"]] == [True]
    assert said["results"][0]["guardrail"]["rules"] == ["bad-words"]
    several = saw.results["moderate-several"]["results"]
    assert [one["flagged"] for one in several] == [False, True, False]
    assert len({one["guardrail"]["receipt"] for one in several}) == 3


@case("input")
def test_a_picture_is_moderated(saw):
    (result,) = saw.results["moderate-picture"]["results"]
    assert result["guardrail"]["rules"] == ["bad-input"]
    assert saw.results["moderate-unread"]["error"]["class"] == "BadRequestError"


@case("caller")
def test_no_moderation_reached_the_generator(saw):
    assert not any(name.startswith("moderate") for name in saw.calls)
    assert not any("moderations" in heard.target for heard in saw.heard)


@case("clean", "caller")
@pytest.mark.parametrize("scenario", ["azure", "azure-edit"])
def test_azures_calls_go_to_the_deployment_with_the_callers_own_key(saw, scenario):
    assert saw.results[scenario]["sha256"] == [sha(OTHER)]
    (heard,) = [one for one in saw.heard if scenario_of(one) == scenario]
    kind = "edits" if "edit" in scenario else "generations"
    assert heard.target == f"{AZURE}{scenario}/images/{kind}?api-version=2025-04-01-preview"
    assert heard.headers["api-key"] == "azure-own-key"


@pytest.mark.parametrize(
    ("scenario", "rule", "calls"),
    [
        pytest.param("azure-prompt-refused", "bad-words", 0, marks=case("words", "refusal", "uncalled")),
        pytest.param("azure-edit-prompt-refused", "bad-words", 0, marks=case("words", "refusal", "uncalled")),
        pytest.param("azure-edit-refused", "bad-input", 0, marks=case("input", "refusal", "uncalled")),
        pytest.param("azure-output-refused", "bad-output", 1, marks=case("output", "refusal")),
        pytest.param("azure-output-edit-refused", "bad-output", 1, marks=case("output", "refusal")),
    ],
)
def test_azures_refusal_is_a_content_filter_that_is_not_tried_again(saw, scenario, rule, calls):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "contentFilter")
    details = error["body"]["inner_error"]["content_filter_results"]["custom_blocklists"]["details"]
    assert details == [{"id": rule, "filtered": True}]
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@case("clean")
@pytest.mark.parametrize("scenario", ["azure", "azure-edit", "xai-edit", "xai-moderated", "together"])
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario):
    (asked,), (heard,) = saw.tries(scenario), saw.sent(scenario)
    assert asked.answer == script.body_of(play(heard))


@case("stream")
def test_a_stream_arrives_as_it_was_sent(saw):
    assert saw.results["azure-stream"] == {"events": [sha(OTHER), sha(GOOD)]}
    (asked,), (heard,) = saw.tries("azure-stream"), saw.sent("azure-stream")
    assert asked.answer == script.body_of(play(heard))


@case("stream", "output")
def test_a_bad_picture_in_a_stream_is_raised(saw):
    result = saw.results["azure-stream-output"]
    assert result["events"] == [sha(OTHER)]
    assert result["error"]["class"] == "APIError"
    assert saw.calls["azure-stream-output"] == len(saw.tries("azure-stream-output")) == 1


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []


@case("fault")
def test_a_fault_of_azure_arrives_as_the_class_that_callers_handle(saw):
    assert saw.results["azure-busy"]["error"]["class"] == "RateLimitError"


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [
        pytest.param("xai-prompt-refused", 0, marks=case("words", "refusal", "uncalled")),
        pytest.param("xai-input-refused", 0, marks=case("input", "refusal", "uncalled")),
        pytest.param("xai-output-refused", 1, marks=case("output", "refusal")),
        pytest.param("together-negative-refused", 0, marks=case("words", "refusal", "uncalled")),
        pytest.param("together-reference-refused", 0, marks=case("input", "refusal", "uncalled")),
        pytest.param("together-image-refused", 0, marks=case("input", "refusal", "uncalled")),
        pytest.param("together-output-refused", 1, marks=case("output", "refusal")),
    ],
)
def test_xais_edits_and_every_slot_of_together_are_judged(saw, scenario, calls):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["code"]) == ("BadRequestError", "moderation_blocked")
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@case("clean")
def test_xais_own_refusal_reaches_the_client_once(saw):
    assert saw.results["xai-moderated"]["sha256"] == [None]
    assert saw.results["xai-moderated"]["extra"][0]["respect_moderation"] is False
    assert saw.calls["xai-moderated"] == 1


@case("caller")
def test_togethers_switch_is_turned_back_on(saw):
    assert saw.results["together"]["sha256"] == [sha(OTHER)]
    (heard,) = [one for one in saw.heard if scenario_of(one) == "together"]
    assert json.loads(heard.body)["disable_safety_checker"] is False


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
