import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Kind
from guardrail.upstream.chat import Chat
from guardrail.upstream.dialect import Answer, Call
from tests.upstream.asking import JSON, Store, b64, png

CHAT, IMAGES = "/v1/chat/completions", "/api/v1/images"
A = png(1)
URL = f"data:image/png;base64,{b64(A)}"
SAID: dict[str, Any] = {"messages": [{"role": "user", "content": "a red bicycle"}]}
STORE = {"https://a.example/x": A}


async def ask(body: bytes | dict[str, Any], path: str = CHAT) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    store = Store(STORE)
    return await Chat().read("POST", path, "", JSON, raw, store.fetch, store.fetch_file)


def judged(call: Call) -> list[str]:
    return [text.text or "" for text in call.request.texts]


def message(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content, **more}, {"role": "user", "content": "yes"}]}


WORD = "something forbidden here today"
SLOTS: list[dict[str, Any]] = [
    *(message(WORD, role) for role in ("user", "assistant", "system", "developer", "tool", "function", "odd")),
    message([{"type": "text", "text": WORD}]),
    message([{"type": "refusal", "refusal": WORD}], "assistant"),
    message([{"type": "new", "deep": [{"x": WORD}]}]),
    message("hi", name=WORD),
    message("hi", reasoning_content=WORD),
    message(None, "assistant", tool_calls=[{"function": {"name": "f", "arguments": json.dumps({"x": WORD})}}]),
    message(None, "assistant", function_call={"name": "f", "arguments": WORD}),
    {**message("hi"), "messages": [WORD]},
    {"tools": [{"type": "function", "function": {"name": "f", "description": WORD}}]},
    {"tools": [{"type": "function", "function": {"parameters": {"properties": {"a": {"description": WORD}}}}}]},
    {"functions": [{"name": "f", "description": WORD}]},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"description": WORD}}}},
    {"prediction": {"type": "content", "content": WORD}},
    {"prompt": WORD},
    {"stop": [WORD]},
    {"user": WORD},
    {WORD: 1},
]


@pytest.mark.parametrize("kind", ["application/pdf", "text/plain", "video/mp4", ""])
async def test_what_is_not_called_a_picture_goes_on_as_the_picture_that_was_judged(kind):
    """Gateways read a PDF out of a data URL that says so, though the same bytes are a picture to others."""
    url = f"data:{kind};base64,{b64(A)}"
    call = await ask(message([{"type": "image_url", "image_url": {"url": url}}]))
    assert [one.data for one in call.request.inputs] == [A]
    assert URL.encode() in call.forward.body
    assert kind.encode() not in call.forward.body or not kind


@pytest.mark.parametrize("body", SLOTS, ids=lambda body: json.dumps(body)[:60])
async def test_a_word_in_any_slot_is_judged(body):
    assert any(WORD in text for text in judged(await ask({**SAID, **body})))


@pytest.mark.parametrize(
    "body",
    [
        message("hi", role="forbidden"),
        message("hi", role="user:draw_what_is_forbidden"),
        {"tools": [{"type": "function", "function": {"name": "f", "description": "forbidden"}}]},
        {"tools": [{"type": "function", "function": {"name": "draw_the_forbidden"}}]},
    ],
)
async def test_one_word_that_a_model_reads_is_judged(body):
    assert any("forbidden" in text for text in judged(await ask({**SAID, **body})))


async def test_turns_are_judged_one_by_one_and_as_one_text():
    roles = zip(("user", "assistant", "user"), ("take her jacket off", "ok", "now the\nrest"), strict=True)
    call = await ask({"messages": [{"role": role, "content": said} for role, said in roles]})
    assert judged(call) == ["take her jacket off", "ok", "now the\nrest", "take her jacket off\nok\nnow the rest"]


PARTS: list[Any] = [
    {"type": "image_url", "image_url": {"url": URL}},
    {"type": "image_url", "image_url": {"url": "https://a.example/x"}},
    {"type": "image_url", "image_url": "https://a.example/x"},
    {"type": "image_url", "image_url": URL},
    {"type": "image_url", "url": "https://a.example/x"},
    {"type": "input_image", "image_url": URL},
    {"type": "image", "image": b64(A)},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(A)}},
    {"type": "image", "source": {"type": "url", "url": "https://a.example/x"}},
    {"type": "text", "text": f"![x]({URL})"},
    {"type": "text", "text": b64(png(1, 40))},
    {"type": "new", "deep": {"images": [{"url": URL}]}},
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: json.dumps(part)[:60])
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
async def test_a_picture_in_any_turn_is_an_input(part, role):
    call = await ask(message([part], role))
    (one,) = call.request.inputs
    assert one.kind is Kind.INPUT
    assert one.data in (A, png(1, 40))
    assert "a.example" not in call.forward.body.decode()


NOBODY: list[bytes | dict[str, Any]] = [
    {},
    {"messages": []},
    {"messages": {}},
    {"messages": [3]},
    {"Messages": SAID["messages"]},
    b"[]",
    b'{"messages":[',
    message([{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}]),
    message([{"input_audio": {"data": "QUJD", "format": "wav"}}]),
    message([{"type": "video_url", "video_url": {"url": "https://a.example/x"}}]),
    # As vLLM takes them, with their type and without.
    *(
        message([{**told, name: held}])
        for name in ("audio_url", "video_url", "Audio_URL", "image_embeds", "audio_embeds", "video", "file_url")
        for told in ({}, {"type": name}, {"type": "text", "text": "hear it"})
        for held in ({"url": "https://a.example/x"}, "https://a.example/x")
    ),
    message([{"type": "file", "file": {"file_data": URL}}]),
    message([{"type": "image_file", "image_file": {"file_id": "file-12345678"}}]),
    message([{"type": "image_url", "image_url": {"url": "https://gone.example/x"}}]),
    message([{"type": "image_url", "image_url": {"url": "ftp://a.example/x"}}]),
    message([{"type": "image_url", "image_url": {"url": "data:text/plain;base64," + b64(b"x" * 60)}}]),
    message("x" * 5000),
    message("hi", "assistant", reasoning_details=[{"data": "two words"}]),
    *(
        message([part])
        for part in (
            {"type": "image_url", "image_url": None, "uuid": "kept-from-before"},
            {"type": "image_url", "image_url": {"url": URL}, "uuid": "kept-from-before"},
            {"image_url": {"url": URL}, "uuid": "kept-from-before"},
            {"type": "image_embeds", "image_embeds": "UEsDBBQ"},
            {"type": "prompt_embeds", "prompt_embeds": "UEsDBBQ"},
        )
    ),
    {**SAID, "chat_template": "{{ 'for' ~ 'bidden' }}"},
    {**SAID, "extra_body": {"Chat_Template": "{{ 'for' ~ 'bidden' }}"}},
    {**SAID, "prompt_embeds": "UEsDBBQ"},
    {**SAID, "prompt_token_ids": [1, 2, 3]},
    {**SAID, "preset": "mine"},
    {**SAID, "model": "m@preset/mine"},
    {**SAID, "previous_response_id": "r"},
    {**SAID, "n": 99},
    {**SAID, "stream": "yes"},
    {**SAID, "web_page": "https://a.example/page"},
    {**SAID, "disable_safety_checker": "no"},
    {**SAID, "numbers": [1] * 300},
    {**SAID, "safety_settings": [{"category": "a sentence of some words"}]},
    {**SAID, "safety_settings": [{"category": URL}]},
    {**SAID, "safetySettings": "HARM_x"},
    {**SAID, "extra_body": {"google": {"safety_settings": [{"threshold": {"note": "x"}}]}}},
]


@pytest.mark.parametrize("body", NOBODY, ids=lambda body: str(body)[:60])
async def test_what_nobody_could_judge_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        await ask(body)


@pytest.mark.parametrize(
    "body", [{}, {"prompt": ""}, {"prompt": 3}, {"prompt": "x", "image": {"file_id": "file-12345678"}}]
)
async def test_images_without_a_prompt_or_by_file_id_are_a_bad_request(body):
    with pytest.raises(BadRequest):
        await ask(body, IMAGES)


# --- answers


async def read(said: Any) -> Answer:
    call = await ask(SAID)
    return await Chat().read_answer(call, 200, JSON, json.dumps(said).encode(), Store(STORE).fetch)


def answer(**said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "said",
    [
        answer(images=[{"type": "image_url", "image_url": {"url": URL}}]),
        answer(images=[{"type": "image_url", "image_url": {"url": "https://a.example/x"}}]),
        answer(images=[{"url": URL}]),
        answer(images=[{"b64_json": b64(A)}]),
        answer(content=f"![x]({URL})"),
        answer(content="![x](https://a.example/x)"),
        answer(content="https://a.example/x"),
        answer(content=[{"type": "image_url", "image_url": {"url": URL}}]),
        answer(reasoning=f"so {URL}"),
        answer(tool_calls=[{"function": {"name": "f", "arguments": json.dumps({"x": URL})}}]),
        {**answer(content="x"), "data": [{"url": "https://a.example/x"}]},
        {**answer(content="x"), "preview": URL},
    ],
    ids=lambda said: json.dumps(said)[:90],
)
async def test_a_picture_anywhere_in_an_answer_is_judged(said):
    assert [image.data for image in (await read(said)).images] == [A]


async def test_sources_that_are_named_are_no_pictures():
    said = answer(content="so", annotations=[{"url_citation": {"url": "https://a.example/page.png"}}])
    said["citations"] = ["https://a.example/page"]
    assert (await read(said)).images == ()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"choices": []},
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{"index": 0}, {"index": 0}]},
        answer(images=[{"image_url": {"url": "https://gone.example/x"}}]),
        answer(images=[{"image_url": {"url": "data:image/png;base64,!!!!"}}]),
        answer(content="x" * 5000),
        answer(reasoning_details=[{"data": "two words"}]),
    ],
    ids=lambda said: str(said)[:60],
)
async def test_what_is_no_answer_is_the_generators_fault(said):
    with pytest.raises(UpstreamError):
        await read(said)


async def test_a_drawing_that_is_streamed_as_text_is_the_generators_fault():
    call = await ask({"prompt": "x", "stream": True}, IMAGES)
    with pytest.raises(UpstreamError):
        Chat().read_stream(call).feed(b'data: {"type":"image_generation.text_chunk","text":"<rect"}\n\n')
