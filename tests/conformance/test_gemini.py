"""The real google-genai packages against a running guard: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from guardrail.upstream.gemini import Gemini
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, MARK, OTHER, Saw, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "gemini"
URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
NPM = "2.32.0"  # its errors have one class, and say by their status what they are
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def scenario_of(heard: Heard) -> str:
    if heard.target.startswith("/upload/"):
        sent = "upload_id" in heard.target
        return ("input-upload" if MARK in heard.body else "upload-send") if sent else "upload-start"
    found = re.search(r"/models/([a-z0-9-]+):", heard.target)
    return found.group(1) if found else heard.target


def inline(data: bytes, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **more}


def candidate(*parts: dict[str, Any], index: int = 0, reason: str | None = "STOP") -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    return {**said, "finishReason": reason} if reason else said


def answer(*candidates: dict[str, Any]) -> bytes:
    body = {"candidates": list(candidates), "usageMetadata": {"promptTokenCount": 7}, "modelVersion": "g", "zz": 1.0}
    return json.dumps(body, indent=1).encode()


def event(*candidates: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"candidates": list(candidates)}).encode() + b"\r\n\r\n"


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario."""
    name = scenario_of(heard)
    two = (candidate(inline(GOOD)), candidate(inline(OTHER), index=1))
    said = f"there: ![it]({data_url(BAD)}) you are"
    file = {"name": "files/abc", "uri": URI, "mimeType": "image/png", "state": "ACTIVE"}
    here = f"http://{heard.headers.get('host')}{heard.target}?upload_id=ABPtc&upload_protocol=resumable"
    started = script.whole(b"", "200 OK", "text/plain", "X-Goog-Upload-Status: active", f"X-Goog-Upload-URL: {here}")
    done = script.whole(
        json.dumps({"file": file}).encode(), "200 OK", "application/json", "X-Goog-Upload-Status: final"
    )
    scripts = {
        "upload-start": started,
        "upload-send": done,
        "two-candidates": script.whole(answer(*two)),
        "vendor-block": script.whole(b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}'),
        "words-only": script.whole(answer(candidate({"text": "I can not paint that."}))),
        "output-refused": script.whole(answer(candidate({"text": "here"}, inline(BAD)))),
        "output-thought": script.whole(answer(candidate(inline(BAD, thought=True), inline(GOOD)))),
        "output-markdown": script.whole(answer(candidate({"text": said}))),
        "output-unknown-field": script.whole(answer({**candidate(inline(GOOD)), "preview": [data_url(BAD)]})),
        "address": script.whole(answer(candidate({"text": "there: ![it](https://127.0.0.1:1/made) you are"}))),
        "output-one-of-two": script.whole(answer(candidate(inline(GOOD)), candidate(inline(BAD), index=1))),
        "stream": script.events(
            [
                event(candidate({"text": "here: "}, reason=None)),
                event(candidate(inline(GOOD), reason=None))[:99],
                event(candidate(inline(GOOD), reason=None))[99:],
                event(candidate({"text": "done"})),
            ]
        ),
        "output-stream": script.events(
            [
                event(candidate({"text": "look "}, reason=None)) + event(candidate(inline(GOOD), reason=None)),
                event(candidate(inline(BAD), reason=None)),
                event(candidate({"text": "done"})),
            ]
        ),
        "output-stream-markdown": script.events(
            [event(candidate({"text": said[at : at + 40]}, reason=None)) for at in range(0, len(said), 40)]
            + [event(candidate({"text": " done"}))]
        ),
        "stream-cut": script.events([event(candidate({"text": "here "}, reason=None)), 0.3], finish=False),
        "busy": script.whole(
            b'{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}', "429 Too Many Requests"
        ),
        "html": script.html(),
    }
    return scripts.get(name, script.whole(answer(candidate({"text": "here"}, inline(GOOD)))))


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(request.param)
    return run_client(folder, request.param, "gemini_client.py", Gemini(), play, scenario_of)


def pictures(result: dict[str, Any]) -> list[str]:
    return [picture for one in result["candidates"] for picture in one["pictures"]]


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.4.0", "1.60.0", NPM}


@case("clean")
@pytest.mark.parametrize("scenario", ["generate", "generate-async", "edit", "switches", "two-candidates"])
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario):
    result = saw.results[scenario]
    assert pictures(result) == [sha(GOOD), sha(OTHER)][: len(result["candidates"])]
    assert result["candidates"][0]["texts"] == (["here"] if scenario != "two-candidates" else [])
    (asked,), (heard,) = saw.tries(scenario), saw.sent(scenario)
    assert asked.answer == script.body_of(play(heard))


@case("clean")
def test_the_vendors_own_refusal_and_an_answer_in_words_pass(saw):
    assert saw.results["vendor-block"]["blocked"] == "PROHIBITED_CONTENT"
    assert saw.results["words-only"]["candidates"][0]["texts"] == ["I can not paint that."]


@case("clean")
def test_a_chat_goes_on_with_its_pictures(saw):
    first, second = saw.results["chat"]["turns"]
    assert pictures(first) == pictures(second) == [sha(GOOD)]
    body = json.loads(saw.sent("chat")[1].body)
    assert len(body["contents"]) == 3


@case("clean")
def test_a_file_goes_up_through_the_guard_and_is_used_by_its_address(saw):
    assert pictures(saw.results["upload"]) == [sha(GOOD)]
    (sent,) = saw.sent("upload-send")
    assert sent.body == GOOD
    (heard,) = saw.sent("upload")
    assert URI.encode() in heard.body
    # All that clients are told of is the guard's own.
    started = [asked for asked in saw.asked if scenario_of(asked) == "upload-start"]
    assert all(asked.headers["host"] in asked.answer_headers["x-goog-upload-url"] for asked in started)


@case("input", "refusal", "uncalled")
def test_a_bad_file_is_refused_once_and_is_not_stored(saw):
    error = saw.results["input-upload"]["error"]
    assert (error["class"], error["code"]) == ("ClientError" if saw.version != NPM else "ApiError", 400)
    assert "bad-input" in error["message"]
    assert (saw.calls["input-upload"], len(saw.tries("input-upload"))) == (0, 1)


@case("caller")
def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    # The bytes of a file go to an address that is a secret of its own.
    keyed = [heard for heard in saw.heard if scenario_of(heard) != "upload-send"]
    assert {heard.headers["x-goog-api-key"] for heard in keyed} == {"key-test"}
    (heard,) = saw.sent("switches")
    settings = json.loads(heard.body)["safetySettings"]
    assert settings == [{"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "BLOCK_MEDIUM_AND_ABOVE"}]


@case("clean")
def test_a_clean_answer_carries_the_receipt(saw):
    headers = saw.tries("generate")[0].answer_headers
    assert headers["x-guardrail-decision"] == "allow"
    # The prompt before, the words beside the picture, and the picture.
    assert headers["x-guardrail-checked"] == "prompt=2/2, output=1/1"
    assert headers["x-guardrail-receipt"]


@case("stream")
def test_a_stream_arrives_event_by_event_as_it_was_sent(saw):
    chunks = saw.results["stream"]["chunks"]
    assert [one["candidates"][0]["texts"] or pictures(one) for one in chunks] == [["here: "], [sha(GOOD)], ["done"]]
    (asked,), (heard,) = saw.tries("stream"), saw.sent("stream")
    assert asked.answer == script.body_of(play(heard))


SLOTS = ["text", "second-part", "history", "model-turn", "system", "tool", "tool-answer", "call", "schema", "stop"]
INPUTS = ["text-beside", "second", "history", "model-turn", "system", "words"]


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [pytest.param(f"slot-{one}", "SAFETY", marks=case("words", "refusal", "uncalled")) for one in SLOTS]
    + [pytest.param(f"input-{one}", "IMAGE_SAFETY", marks=case("input", "refusal", "uncalled")) for one in INPUTS],
)
def test_what_is_refused_before_is_a_blocked_prompt_that_is_not_tried_again(saw, scenario, reason):
    result = saw.results[scenario]
    assert (result["blocked"], result["candidates"]) == (reason, [])
    assert (saw.calls[scenario], len(saw.tries(scenario))) == (0, 1)


@case("clean")
def test_a_word_in_two_turns_is_no_word(saw):
    """The stand-in knows one word; that turns are read as one text is for the prompt check to use."""
    assert pictures(saw.results["slot-across-turns"]) == [sha(GOOD)]


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        pytest.param("slot-stream", "SAFETY", marks=case("words", "refusal", "uncalled", "stream")),
        pytest.param("input-stream", "IMAGE_SAFETY", marks=case("input", "refusal", "uncalled", "stream")),
    ],
)
def test_a_stream_is_refused_as_an_event(saw, scenario, reason):
    (chunk,) = saw.results[scenario]["chunks"]
    assert (chunk["blocked"], chunk["candidates"]) == (reason, [])
    assert (saw.calls[scenario], len(saw.tries(scenario))) == (0, 1)


@case("output", "refusal")
@pytest.mark.parametrize("scenario", ["output-refused", "output-thought", "output-markdown", "output-unknown-field"])
def test_a_bad_picture_out_is_a_candidate_without_content(saw, scenario):
    (one,) = saw.results[scenario]["candidates"]
    assert one == {"reason": "IMAGE_SAFETY", "texts": [], "pictures": []}
    assert saw.calls[scenario] == len(saw.tries(scenario)) == 1


@case("output")
def test_one_bad_candidate_of_two_leaves_its_neighbour(saw):
    good, bad = saw.results["output-one-of-two"]["candidates"]
    assert good["pictures"] == [sha(GOOD)]
    assert (bad["reason"], bad["pictures"]) == ("IMAGE_SAFETY", [])


@case("output", "stream", "refusal")
def test_a_bad_picture_in_a_stream_ends_it(saw):
    chunks = saw.results["output-stream"]["chunks"]
    assert [picture for chunk in chunks for picture in pictures(chunk)] == [sha(GOOD)]
    assert chunks[-1]["candidates"][0]["reason"] == "IMAGE_SAFETY"
    assert "error" not in saw.results["output-stream"]


@case("output", "stream")
def test_a_picture_in_the_words_of_a_stream_is_held_back(saw):
    chunks = saw.results["output-stream-markdown"]["chunks"]
    said = "".join(text for chunk in chunks for one in chunk["candidates"] for text in one["texts"])
    assert "base64" not in said
    assert chunks[-1]["candidates"][0]["reason"] == "IMAGE_SAFETY"


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []


@case("output")
def test_an_address_that_a_chat_window_shows_does_not_leave_unseen(saw):
    assert saw.results["address"]["error"]["code"] == 502
    assert b"127.0.0.1:1" not in saw.tries("address")[0].answer


@case("input")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    spelled = base64.b64encode(BAD)[-40:]
    assert not any(spelled in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("fault")
def test_a_stream_that_is_cut_is_raised(saw):
    assert saw.results["stream-cut"]["error"]["code"] == 502


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "name", "code"),
    [
        ("busy", "ClientError", 429),
        ("html", "ServerError", 502),
        ("reference-file", "ClientError", 400),
        ("reference-cache", "ClientError", 400),
        ("imagen", "ClientError", 404),
        ("interactions", "ClientError", 404),
    ],
)
def test_faults_and_what_is_closed_arrive_as_the_class_that_callers_handle(saw, scenario, name, code):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["code"]) == (name if saw.version != NPM else "ApiError", code)
    assert saw.calls[scenario] == (scenario in ("busy", "html"))


@case("fault")
@pytest.mark.parametrize("scenario", ["imagen", "interactions"])
def test_what_is_closed_says_so(saw, scenario):
    assert "this route is closed" in saw.results[scenario]["error"]["message"]


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
    outputs = [name for name in saw.results if name.startswith("output-")]
    assert saw.refusals == len(SLOTS) + len(INPUTS) + 3 + len(outputs)
    assert len(outputs) == 7
