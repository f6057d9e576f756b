"""Chats with pictures through the real openai packages: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from guardrail.upstream.chat import Chat
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, by_model, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script
from tests.upstream.asking import Store

DOOR = "chat"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def image(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url(data)}, "index": 0}


def choice(content: Any = "here", *pictures: bytes, index: int = 0, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    if pictures:
        message["images"] = [image(one) for one in pictures]
    return {"index": index, "message": message, "finish_reason": "stop"}


def answer(*choices: dict[str, Any]) -> bytes:
    said = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": list(choices), "zz": 1.0}
    return json.dumps(said, indent=1).encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    one = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [one]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def told(text: str) -> list[script.Step]:
    """A text in deltas of some characters each, as a model says it."""
    return [chunk(content=text[at : at + 16]) for at in range(0, len(text), 16)]


END = [chunk("stop"), b"data: [DONE]\n\n"]
ELSEWHERE = "https://127.0.0.1:1/made"  # nobody is there, and nobody may go there
HOSTED = {"https://a.example/good": GOOD, "https://a.example/bad": BAD}
SHOWN = "there: ![it](https://a.example/good) it is"
REFUSED = "there: ![it](https://a.example/bad) it is"
CLEAN = answer(choice("here", GOOD))


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario."""
    whole = {
        "two-choices": answer(choice("a", GOOD), choice("b", OTHER, index=1)),
        "markdown": answer(choice(f"there: ![it]({url(GOOD)}) it is")),
        "words-only": answer(choice("I can not paint that.")),
        "address": answer(choice(f"there: ![it]({ELSEWHERE}) it is")),
        "address-good": answer(choice(SHOWN)),
        "output-address": answer(choice(REFUSED)),
        "output-link": answer(choice("there: [the picture](https://a.example/bad) it is")),
        "output-images": answer(choice("here", BAD)),
        "output-markdown": answer(choice(f"there: ![it]({url(BAD)}) it is")),
        "output-html": answer(choice(f"there: <img src='{url(BAD)}'> it is")),
        "output-parts": answer(choice([{"type": "text", "text": "here"}, image(BAD)])),
        "output-unknown-field": answer(choice("here", GOOD, preview=[url(BAD)])),
        "output-one-of-two": answer(choice("a", GOOD), choice("b", BAD, index=1)),
    }
    streams = {
        "stream": script.events([*told("here: "), b": PROCESSING\n\n", chunk(images=[image(GOOD)]), *END]),
        "stream-markdown": script.events([*told(f"there: ![it]({url(GOOD)}) it is"), *END]),
        "output-stream": script.events(
            [*told("here: "), chunk(images=[image(GOOD)]), chunk(images=[image(BAD)]), *told("so."), *END]
        ),
        "output-stream-markdown": script.events([*told(f"there: ![it]({url(BAD)}) it is"), *END]),
        "stream-address": script.events([*told(f"there: ![it]({ELSEWHERE}) it is"), *END]),
        "stream-address-good": script.events([*told(SHOWN), *END]),
        "output-stream-address": script.events([*told(REFUSED), *END]),
        "stream-cut": script.events([*told("here "), 0.3], finish=False),
        "busy": script.too_many(),
        "html": script.html(),
    }
    name = by_model(heard)
    return streams.get(name) or script.whole(whole.get(name, CLEAN), "200 OK", "application/json", "X-Up: 1")


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(request.param)
    fetch = Store(HOSTED).fetch
    return run_client(folder, request.param, "chat_client.py", Chat(), play, by_model, fetch=fetch)


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0", "6.49.0"}


@case("clean")
@pytest.mark.parametrize("scenario", ["generate", "generate-async", "edit", "switches"])
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario):
    (one,) = saw.results[scenario]["choices"]
    assert (one["content"], one["pictures"], one["reason"]) == ("here", [sha(GOOD)], "stop")
    (asked,) = saw.tries(scenario)
    assert (asked.answer, asked.answer_headers["x-up"]) == (CLEAN, "1")
    assert asked.answer_headers["x-guardrail-decision"] == "allow"
    assert saw.calls[scenario] == 1


@case("clean")
def test_a_clean_answer_carries_the_receipt(saw):
    (asked,) = saw.tries("generate")
    assert asked.answer_headers["x-guardrail-checked"] == "prompt=2/2, output=1/1"


@case("clean")
def test_every_choice_arrives(saw):
    assert [one["pictures"] for one in saw.results["two-choices"]["choices"]] == [[sha(GOOD)], [sha(OTHER)]]


@case("clean")
def test_pictures_in_words_and_words_alone_arrive(saw):
    assert url(GOOD) in saw.results["markdown"]["choices"][0]["content"]
    assert saw.results["address-good"]["choices"][0]["content"] == SHOWN
    assert saw.results["words-only"]["choices"][0]["content"] == "I can not paint that."


@case("caller")
def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    assert {heard.headers["authorization"] for heard in saw.heard} == {"Bearer sk-test"}
    (heard,) = saw.sent("switches")
    assert json.loads(heard.body)["disable_safety_checker"] is False


@case("stream")
@pytest.mark.parametrize("scenario", ["stream", "stream-markdown", "stream-address-good"])
def test_a_stream_arrives_whole_and_as_it_was_sent(saw, scenario):
    (asked,) = saw.tries(scenario)
    assert asked.answer == script.body_of(play(saw.sent(scenario)[0]))
    assert saw.results[scenario]["reasons"] == ["stop"]


@case("stream")
def test_a_stream_brings_words_and_pictures(saw):
    result = saw.results["stream"]
    assert (result["content"], result["pictures"]) == ("here: ", [sha(GOOD)])
    assert saw.results["stream-markdown"]["content"] == f"there: ![it]({url(GOOD)}) it is"


SLOTS = ["text", "part", "history", "assistant", "system", "developer", "tool", "tool-call", "tool-answer",
         "prediction", "unknown", "name", "stream"]  # fmt: skip
INPUTS = ["picture", "second", "history", "assistant-images", "assistant-markdown", "tool-answer", "stream"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [pytest.param(f"slot-{one}", "bad-words", marks=case("words", "refusal", "uncalled")) for one in SLOTS]
    + [pytest.param(f"input-{one}", "bad-input", marks=case("input", "refusal", "uncalled")) for one in INPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert "request was rejected as a result of the safety system" in error["message"]
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert error["request_id"] in error["message"]
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == 0


@case("output", "refusal")
@pytest.mark.parametrize(
    "scenario",
    [
        "output-images",
        "output-markdown",
        "output-html",
        "output-parts",
        "output-unknown-field",
        "output-address",
        "output-link",
    ],
)
def test_a_bad_picture_out_is_a_message_that_refuses(saw, scenario):
    (one,) = saw.results[scenario]["choices"]
    assert (one["reason"], one["content"], one["pictures"]) == ("content_filter", None, [])
    assert "Rules: bad-output." in one["refusal"]
    assert saw.calls[scenario] == len(saw.tries(scenario)) == 1


@case("output")
def test_one_bad_choice_of_two_leaves_its_neighbour(saw):
    good, bad = saw.results["output-one-of-two"]["choices"]
    assert good["pictures"] == [sha(GOOD)]
    assert (bad["reason"], bad["pictures"]) == ("content_filter", [])


@case("output", "stream", "refusal")
def test_a_bad_picture_in_a_stream_is_raised(saw):
    result = saw.results["output-stream"]
    assert (result["content"], result["pictures"]) == ("here: ", [sha(GOOD)])
    assert (result["error"]["class"], result["error"]["code"]) == ("APIError", "moderation_blocked")
    assert saw.calls["output-stream"] == len(saw.tries("output-stream")) == 1


@case("output", "stream")
@pytest.mark.parametrize("scenario", ["output-stream-markdown", "output-stream-address"])
def test_a_picture_in_the_words_of_a_stream_is_held_back(saw, scenario):
    result = saw.results[scenario]
    assert result["content"] == ""
    assert result["error"]["code"] == "moderation_blocked"


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []
    assert sum(name.startswith("output-") for name in saw.results) == 11
    assert all(b"a.example/bad" not in asked.answer for asked in saw.asked)


@case("output")
@pytest.mark.parametrize("scenario", ["address", "stream-address"])
def test_an_address_that_a_chat_window_shows_does_not_leave_unseen(saw, scenario):
    assert saw.results[scenario]["error"]["code"] == "upstream_error"
    assert all(b"127.0.0.1:1/" not in asked.answer for asked in saw.tries(scenario))


@case("input")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    spelled = base64.b64encode(BAD)[-40:]
    assert not any(spelled in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("fault")
def test_a_stream_that_is_cut_is_raised(saw):
    assert saw.results["stream-cut"]["error"]["code"] == "upstream_error"


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "name", "status"),
    [
        ("busy", "RateLimitError", 429),
        ("html", "InternalServerError", 502),
        ("reference-file", "BadRequestError", 400),
        ("reference-sound", "BadRequestError", 400),
        ("closed", "NotFoundError", 404),
    ],
)
def test_faults_and_what_is_closed_arrive_as_the_class_that_callers_handle(saw, scenario, name, status):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"]) == (name, status)
    assert saw.calls[scenario] == (scenario in ("busy", "html"))


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
    blocked = [name for name in saw.results if name.startswith(("slot-", "input-", "output-"))]
    assert saw.refusals == len(blocked) == len(SLOTS) + len(INPUTS) + 11
