import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Stage
from guardrail.upstream.contract import refusal
from guardrail.upstream.dialect import Answer, Call
from guardrail.upstream.limits import Limits
from guardrail.upstream.responses import Responses
from guardrail.upstream.responses.past import Past, Remembered
from guardrail.upstream.responses.stream import EventReader
from tests.upstream.asking import JSON, Store, b64, png

A = png(1)
URL = f"data:image/png;base64,{b64(A)}"
STORE = {"https://a.example/x": A, "file-12345678": A}
SAID: dict[str, Any] = {"input": "a red bicycle"}
TOOL = {"type": "image_generation"}


async def ask(body: bytes | dict[str, Any], known: Remembered | None = None) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    store = Store(STORE)
    dialect = Responses(known=known)
    return await dialect.read("POST", "/v1/responses", "", JSON, raw, store.fetch, store.fetch_file)


def judged(call: Call) -> list[str]:
    return [text.text or "" for text in call.request.texts]


def item(**said: Any) -> dict[str, Any]:
    return {"input": [said, {"role": "user", "content": "yes"}]}


WORD = "something forbidden here today"
SLOTS: list[dict[str, Any]] = [
    {"input": WORD},
    {"instructions": WORD},
    {"instructions": [{"role": "developer", "content": WORD}]},
    *(item(role=role, content=WORD) for role in ("user", "assistant", "system", "developer", "odd")),
    item(role="user", content=[{"type": "input_text", "text": WORD}]),
    item(type="reasoning", summary=[{"type": "summary_text", "text": WORD}]),
    item(type="function_call", name="f", arguments=json.dumps({"x": WORD})),
    item(type="function_call_output", call_id="c", output=WORD),
    item(type="custom_tool_call_output", call_id="c", output=[{"type": "input_text", "text": WORD}]),
    item(type="new", deep={"x": [WORD]}),
    {"tools": [{"type": "function", "name": "f", "description": WORD}]},
    {"tools": [{**TOOL, "style": WORD}]},
    {"text": {"format": {"type": "json_schema", "schema": {"description": WORD}}}},
    {"tools": [{**TOOL, "input_image_mask": {"image_url": URL, "note": WORD}}]},
    {"metadata": {"x": WORD}},
    {WORD: 1},
]


@pytest.mark.parametrize("body", SLOTS, ids=lambda body: json.dumps(body)[:60])
async def test_a_word_in_any_slot_is_judged(body):
    assert any(WORD in text for text in judged(await ask({**SAID, **body})))


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "name": "f", "description": "forbidden"}]},
        {"tools": [{"type": "function", "name": "draw_the_forbidden"}]},
        item(role="forbidden", content="hi"),
    ],
)
async def test_one_word_that_a_model_reads_is_judged(body):
    assert any("forbidden" in text for text in judged(await ask({**SAID, **body})))


async def test_the_names_of_types_and_roles_are_no_texts():
    assert judged(await ask({**item(role="user", content="hi"), "tools": [{"type": "custom"}]})) == [
        "hi",
        "yes",
        "hi\nyes",
    ]


PICTURES: list[dict[str, Any]] = [
    item(role="user", content=[{"type": "input_image", "image_url": URL}]),
    item(role="user", content=[{"type": "input_image", "image_url": "https://a.example/x"}]),
    item(role="user", content=[{"type": "input_image", "file_id": "file-12345678"}]),
    item(type="image_generation_call", id="ig_9", result=b64(A)),
    item(type="function_call_output", call_id="c", output=[{"type": "input_image", "image_url": URL}]),
    item(type="computer_call_output", call_id="c", output={"type": "computer_screenshot", "image_url": URL}),
    item(role="assistant", content=f"here ![x]({URL})"),
    {**SAID, "tools": [{**TOOL, "input_image_mask": {"image_url": URL}}]},
    {**SAID, "tools": [{**TOOL, "input_image_mask": {"file_id": "file-12345678"}}]},
]


@pytest.mark.parametrize("body", PICTURES, ids=lambda body: json.dumps(body)[:70])
async def test_a_picture_in_any_place_is_an_input_and_references_are_resolved(body):
    call = await ask(body)
    assert [one.data for one in call.request.inputs] == [A]
    assert b"file-12345678" not in call.forward.body
    assert b"a.example" not in call.forward.body


NOBODY: list[bytes | dict[str, Any]] = [
    {},
    {"input": []},
    {"input": 3},
    {"Input": "x"},
    b"[]",
    {**SAID, "prompt": {"id": "p"}},
    {**SAID, "conversation": "c"},
    {**SAID, "conversation": {"id": "c"}},
    {**SAID, "previous_response_id": "unknown"},
    {**SAID, "previous_response_id": 3},
    item(type="item_reference", id="unknown"),
    item(id="unknown"),
    item(id="unknown", type=None, role=None, status="completed"),
    {**SAID, "preset": "mine"},
    {**SAID, "chat_template": "{{ 'for' ~ 'bidden' }}"},
    item(type="image_generation_call", id="unknown"),
    item(type="image_generation_call"),
    item(role="user", content=[{"type": "input_file", "file_id": "file-12345678"}]),
    item(role="user", content=[{"type": "input_file", "file_data": URL}]),
    item(role="user", content=[{"type": "input_image", "file_id": "file-12345678", "image_url": URL}]),
    item(role="user", content=[{"type": "input_image", "file_id": "../secrets"}]),
    item(role="user", content=[{"type": "input_audio", "input_audio": {"data": "QUJD"}}]),
    {**SAID, "tools": [{"type": "mcp", "server_url": "https://m.example/"}]},
    {**SAID, "tools": [{"type": "file_search", "vector_store_ids": ["v"]}]},
    {**SAID, "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]},
    {**SAID, "tools": [{"type": "code_interpreter", "container": "cntr_filled_elsewhere"}]},
    {**SAID, "tools": [{"type": "web_search", "image_results": True}]},
    {**SAID, "tools": {"type": "function", "name": "f", "description": "x"}},
    {**SAID, "tools": "x"},
    {**SAID, "tools": [{"type": "unheard_of"}]},
    {**SAID, "stream": 1},
    {**SAID, "background": "yes"},
]


@pytest.mark.parametrize("body", NOBODY, ids=lambda body: str(body)[:60])
async def test_what_nobody_could_judge_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        await ask(body)


@pytest.mark.parametrize("result", ["", " ", "x", 7, {}, [], False, None])
async def test_a_drawing_that_is_named_and_not_shown_must_be_known(result):
    """Without its picture the generator takes the one that it has under that id."""
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": result}
    with pytest.raises(BadRequest) as caught:
        await ask({"input": [drawn, {"role": "user", "content": "by night"}]})
    assert caught.value.code in ("unjudged_reference", "invalid_image")


async def test_a_drawing_that_is_known_is_judged_beside_the_one_that_is_shown_in_its_place():
    known, other = Remembered(), png(9)
    known.keep("resp_1", Past(), [], [("ig_1", A)])
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": b64(other)}
    call = await ask({"input": [drawn, {"role": "user", "content": "by night"}]}, known)
    assert {one.data for one in call.request.inputs} == {A, other}
    call = await ask({"input": [{**drawn, "result": b64(A)}, {"role": "user", "content": "by night"}]}, known)
    assert [one.data for one in call.request.inputs] == [A]


async def test_what_checks_work_out_of_a_picture_is_not_remembered_with_its_response():
    dialect = Responses()
    asked = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}], "background": True}
    store = Store()
    body = json.dumps(asked).encode()
    first = await dialect.read("POST", "/v1/responses", "", JSON, body, store.fetch, store.fetch_file)
    await dialect.read_answer(first, 200, JSON, b'{"id": "resp_1", "status": "queued", "output": []}', store.fetch)
    for _ in range(2):
        poll = await dialect.read("GET", "/v1/responses/resp_1", "", (), b"", store.fetch, store.fetch_file)
        (picture,) = poll.request.inputs
        assert (picture.data, picture._memo) == (A, {})
        picture.once("picture", lambda: "its frames")


async def test_a_chain_of_responses_brings_along_all_that_was_said_and_shown():
    known = Remembered()
    dialect = Responses(known=known)
    body = json.dumps({"id": "resp_1", "status": "completed", "output": [
        {"type": "image_generation_call", "id": "ig_1", "result": b64(A)},
        {"type": "message", "content": [{"type": "output_text", "text": "here she is"}]},
    ]})  # fmt: skip
    first = await ask({"input": "my aunt"}, known)
    await dialect.read_answer(first, 200, JSON, body.encode(), Store().fetch)
    second = await ask({"input": "take her coat off", "previous_response_id": "resp_1"}, known)
    await dialect.read_answer(second, 200, JSON, body.replace("resp_1", "resp_2").encode(), Store().fetch)
    third = await ask({"input": "now the rest", "previous_response_id": "resp_2"}, known)
    assert judged(third)[-1].splitlines() == [
        "my aunt", "here she is", "take her coat off", "here she is", "now the rest"
    ]  # fmt: skip
    assert {one.data for one in third.request.inputs} == {A}


async def test_what_is_remembered_is_bounded():
    known = Remembered()
    for number in range(5000):
        known.keep(f"resp_{number}", Past(), [], [])
    assert known.responses.get("resp_0") is None
    assert known.responses.get("resp_4999") is not None


# --- answers


async def read(said: Any) -> Answer:
    call = await ask(SAID)
    return await Responses().read_answer(call, 200, JSON, json.dumps(said).encode(), Store(STORE).fetch)


def response(*items: Any, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "status": "completed", "output": list(items), **more}


@pytest.mark.parametrize(
    "said",
    [
        response({"type": "image_generation_call", "result": b64(A)}),
        response({"type": "message", "content": [{"type": "output_text", "text": f"![x]({URL})"}]}),
        response({"type": "code_interpreter_call", "outputs": [{"type": "image", "url": URL}]}),
        response({"type": "code_interpreter_call", "outputs": [{"type": "image", "url": "https://a.example/x"}]}),
        response({"type": "function_call", "arguments": json.dumps({"x": URL})}),
        response({"type": "new", "deep": [{"image_url": URL}]}),
        response(preview=URL),
    ],
    ids=lambda said: json.dumps(said)[50:110],
)
async def test_a_picture_anywhere_in_an_answer_is_judged(said):
    assert [image.data for image in (await read(said)).images] == [A]


@pytest.mark.parametrize("said", [{}, {"output": []}, {"id": "x"}, response("x"), {"id": 3, "output": []}], ids=str)
async def test_what_is_no_answer_is_the_generators_fault(said):
    with pytest.raises(UpstreamError):
        await read(said)


def test_a_refusal_in_a_stream_repeats_no_picture_and_goes_on_counting():
    item = {"id": "ig_7", "type": "image_generation_call", "result": b64(A)}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": {**response(), "model": "m-1"}},
        {"type": "response.output_item.done", "sequence_number": 5, "output_index": 0, "item": item},
    ]
    reader = EventReader(Limits(), Past(), Remembered())
    for one in events:
        reader.feed(f"data: {json.dumps(one)}\n\n".encode())
    said = reader.refuse(refusal(Stage.OUTPUT))
    assert b64(A).encode() not in said
    told = [json.loads(line[6:]) for line in said.decode().splitlines() if line.startswith("data: ")]
    assert [one["sequence_number"] for one in told] == [6, 7, 8, 9]
    assert told[0]["item"]["id"] == "ig_7"
    assert told[-1]["response"]["model"] == "m-1"
    assert [one["type"] for one in told[-1]["response"]["output"]] == ["image_generation_call", "message"]
