"""Chats with pictures through the real openai packages: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from guardrail.upstream.chat import Chat
from tests.conformance.running import BAD, GOOD, OTHER, Saw, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def scenario_of(heard: Heard) -> str:
    return str(json.loads(heard.body)["model"])


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
CLEAN = answer(choice("here", GOOD))


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario."""
    whole = {
        "two-choices": answer(choice("a", GOOD), choice("b", OTHER, index=1)),
        "markdown": answer(choice(f"there: ![it]({url(GOOD)}) it is")),
        "words-only": answer(choice("I can not paint that.")),
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
        "stream-cut": script.events([*told("here "), 0.3], finish=False),
        "busy": script.too_many(),
        "html": script.html(),
    }
    name = scenario_of(heard)
    return streams.get(name) or script.whole(whole.get(name, CLEAN), "200 OK", "application/json", "X-Up: 1")


@pytest.fixture(scope="module", params=["openai3", "openai2"])
def saw(request, tmp_path_factory) -> Saw:
    return run_client(tmp_path_factory.mktemp(request.param), request.param, "chat_client.py", Chat(), play)


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0"}


@pytest.mark.parametrize("scenario", ["generate", "generate-async", "edit", "switches"])
def test_a_clean_answer_brings_its_picture_with_one_call(saw, scenario):
    (one,) = saw.results[scenario]["choices"]
    assert (one["content"], one["pictures"], one["reason"]) == ("here", [sha(GOOD)], "stop")
    assert len(saw.calls(scenario, scenario_of)) == 1


def test_a_clean_answer_is_the_generators_byte_for_byte_and_carries_the_receipt(saw):
    result = saw.results["generate-headers"]
    assert result["sha256"] == hashlib.sha256(CLEAN).hexdigest()
    assert result["headers"]["x-up"] == "1"
    assert result["headers"]["x-guardrail-decision"] == "allow"
    assert result["headers"]["x-guardrail-checked"] == "prompt=2/2, output=1/1"


def test_every_choice_arrives(saw):
    assert [one["pictures"] for one in saw.results["two-choices"]["choices"]] == [[sha(GOOD)], [sha(OTHER)]]


def test_pictures_in_words_and_words_alone_arrive(saw):
    assert url(GOOD) in saw.results["markdown"]["choices"][0]["content"]
    assert saw.results["words-only"]["choices"][0]["content"] == "I can not paint that."


def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    (heard,) = saw.calls("switches", scenario_of)
    assert heard.headers["authorization"] == "Bearer sk-test"
    assert json.loads(heard.body)["disable_safety_checker"] is False


def test_a_stream_arrives_whole(saw):
    result = saw.results["stream"]
    assert (result["content"], result["pictures"], result["reasons"]) == ("here: ", [sha(GOOD)], ["stop"])
    assert saw.results["stream-markdown"]["content"] == f"there: ![it]({url(GOOD)}) it is"


SLOTS = ["text", "part", "history", "assistant", "system", "developer", "tool", "tool-call", "tool-answer",
         "prediction", "unknown", "stream"]  # fmt: skip
INPUTS = ["picture", "second", "history", "assistant-images", "assistant-markdown", "tool-answer", "stream"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [(f"slot-{one}", "bad-words") for one in SLOTS] + [(f"input-{one}", "bad-input") for one in INPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert "request was rejected as a result of the safety system" in error["message"]
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert error["request_id"] in error["message"]
    assert saw.calls(scenario, scenario_of) == []


@pytest.mark.parametrize(
    "scenario", ["output-images", "output-markdown", "output-html", "output-parts", "output-unknown-field"]
)
def test_a_bad_picture_out_is_a_message_that_refuses(saw, scenario):
    (one,) = saw.results[scenario]["choices"]
    assert (one["reason"], one["content"], one["pictures"]) == ("content_filter", None, [])
    assert "Rules: bad-output." in one["refusal"]
    assert len(saw.calls(scenario, scenario_of)) == 1


def test_one_bad_choice_of_two_leaves_its_neighbour(saw):
    good, bad = saw.results["output-one-of-two"]["choices"]
    assert good["pictures"] == [sha(GOOD)]
    assert (bad["reason"], bad["pictures"]) == ("content_filter", [])


def test_a_bad_picture_in_a_stream_is_raised(saw):
    result = saw.results["output-stream"]
    assert (result["content"], result["pictures"]) == ("here: ", [sha(GOOD)])
    assert (result["error"]["class"], result["error"]["code"]) == ("APIError", "moderation_blocked")


def test_a_picture_in_the_words_of_a_stream_is_held_back(saw):
    result = saw.results["output-stream-markdown"]
    assert "base64" not in result["content"]
    assert result["error"]["code"] == "moderation_blocked"


def test_nothing_of_a_bad_picture_arrives_anywhere(saw):
    seen = json.dumps(saw.results)
    assert sha(BAD) not in seen
    assert base64.b64encode(BAD).decode()[40:80] not in seen


def test_a_stream_that_is_cut_is_raised(saw):
    assert saw.results["stream-cut"]["error"]["code"] == "upstream_error"


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
    assert len(saw.calls(scenario, scenario_of)) == (scenario in ("busy", "html"))


def test_each_refusal_was_asked_for_once(saw):
    """A client that retries would be seen here."""
    outputs = [name for name in saw.results if name.startswith("output-")]
    assert len(outputs) == 8
    assert saw.refusals == len(SLOTS) + len(INPUTS) + len(outputs)


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
