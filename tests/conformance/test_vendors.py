"""The real openai packages: moderations, Azure's deployment paths, xAI's JSON edits, Together's fields."""

from __future__ import annotations

import hashlib
import json

import pytest

from guardrail.upstream.openai import OpenAIImages
from tests.conformance.guarded import MARK, Saw, drive, python_of
from tests.server import upstream as script
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.stand_ins import png

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

GOOD, OUT, BAD = png("good"), png("out"), png(MARK.decode())
OUT_SHA = hashlib.sha256(OUT).hexdigest()
AZURE = "/openai/deployments/"


def scenario_of(heard: Heard) -> str:
    if heard.headers.get("content-type", "").startswith("application/json"):
        return str(json.loads(heard.body)["model"])
    return heard.body.partition(b'name="model"\r\n\r\n')[2].partition(b"\r\n")[0].decode()


def play(heard: Heard) -> Script:
    name = scenario_of(heard)
    if name == "azure-output-refused":
        return script.images(BAD)
    if name == "xai-moderated":
        return script.whole(b'{"data": [{"b64_json": null, "url": "", "respect_moderation": false}]}')
    return script.images(OUT)


@pytest.fixture(scope="module", params=["openai3", "openai2"])
def saw(request, tmp_path_factory) -> Saw:
    python = python_of(request.param)
    folder = tmp_path_factory.mktemp(f"vendors-{request.param}")
    (folder / "good.png").write_bytes(GOOD)
    (folder / "bad.png").write_bytes(BAD)
    with ScriptedUpstream() as generator:
        generator.script = play
        return drive(OpenAIImages(), generator, python, "client_vendors.py", folder, scenario_of)


def test_a_moderation_is_answered_by_the_guard_and_reads_like_openais(saw):
    said = saw.results["moderate"]
    assert said["model"] == "omni-moderation-latest"
    assert said["id"].startswith("modr-")
    (result,) = said["results"]
    assert (result["flagged"], result["sexual"], result["score"]) == (False, False, 0.0)
    assert result["violence"] is None  # nobody looked
    assert result["guardrail"]["receipt"] in said["id"]


def test_what_the_policy_refuses_is_flagged_string_by_string(saw):
    said = saw.results["moderate-refused"]
    assert said["model"] == "omni-moderation-2024-09-26"
    assert [one["flagged"] for one in said["results"]] == [True]
    assert said["results"][0]["guardrail"]["rules"] == ["bad-words"]
    several = saw.results["moderate-several"]["results"]
    assert [one["flagged"] for one in several] == [False, True, False]
    assert len({one["guardrail"]["receipt"] for one in several}) == 3


def test_a_picture_is_moderated(saw):
    (result,) = saw.results["moderate-picture"]["results"]
    assert result["guardrail"]["rules"] == ["bad-input"]
    assert saw.results["moderate-unread"]["error"]["class"] == "BadRequestError"


def test_no_moderation_reached_the_generator(saw):
    assert not any(name.startswith("moderate") for name in saw.calls)
    assert not any("moderations" in heard.target for heard in saw.heard)


@pytest.mark.parametrize("scenario", ["azure", "azure-edit"])
def test_azures_calls_go_to_the_deployment_with_the_callers_own_key(saw, scenario):
    assert saw.results[scenario]["sha256"] == [OUT_SHA]
    (heard,) = [one for one in saw.heard if scenario_of(one) == scenario]
    kind = "edits" if "edit" in scenario else "generations"
    assert heard.target == f"{AZURE}{scenario}/images/{kind}?api-version=2025-04-01-preview"
    assert heard.headers["api-key"] == "azure-own-key"


@pytest.mark.parametrize(
    ("scenario", "rule", "calls"),
    [
        ("azure-prompt-refused", "bad-words", 0),
        ("azure-edit-refused", "bad-input", 0),
        ("azure-output-refused", "bad-output", 1),
    ],
)
def test_azures_refusal_is_a_content_filter_that_is_not_tried_again(saw, scenario, rule, calls):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "contentFilter")
    details = error["body"]["inner_error"]["content_filter_results"]["custom_blocklists"]["details"]
    assert details == [{"id": rule, "filtered": True}]
    assert saw.calls[scenario] == calls


def test_an_edit_in_json_passes_and_is_judged(saw):
    assert saw.results["xai-edit"]["sha256"] == [OUT_SHA]
    for scenario in ("xai-prompt-refused", "xai-input-refused"):
        assert saw.results[scenario]["error"]["code"] == "moderation_blocked"
        assert saw.calls[scenario] == 0


def test_xais_own_refusal_reaches_the_client_once(saw):
    assert saw.results["xai-moderated"]["sha256"] == [None]
    assert saw.results["xai-moderated"]["extra"][0]["respect_moderation"] is False
    assert saw.calls["xai-moderated"] == 1


def test_togethers_switch_is_turned_back_on(saw):
    assert saw.results["together"]["sha256"] == [OUT_SHA]
    (heard,) = [one for one in saw.heard if scenario_of(one) == "together"]
    assert json.loads(heard.body)["disable_safety_checker"] is False


@pytest.mark.parametrize(
    "scenario", ["together-negative-refused", "together-reference-refused", "together-image-refused"]
)
def test_every_slot_of_together_is_judged(saw, scenario):
    assert saw.results[scenario]["error"]["code"] == "moderation_blocked"
    assert saw.calls[scenario] == 0


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
