"""The real comfy-api-simplified and comfykit against a running guard in front of a scripted ComfyUI."""

from __future__ import annotations

import base64
import json

import pytest

from guardrail.upstream.comfy import Comfy
from tests.conformance.cases import case
from tests.conformance.comfy_server import ComfyServer, scenario_of
from tests.conformance.guarded import MARK, Saw, drive, program_of, sha
from tests.stand_ins import png

DOOR = "comfy"
KIT = "comfykit"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

GOOD, OTHER, MADE, BAD, PREVIEW = png("good"), png("other"), png("made"), png(MARK.decode()), png(f"preview {MARK!r}")
REFUSED = "Request failed with status code 400: Bad Request"


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    program = program_of("comfy")
    folder = tmp_path_factory.mktemp("comfy")
    for name, data in (("good", GOOD), ("other", OTHER), ("bad", BAD)):
        (folder / f"{name}.png").write_bytes(data)
    bad = dict.fromkeys(("bad-saved", "bad-sent", "bad-kit-socket", "bad-kit-http"), BAD)
    with ComfyServer({"": MADE, **bad}, PREVIEW) as server:
        server.uploads |= {"there.png": OTHER, "planted.png": BAD}
        return drive(Comfy(), server, program, "comfy_client.py", folder, scenario_of)


def posted(saw: Saw, scenario: str) -> int:
    """How many graphs of a scenario the client sent the guard: one, unless it tried again."""
    return sum(asked.method == "POST" for asked in saw.tries(scenario))


@pytest.mark.parametrize("scenario", ["saved", "sent", "edited", "swapped", "of-the-server", "guessed"])
@case("clean")
def test_what_was_made_arrives_byte_for_byte_and_no_preview_does(saw, scenario):
    assert saw.results[scenario]["sha256"] == [sha(MADE)]
    assert [heard.method for heard in saw.sent(scenario)].count("POST") == 1


@case("clean")
@pytest.mark.parametrize("scenario", ["saved", "edited"])
def test_a_picture_and_the_answer_to_a_prompt_leave_as_they_came(saw, scenario):
    pictures = [asked.answer for asked in saw.tries(scenario) if asked.method == "GET"]
    assert pictures == [MADE]
    (told,) = (asked for asked in saw.tries(scenario) if asked.method == "POST")
    assert json.loads(told.answer)["node_errors"] == {}


@case("clean", client=KIT)
@pytest.mark.parametrize("scenario", ["kit-http", "kit-socket", "kit-upload"])
def test_a_kit_is_told_what_was_made(saw, scenario):
    result = saw.results[scenario]
    assert (result["status"], result["images"]) == ("completed", [f"/view?filename={scenario}_00001_.png&type=output"])


@case("clean")
def test_lists_pass(saw):
    assert saw.results["queue"] == {"value": {"queue_running": [], "queue_pending": []}}


@case("input")
def test_a_picture_does_not_take_the_name_of_one_that_was_judged(saw):
    assert saw.results["swapped"]["names"] == ["good.png", "good (1).png"]


WORDS = ["text", "negative", "joined", "sdxl", "flux", "qwen", "api-node", "unknown", "list", "title", "file-name"]


@case("words", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", [f"word-{one}" for one in WORDS])
def test_a_word_in_a_graph_is_refused_once_and_never_reaches_the_server(saw, scenario):
    assert saw.results[scenario] == {"error": {"class": "ComfyApiError", "text": REFUSED}}
    assert (posted(saw, scenario), saw.sent(scenario)) == (1, [])


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        pytest.param("word-kit-http", "bad-words", marks=case("words", "refusal", "uncalled", client=KIT)),
        pytest.param("word-kit-socket", "bad-words", marks=case("words", "refusal", "uncalled", client=KIT)),
        pytest.param("picture-kit-of-the-server", "bad-input", marks=case("input", "refusal", "uncalled", client=KIT)),
    ],
)
def test_a_kit_shows_why(saw, scenario, rule):
    result = saw.results[scenario]
    assert result["status"] == "error"
    assert "[400]" in result["msg"]
    assert "content_policy_violation" in result["msg"]
    assert rule in result["msg"]
    assert (posted(saw, scenario), saw.sent(scenario)) == (1, [])


@case("input", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", ["picture-upload", "picture-of-the-server", "picture-missing"])
def test_a_picture_that_is_bad_or_cannot_be_seen_is_refused(saw, scenario):
    assert saw.results[scenario] == {"error": {"class": "ComfyApiError", "text": REFUSED}}
    assert saw.sent(scenario) == []


@case("input", "refusal", "uncalled", client=KIT)
@pytest.mark.parametrize("scenario", ["picture-kit-upload", "picture-kit-socket"])
def test_a_kit_is_not_given_the_upload_of_a_bad_picture(saw, scenario):
    result = saw.results[scenario]
    assert result["status"] == "error"
    assert "HTTP 400" in result["msg"]
    assert saw.sent(scenario) == []


@case("input")
def test_a_bad_picture_is_not_stored(saw):
    assert not any(BAD in heard.body for heard in saw.heard)


@case("output", "refusal")
def test_a_bad_picture_is_not_handed_out(saw):
    error = saw.results["bad-saved"]["error"]
    assert (error["class"], error["text"]) == ("ComfyApiError", "Request failed with status code 403: Forbidden")
    assert posted(saw, "bad-saved") == 1


@case("output")
def test_a_picture_of_no_job_that_is_known_is_not_handed_out(saw):
    assert saw.results["of-no-job"]["error"]["text"] == "Request failed with status code 404: Not Found"


@case("output", "stream", "refusal")
def test_a_bad_picture_is_not_sent(saw):
    assert saw.results["bad-sent"] == {"error": {"class": "ComfyApiError", "text": "Execution error occurred."}}
    assert posted(saw, "bad-sent") == 1


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("bad-kit-http", marks=case("output", client=KIT)),
        pytest.param("bad-kit-socket", marks=case("output", "stream", client=KIT)),
    ],
)
def test_a_kit_names_a_bad_picture_at_most_and_gets_none(saw, scenario):
    assert scenario in saw.results
    assert [asked for asked in saw.tries(scenario) if asked.method == "GET" and asked.status == 200] == []


@pytest.mark.parametrize("client", [pytest.param(one, marks=case("output", client=one)) for one in (None, KIT)])
def test_not_one_byte_of_a_bad_picture_or_a_preview_leaves(saw, client):
    assert saw.leaked() == []
    assert any(asked.status == 101 and b"execution_start" in asked.answer for asked in saw.asked)


@case("stream")
def test_what_goes_on_is_told_on_the_socket(saw):
    said = b"".join(asked.answer for asked in saw.asked if asked.status == 101)
    assert all(kind in said for kind in (b'"progress"', b'"executing"', b'"executed"', b'"execution_success"'))


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    basic = "Basic " + base64.b64encode(b"anna:s3cret").decode()
    told = {heard.headers.get("authorization") for heard in saw.heard if scenario_of(heard) in ("saved", "edited")}
    assert told == {basic}
    sockets = [heard for heard in saw.heard if heard.target.startswith("/ws")]
    assert basic in {heard.headers.get("authorization") for heard in sockets}


@case("caller")
def test_the_graph_goes_on_as_it_came(saw):
    (heard,) = [one for one in saw.sent("saved") if one.method == "POST"]
    (asked,) = [one for one in saw.tries("saved") if one.method == "POST"]
    assert heard.body == asked.body


@case("caller", client=KIT)
def test_the_graph_of_a_kit_goes_on_as_it_came(saw):
    (heard,) = [one for one in saw.sent("kit-http") if one.method == "POST"]
    (asked,) = [one for one in saw.tries("kit-http") if one.method == "POST"]
    assert heard.body == asked.body


@case("fault")
@pytest.mark.parametrize(("scenario", "said"), [("broken", "502: Bad Gateway"), ("closed", "404: Not Found")])
def test_what_is_no_answer_and_what_is_closed_is_an_error(saw, scenario, said):
    error = saw.results[scenario]["error"]
    assert error["class"] == "ComfyApiError"
    assert said in error["text"]
    assert all(b"It works" not in asked.answer for asked in saw.asked)


@case("fault", client=KIT)
def test_what_is_no_answer_is_an_error_of_the_kit(saw):
    assert saw.results["broken-kit"]["status"] == "error"
    assert "[502]" in saw.results["broken-kit"]["msg"]


@pytest.mark.parametrize("client", [pytest.param(one, marks=case("record", client=one)) for one in (None, KIT)])
def test_the_record_of_it_all_holds_together(saw, client):
    assert saw.faults == []
