"""The Responses API through the real openai packages: real dialect, policy and audit log, scripted generator."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from typing import Any

import pytest

from guardrail.upstream.responses import Responses
from tests.conformance.running import BAD, GOOD, OTHER, Saw, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def scenario_of(heard: Heard) -> str:
    return str(json.loads(heard.body)["model"])


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
        if heard.method == "GET":
            return self.job(heard.target)
        name = scenario_of(heard)
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


@pytest.fixture(scope="module", params=["openai3", "openai2"])
def saw(request, tmp_path_factory) -> Saw:
    folder = tmp_path_factory.mktemp(request.param)
    return run_client(folder, request.param, "responses_client.py", Responses(), Generator())


def pictures(result: dict[str, Any]) -> list[str]:
    return [item["picture"] for item in result["items"] if item["picture"]]


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0"}


@pytest.mark.parametrize("scenario", ["generate", "edit", "switches"])
def test_a_clean_answer_brings_its_picture_with_one_call(saw, scenario):
    result = saw.results[scenario]
    assert (result["text"], pictures(result)) == ("here", [sha(GOOD)])
    assert len(saw.calls(scenario, scenario_of)) == 1


def test_a_clean_answer_is_the_generators_byte_for_byte_and_carries_the_receipt(saw):
    result = saw.results["generate-headers"]
    assert result["sha256"] == hashlib.sha256(CLEAN).hexdigest()
    assert result["headers"]["x-guardrail-checked"] == "prompt=2/2, output=1/1"


def test_an_answer_in_words_arrives(saw):
    assert saw.results["words-only"]["text"] == "I can not paint that."


def test_credentials_reach_the_generator_and_switches_are_clamped(saw):
    (heard,) = saw.calls("switches", scenario_of)
    assert heard.headers["authorization"] == "Bearer sk-test"
    assert json.loads(heard.body)["tools"][0]["moderation"] == "auto"


def test_a_conversation_goes_on_by_the_id_of_a_response(saw):
    first, second = saw.results["two-turns"]["answers"]
    assert pictures(first) == pictures(second) == [sha(GOOD)]
    assert json.loads(saw.calls("two-turns", scenario_of)[1].body)["previous_response_id"] == "resp_clean"


def test_a_job_is_fetched_until_it_is_done(saw):
    answers = saw.results["job"]["answers"]
    assert [one["status"] for one in answers] == ["queued", "in_progress", "completed"]
    assert pictures(answers[-1]) == [sha(GOOD)]


def test_a_stream_brings_previews_the_item_and_the_response(saw):
    result = saw.results["stream"]
    assert [one["picture"] for one in result["events"] if one["picture"]] == [sha(OTHER), sha(GOOD)]
    assert pictures(result["final"]) == pictures(saw.results["helper"]) == [sha(GOOD)]


SLOTS = ["text", "part", "instructions", "history", "assistant", "tool", "tool-call", "tool-answer", "stream"]
INPUTS = ["picture", "history", "drawn", "mask", "tool-answer", "stream"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [(f"slot-{one}", "bad-words") for one in SLOTS] + [(f"input-{one}", "bad-input") for one in INPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert saw.calls(scenario, scenario_of) == []


def refused(result: dict[str, Any]) -> bool:
    """A response that is complete, with a failed call and a message that refuses, and no picture."""
    failed = [item["error"] for item in result["items"] if item["type"] == "image_generation_call"]
    parts = [part for item in result["items"] for part in item["parts"]]
    return result["status"] == "completed" and set(failed) == {"moderation_blocked"} and parts[:1] == ["refusal"]


def test_a_bad_picture_out_is_a_failed_call_and_a_message_that_refuses(saw):
    result = saw.results["output-refused"]
    assert refused(result)
    assert [item["type"] for item in result["items"]] == ["image_generation_call", "message", "message"]
    assert len(saw.calls("output-refused", scenario_of)) == 1


def test_one_bad_picture_of_two_leaves_its_neighbour(saw):
    result = saw.results["output-one-of-two"]
    assert pictures(result) == [sha(GOOD)]
    assert [item["error"] for item in result["items"]] == [None, "moderation_blocked", None]


def test_a_bad_picture_in_words_is_a_message_that_refuses(saw):
    (item,) = saw.results["output-markdown"]["items"]
    assert item["parts"] == ["refusal"]


def test_a_bad_picture_of_a_job_is_refused_when_it_is_fetched(saw):
    answers = saw.results["output-job"]["answers"]
    assert [one["status"] for one in answers] == ["queued", "in_progress", "completed"]
    assert refused(answers[-1])


@pytest.mark.parametrize("scenario", ["output-stream-partial", "output-stream-item"])
def test_a_bad_picture_in_a_stream_ends_it_as_a_response_does(saw, scenario):
    result = saw.results[scenario]
    assert "error" not in result
    assert sha(BAD) not in [one["picture"] for one in result["events"]]
    assert refused(result["final"])
    assert (result["final"]["id"], result["events"][-1]["type"]) == ("resp_1", "response.completed")


def test_the_helper_for_streams_ends_well_with_a_refusal(saw):
    assert refused(saw.results["output-stream-helper"])


def test_a_picture_in_the_words_of_a_stream_is_held_back(saw):
    result = saw.results["output-stream-markdown"]
    assert "base64" not in "".join(one["delta"] or "" for one in result["events"])
    assert result["final"]["items"][-1]["parts"] == ["refusal"]


def test_nothing_of_a_bad_picture_arrives_anywhere(saw):
    seen = json.dumps(saw.results)
    assert sha(BAD) not in seen
    assert b64(BAD)[40:80] not in seen


def test_a_stream_that_is_cut_is_raised(saw):
    assert saw.results["stream-cut"]["error"]["code"] == "upstream_error"


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
    assert saw.calls(scenario, scenario_of) == []


@pytest.mark.parametrize(("scenario", "name"), [("busy", "RateLimitError"), ("html", "InternalServerError")])
def test_faults_arrive_as_the_class_that_callers_handle(saw, scenario, name):
    assert saw.results[scenario]["error"]["class"] == name


def test_each_refusal_was_asked_for_once(saw):
    """A client that retries would be seen here."""
    outputs = [name for name in saw.results if name.startswith("output-")]
    assert len(outputs) == 8
    assert saw.refusals == len(SLOTS) + len(INPUTS) + len(outputs)


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
