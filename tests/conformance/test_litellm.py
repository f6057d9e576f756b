"""The real litellm: its guardrail hook asks the guard, and its image calls and chats pass through it."""

from __future__ import annotations

import base64
import json

import pytest

from guardrail.upstream.chat import Chat
from guardrail.upstream.moderation import Moderation
from guardrail.upstream.openai import OpenAIImages
from guardrail.upstream.several import Several
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, by_model, run_client
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "litellm"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def b64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def chatted(picture: bytes) -> Script:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(picture)}"}, "index": 0}
    message = {"role": "assistant", "content": "here", "images": [image]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    said = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "zz": 1.0}
    return script.whole(json.dumps(said, indent=1).encode())


def streamed(*pieces: str) -> Script:
    events = []
    for piece in (*pieces, None):
        one = {"index": 0, "delta": {"content": piece} if piece else {}, "finish_reason": None if piece else "stop"}
        said = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [one]}
        events.append(b"data: " + json.dumps(said).encode() + b"\n\n")
    return script.events([*events, b"data: [DONE]\n\n"])


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario; the scenario is the model that was asked for."""
    markdown = f"![it](data:image/png;base64,{b64(BAD)})"
    scripts = {
        "chat": chatted(GOOD),
        "chat-edit": chatted(GOOD),
        "chat-stream": streamed("here ", "it is"),
        "output-generate": script.images(BAD),
        "output-edit": script.images(BAD),
        "output-chat": chatted(BAD),
        "output-stream": streamed("here: ", *(markdown[at : at + 40] for at in range(0, len(markdown), 40)), " so"),
        "html": script.html(),
    }
    return scripts.get(by_model(heard), script.images(OTHER))


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    # The hook at the same address as the rest, so that one run of the client shows all.
    dialect = Several("litellm", (OpenAIImages(), Chat(), Moderation()))
    folder = tmp_path_factory.mktemp("litellm")
    return run_client(folder, request.param, "litellm_client.py", dialect, play, by_model)


@case("clean")
@pytest.mark.parametrize("scenario", ["hook-text", "hook-picture", "hook-response"])
def test_what_the_policy_lets_through_goes_on_unchanged(saw, scenario):
    assert "error" not in saw.results[scenario]
    assert saw.results[scenario]["texts"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        pytest.param("hook-text-refused", "bad-words", marks=case("words", "refusal")),
        pytest.param("hook-picture-refused", "bad-input", marks=case("input", "refusal")),
        pytest.param("hook-message-refused", "bad-input", marks=case("input", "refusal")),
        pytest.param("hook-response-refused", "bad-words", marks=case("output", "refusal")),
        pytest.param("hook-response-picture-refused", "bad-output", marks=case("output", "refusal")),
    ],
)
def test_what_it_refuses_is_raised_as_litellms_own_block(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert error["class"] == "GuardrailRaisedException"
    assert f"Rules: {rule}." in error["message"]


@case("fault")
@pytest.mark.parametrize("scenario", ["hook-unreadable", "hook-empty"])
def test_what_the_guard_cannot_judge_does_not_pass(saw, scenario):
    assert "Generic Guardrail API failed" in saw.results[scenario]["error"]["message"]


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "picture"), [("generate", OTHER), ("edit", OTHER), ("chat", GOOD), ("chat-edit", GOOD)]
)
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario, picture):
    assert saw.results[scenario]["pictures"] == [b64(picture)]
    (asked,), (heard,) = saw.tries(scenario), saw.sent(scenario)
    assert asked.answer == script.body_of(play(heard))


@case("stream")
def test_a_stream_arrives_as_it_was_sent(saw):
    assert saw.results["chat-stream"] == {"content": "here it is"}
    (asked,), (heard,) = saw.tries("chat-stream"), saw.sent("chat-stream")
    assert asked.answer == script.body_of(play(heard))


SLOTS = ["prompt", "edit", "chat", "history", "system", "stream"]
INPUTS = ["edit", "chat", "history", "stream"]


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [pytest.param(f"slot-{one}", 0, marks=case("words", "refusal", "uncalled")) for one in SLOTS]
    + [pytest.param(f"input-{one}", 0, marks=case("input", "refusal", "uncalled")) for one in INPUTS]
    + [pytest.param(f"output-{one}", 1, marks=case("output", "refusal")) for one in ("generate", "edit")],
)
def test_a_refused_call_is_a_content_policy_violation_that_is_not_tried_again(saw, scenario, calls):
    assert saw.results[scenario]["error"]["class"] == "ContentPolicyViolationError"
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == calls


@case("output")
def test_a_bad_picture_of_a_chat_is_an_answer_without_it(saw):
    result = saw.results["output-chat"]
    assert (result["reason"], result["pictures"]) == ("content_filter", [])
    assert saw.calls["output-chat"] == len(saw.tries("output-chat")) == 1


@case("output", "stream")
def test_a_bad_picture_in_the_words_of_a_stream_is_raised(saw):
    result = saw.results["output-stream"]
    assert "base64" not in result["content"]
    assert "safety system" in result["error"]["message"]
    assert saw.calls["output-stream"] == len(saw.tries("output-stream")) == 1


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []


@case("input", "words")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    assert not any(b64(BAD).encode()[-40:] in heard.body or b"forbidden" in heard.body for heard in saw.heard)
    assert not any(BAD in heard.body for heard in saw.heard)


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    assert {heard.headers["authorization"] for heard in saw.heard} == {"Bearer sk-test"}


@case("fault")
def test_a_fault_of_the_generator_is_raised(saw):
    assert saw.results["html"]["error"]["class"] in {"InternalServerError", "BadGatewayError"}


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
