"""The Responses API through the real openai packages: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from typing import Any

import pytest

from guardrail.upstream.responses import Responses
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, by_model, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

DOOR = "responses"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def call(data: bytes, item: str = "ig_1") -> dict[str, Any]:
    return {"id": item, "type": "image_generation_call", "status": "completed", "result": b64(data)}


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def response(*items: dict[str, Any], status: str = "completed", identity: str = "resp_1") -> dict[str, Any]:
    return {
        "id": identity,
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "m",
        "output": list(items),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "zz": 1.0,
    }


def event(kind: str, number: int, **more: Any) -> bytes:
    said = {"type": kind, "sequence_number": number, **more}
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def partial(data: bytes, number: int) -> bytes:
    return event(
        "response.image_generation_call.partial_image",
        number,
        item_id="ig_1",
        output_index=0,
        partial_image_index=0,
        partial_image_b64=b64(data),
    )


BEGIN = [
    event("response.created", 0, response=response(status="in_progress")),
    event("response.output_item.added", 1, output_index=0, item={**call(b""), "status": "in_progress", "result": None}),
]


def done(data: bytes, number: int) -> list[script.Step]:
    return [
        event("response.output_item.done", number, output_index=0, item=call(data)),
        event("response.completed", number + 1, response=response(call(data))),
    ]


def words(text: str) -> list[script.Step]:
    at: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [event("response.output_text.delta", 2, delta=text[a : a + 30], **at) for a in range(0, len(text), 30)]
    return [
        BEGIN[0],
        event("response.output_item.added", 1, output_index=0, item={**message(""), "content": []}),
        event("response.content_part.added", 1, part={"type": "output_text", "text": "", "annotations": []}, **at),
        *deltas,
        event("response.output_text.done", 3, text=text, **at),
        event("response.completed", 4, response=response(message(text))),
    ]


def markdown(data: bytes) -> str:
    return f"there: ![it](data:image/png;base64,{b64(data)}) it is"


CLEAN = json.dumps(response(call(GOOD), message("here"), identity="resp_clean"), indent=1).encode()


class Generator:
    """What the generator answers in each scenario; jobs are done the second time that they are fetched."""

    def __init__(self) -> None:
        self.fetched: Counter[str] = Counter()

    def __call__(self, heard: Heard) -> Script:
        if "/files/" in heard.target:
            return script.whole(BAD, kind="image/png")
        if heard.method == "GET":
            return self.job(heard.target)
        name = by_model(heard)
        if name in ("job", "output-job"):
            return script.whole(json.dumps(response(status="queued", identity=f"resp_{name}")).encode())
        whole = {
            "words-only": response(message("I can not paint that.")),
            "output-refused": response(call(BAD), message("here")),
            "output-one-of-two": response(call(GOOD), call(BAD, "ig_2")),
            "output-markdown": response(message(markdown(BAD))),
        }
        streams = {
            "stream": [*BEGIN, partial(OTHER, 2), *done(GOOD, 3)],
            "helper": [*BEGIN, partial(OTHER, 2), *done(GOOD, 3)],
            "output-stream-partial": [*BEGIN, partial(BAD, 2), *done(GOOD, 3)],
            "output-stream-item": [*BEGIN, partial(OTHER, 2), *done(BAD, 3)],
            "output-stream-helper": [*BEGIN, partial(OTHER, 2), *done(BAD, 3)],
            "output-stream-markdown": words(markdown(BAD)),
        }
        if name in streams:
            return script.events(streams[name])
        if name == "stream-cut":
            return script.events([*BEGIN, 0.3], finish=False)
        if name in ("busy", "html"):
            return script.too_many() if name == "busy" else script.html()
        return script.whole(json.dumps(whole[name]).encode() if name in whole else CLEAN)

    def job(self, target: str) -> Script:
        (name,) = re.findall(r"resp_([a-z-]+)", target)
        self.fetched[name] += 1
        if self.fetched[name] == 1:
            return script.whole(json.dumps(response(status="in_progress", identity=f"resp_{name}")).encode())
        picture = BAD if name == "output-job" else GOOD
        return script.whole(json.dumps(response(call(picture), identity=f"resp_{name}")).encode())


def scenario_of(heard: Heard) -> str:
    """The model that was asked for; of a job that is fetched, its name."""
    fetched = re.search(r"/responses/resp_([a-z-]+)", heard.target)
    return fetched.group(1) if fetched else by_model(heard)


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(request.param)
    return run_client(folder, request.param, "responses_client.py", Responses(), Generator(), scenario_of)


def pictures(result: dict[str, Any]) -> list[str]:
    return [item["picture"] for item in result["items"] if item["picture"]]


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0", "6.49.0"}


@case("clean")
@pytest.mark.parametrize("scenario", ["generate", "edit", "switches"])
def test_a_clean_answer_is_the_generators_byte_for_byte_with_one_call(saw, scenario):
    result = saw.results[scenario]
    assert (result["text"], pictures(result)) == ("here", [sha(GOOD)])
    (asked,) = saw.tries(scenario)
    assert asked.answer == CLEAN
    assert "output=1/1" in asked.answer_headers["x-guardrail-checked"]
    assert saw.calls[scenario] == 1


@case("clean")
def test_an_answer_in_words_arrives(saw):
    assert saw.results["words-only"]["text"] == "I can not paint that."


@case("caller")
def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    assert {heard.headers["authorization"] for heard in saw.heard} == {"Bearer sk-test"}
    (heard,) = saw.sent("switches")
    assert json.loads(heard.body)["tools"][0]["moderation"] == "auto"


@case("clean")
def test_a_conversation_goes_on_by_the_id_of_a_response(saw):
    first, second = saw.results["two-turns"]["answers"]
    assert pictures(first) == pictures(second) == [sha(GOOD)]
    assert json.loads(saw.sent("two-turns")[1].body)["previous_response_id"] == "resp_clean"


@case("clean")
def test_a_job_is_fetched_until_it_is_done(saw):
    answers = saw.results["job"]["answers"]
    assert [one["status"] for one in answers] == ["queued", "in_progress", "completed"]
    assert pictures(answers[-1]) == [sha(GOOD)]
    assert saw.calls["job"] == len(saw.tries("job")) == 3


@case("stream")
def test_a_stream_brings_previews_the_item_and_the_response(saw):
    result = saw.results["stream"]
    assert [one["picture"] for one in result["events"] if one["picture"]] == [sha(OTHER), sha(GOOD)]
    assert pictures(result["final"]) == pictures(saw.results["helper"]) == [sha(GOOD)]


@case("stream")
@pytest.mark.parametrize("scenario", ["stream", "helper"])
def test_a_stream_arrives_as_it_was_sent(saw, scenario):
    (asked,) = saw.tries(scenario)
    assert asked.answer == script.body_of(Generator()(saw.sent(scenario)[0]))


SLOTS = ["text", "part", "instructions", "history", "assistant", "tool", "tool-call", "tool-answer", "unknown",
         "of-the-image-tool", "stream"]  # fmt: skip
INPUTS = ["picture", "second", "history", "drawn", "mask", "file", "file-of-mask", "words", "tool-answer", "stream"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [pytest.param(f"slot-{one}", "bad-words", marks=case("words", "refusal", "uncalled")) for one in SLOTS]
    + [pytest.param(f"input-{one}", "bad-input", marks=case("input", "refusal", "uncalled")) for one in INPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert len(saw.tries(scenario)) == 1
    assert saw.calls[scenario] == 0


def refused(result: dict[str, Any]) -> bool:
    """A response that is complete, with a failed call and a message that refuses, and no picture."""
    failed = [item["error"] for item in result["items"] if item["type"] == "image_generation_call"]
    parts = [part for item in result["items"] for part in item["parts"]]
    return result["status"] == "completed" and set(failed) == {"moderation_blocked"} and parts[:1] == ["refusal"]


@case("output", "refusal")
def test_a_bad_picture_out_is_a_failed_call_and_a_message_that_refuses(saw):
    result = saw.results["output-refused"]
    assert refused(result)
    assert [item["type"] for item in result["items"]] == ["image_generation_call", "message", "message"]
    assert saw.calls["output-refused"] == len(saw.tries("output-refused")) == 1


@case("output")
def test_one_bad_picture_of_two_leaves_its_neighbour(saw):
    result = saw.results["output-one-of-two"]
    assert pictures(result) == [sha(GOOD)]
    assert [item["error"] for item in result["items"]] == [None, "moderation_blocked", None]


@case("output")
def test_a_bad_picture_in_words_is_a_message_that_refuses(saw):
    (item,) = saw.results["output-markdown"]["items"]
    assert item["parts"] == ["refusal"]


@case("output")
def test_a_bad_picture_of_a_job_is_refused_when_it_is_fetched(saw):
    answers = saw.results["output-job"]["answers"]
    assert [one["status"] for one in answers] == ["queued", "in_progress", "completed"]
    assert refused(answers[-1])


@case("output", "stream", "refusal")
@pytest.mark.parametrize("scenario", ["output-stream-partial", "output-stream-item"])
def test_a_bad_picture_in_a_stream_ends_it_as_a_response_does(saw, scenario):
    result = saw.results[scenario]
    assert "error" not in result
    assert sha(BAD) not in [one["picture"] for one in result["events"]]
    assert refused(result["final"])
    assert (result["final"]["id"], result["events"][-1]["type"]) == ("resp_1", "response.completed")


@case("output", "stream", "refusal")
def test_the_helper_for_streams_ends_well_with_a_refusal(saw):
    assert refused(saw.results["output-stream-helper"])


@case("output", "stream")
def test_a_picture_in_the_words_of_a_stream_is_held_back(saw):
    result = saw.results["output-stream-markdown"]
    assert "base64" not in "".join(one["delta"] or "" for one in result["events"])
    assert result["final"]["items"][-1]["parts"] == ["refusal"]


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []


@case("input")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    assert not any(b64(BAD).encode()[-40:] in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("fault")
def test_a_stream_that_is_cut_is_raised(saw):
    assert saw.results["stream-cut"]["error"]["code"] == "upstream_error"


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "name", "code"),
    [
        ("reference-response", "BadRequestError", "previous_response_not_found"),
        ("reference-item", "BadRequestError", "unjudged_reference"),
        ("reference-prompt", "BadRequestError", "unjudged_reference"),
        ("reference-conversation", "BadRequestError", "unjudged_reference"),
        ("reference-job", "NotFoundError", "response_not_found"),
        ("tool-mcp", "BadRequestError", "unjudged_tool"),
        ("closed", "NotFoundError", None),
    ],
)
def test_what_nobody_could_judge_is_closed(saw, scenario, name, code):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["code"]) == (name, code or error["code"])
    assert (saw.calls[scenario], len(saw.tries(scenario))) == (0, 1)


@case("fault")
@pytest.mark.parametrize(("scenario", "name"), [("busy", "RateLimitError"), ("html", "InternalServerError")])
def test_faults_arrive_as_the_class_that_callers_handle(saw, scenario, name):
    assert saw.results[scenario]["error"]["class"] == name


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
    outputs = [name for name in saw.results if name.startswith("output-")]
    assert saw.refusals == len(SLOTS) + len(INPUTS) + len(outputs)
    assert len(outputs) == 8
