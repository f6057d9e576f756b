"""The real litellm asks Gemini through the guard: image calls, edits, chats and streams."""

from __future__ import annotations

import base64
import re

import pytest

from guardrail.upstream.gemini import Gemini
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, Saw, run_client
from tests.conformance.test_gemini import answer, candidate, event, inline
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "litellm-gemini"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def b64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def scenario_of(heard: Heard) -> str:
    found = re.search(r"flash-image-([a-z-]+):", heard.target)
    return found.group(1) if found else heard.target


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario; the scenario is the end of the model's name."""
    name = scenario_of(heard)
    picture = BAD if name.startswith("output") else GOOD
    if name == "html":
        return script.html()
    if "stream" in name:
        return script.events([event(candidate({"text": "here "}, reason=None)), event(candidate(inline(picture)))])
    return script.whole(answer(candidate({"text": "here"}, inline(picture))))


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp("litellm-gemini")
    return run_client(folder, request.param, "litellm_gemini_client.py", Gemini(), play, scenario_of)


@case("clean")
@pytest.mark.parametrize("scenario", ["generate", "edit", "chat", "chat-edit"])
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario):
    assert saw.results[scenario]["pictures"] == [b64(GOOD)]
    (asked,), (heard,) = saw.tries(scenario), saw.sent(scenario)
    assert asked.answer == script.body_of(play(heard))


@case("stream", "clean")
def test_a_stream_arrives_as_it_was_sent(saw):
    assert saw.results["stream"] == {"content": "here ", "pictures": [b64(GOOD)], "reason": "stop"}
    (asked,), (heard,) = saw.tries("stream"), saw.sent("stream")
    assert asked.answer == script.body_of(play(heard))


CHATS = {"slot-chat": "words", "slot-history": "words", "slot-system": "words", "input-chat": "input"}


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [pytest.param(name, 0, marks=case(one, "refusal", "uncalled")) for name, one in CHATS.items()]
    + [
        pytest.param("slot-stream", 0, marks=case("words", "refusal", "uncalled", "stream")),
        pytest.param("input-stream", 0, marks=case("input", "refusal", "uncalled", "stream")),
        pytest.param("output-chat", 1, marks=case("output", "refusal")),
        pytest.param("output-stream", 1, marks=case("output", "refusal", "stream")),
    ],
)
def test_a_refused_chat_ends_for_its_content_and_is_not_tried_again(saw, scenario, calls):
    result = saw.results[scenario]
    assert (result["reason"], result["pictures"]) == ("content_filter", [])
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [pytest.param(f"slot-{one}", 0, marks=case("words", "refusal", "uncalled")) for one in ("prompt", "edit")]
    + [pytest.param("input-edit", 0, marks=case("input", "refusal", "uncalled"))]
    + [pytest.param(f"output-{one}", 1, marks=case("output", "refusal")) for one in ("generate", "edit")],
)
def test_a_refused_image_call_has_no_pictures_as_with_a_block_of_geminis_own(saw, scenario, calls):
    """litellm makes an empty list of any answer of Gemini's without a picture, and raises nothing."""
    assert saw.results[scenario] == {"pictures": []}
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []


@case("input", "words")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    assert not any(b64(BAD).encode()[-40:] in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    assert {heard.headers["x-goog-api-key"] for heard in saw.heard} == {"key-test"}


@case("fault")
@pytest.mark.parametrize(("scenario", "said"), [("html", "upstream_error"), ("imagen", "this route is closed")])
def test_faults_and_what_is_closed_are_raised(saw, scenario, said):
    assert said in saw.results[scenario]["error"]["message"]
    assert saw.calls[scenario] == (scenario == "html")


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
