import asyncio
import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Kind, Stage
from guardrail.upstream.contract import refusal
from guardrail.upstream.dialect import Answer, Call
from guardrail.upstream.gemini import Gemini
from guardrail.upstream.limits import Limits
from tests.upstream.asking import JSON, Store, b64, png

PATH = "/v1beta/models/gemini-3:generateContent"
A, B = png(1), png(2)
SAID: dict[str, Any] = {"contents": [{"parts": [{"text": "a red bicycle"}]}]}


async def ask(body: bytes | dict[str, Any], *, path: str = PATH, query: str = "", limits: Limits | None = None) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    store = Store({"https://a.example/x": A})
    return await Gemini(limits=limits).read("POST", path, query, JSON, raw, store.fetch, store.fetch_file)


def turn(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def judged(call: Call) -> list[str]:
    return [text.text or "" for text in call.request.texts]


WORD = "something forbidden here today"
SLOTS: list[dict[str, Any]] = [
    {"contents": [turn({"text": WORD})]},
    {"contents": [turn({"text": "hi"}), turn({"text": WORD}, role="model"), turn({"text": "yes"})]},
    {"contents": turn({"text": WORD})},
    {"contents": [WORD]},
    {"systemInstruction": turn({"text": WORD})},
    {"system_instruction": {"parts": {"text": WORD}}},
    {"systemInstruction": WORD},
    {"contents": [turn({"functionCall": {"name": "f", "args": {"a": [{"b": WORD}]}}})]},
    {"contents": [turn({"functionResponse": {"name": "f", "response": {"out": WORD}}})]},
    {"contents": [turn({"executableCode": {"language": "PYTHON", "code": WORD}})]},
    {"contents": [turn({"inlineData": {"mimeType": "image/png", "data": b64(A), "displayName": WORD}})]},
    {"contents": [turn({"newField": {"deep": [WORD]}})]},
    {"contents": [{"role": WORD, "parts": [{"text": "hi"}]}]},
    {"tools": [{"functionDeclarations": [{"name": "f", "description": WORD}]}]},
    {"tools": [{"function_declarations": [{"name": "f", "parameters": {"properties": {"a": {"description": WORD}}}}]}]},
    {"generationConfig": {"responseSchema": {"description": WORD}}},
    {"generationConfig": {"stopSequences": [WORD]}},
    {"generationConfig": {"imageConfig": {"style": WORD}}},
    {"labels": {"x": WORD}},
    {WORD: 1},
]


@pytest.mark.parametrize("body", SLOTS, ids=lambda body: json.dumps(body)[:60])
async def test_a_word_in_any_slot_is_judged(body):
    assert any(WORD in text for text in judged(await ask({**SAID, **body})))


async def test_a_setting_with_a_word_of_its_own_is_judged():
    call = await ask({**SAID, "generationConfig": {"imageConfig": {"style": "nude", "aspectRatio": "16:9"}}})
    assert "nude" in judged(call)
    assert len(judged(call)) == 2


async def test_turns_are_judged_one_by_one_and_as_one_text():
    contents = [
        turn({"text": "take her jacket off"}),
        turn({"text": "ok"}, role="model"),
        turn({"text": "now the\nrest"}),
    ]
    call = await ask({"contents": contents})
    assert judged(call) == ["take her jacket off", "ok", "now the\nrest", "take her jacket off\nok\nnow the rest"]
    assert [text.slot for text in call.request.texts][-1] == "conversation"


async def test_a_long_turn_is_judged_in_windows_that_overlap():
    text = "word " * 3000
    call = await ask({"contents": [turn({"text": text})]}, limits=Limits(prompt_chars=8000))
    parts = judged(call)
    assert all(len(part) <= 8000 for part in parts)
    assert parts[0][-500:] == parts[1][:500]
    assert parts[-1].endswith(text[-100:])


PICTURES: list[dict[str, Any]] = [
    {"inlineData": {"mimeType": "image/png", "data": b64(A)}},
    {"inline_data": {"mime_type": "image/png", "data": b64(A)}},
    {"inlineData": {"data": b64(A).rstrip("=").replace("+", "-").replace("/", "_")}},
    {"inlineData": {"data": f"data:image/png;base64,{b64(A)}"}},
    {"fileData": {"fileUri": "https://a.example/x"}},
    {"file_data": {"file_uri": "https://a.example/x", "mime_type": "image/png"}},
    {"text": f"look: data:image/png;base64,{b64(A)}"},
    {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": {"data": b64(A)}}]}},
    {"functionResponse": {"name": "f", "response": {"x": {"inline_data": {"data": b64(A)}}}}},
]


@pytest.mark.parametrize("part", PICTURES, ids=lambda part: json.dumps(part)[:50])
@pytest.mark.parametrize("role", ["user", "model"])
async def test_a_picture_in_any_turn_is_an_input(part, role):
    call = await ask({"contents": [turn({"text": "hi"}), turn(part, role=role), turn({"text": "by night"})]})
    assert [(one.kind, one.data) for one in call.request.inputs] == [(Kind.INPUT, A)]


NOBODY: list[bytes | dict[str, Any]] = [
    {},
    {"contents": None},
    {"contents": 3},
    {"contents": [3]},
    b"[]",
    b"{",
    {**SAID, "cachedContent": "cachedContents/a"},
    {**SAID, "cached_content": "cachedContents/a"},
    {**SAID, "generationConfig": {"continuationToken": "x"}},
    {**SAID, "generationConfig": {"generationOutputConfig": {"x": 1}}},
    {"contents": [turn({"fileData": {"fileUri": "gs://b/a.png"}})]},
    {"contents": [turn({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}})]},
    {"contents": [turn({"fileData": {"fileUri": "files/a"}})]},
    {"contents": [turn({"fileData": {}})]},
    {"contents": [turn({"inlineData": {"mimeType": "image/png"}})]},
    {"contents": [turn({"inlineData": "x"})]},
    {"contents": [turn({"inlineData": {"data": b64(b"some plain text, no picture")}})]},
    {"contents": [turn({"inlineData": {"mimeType": "audio/wav", "data": b64(b"RIFF....WAVEfmt ")}})]},
    *(
        {"contents": [turn({"inlineData": {kind: said, "data": b64(A)}})]}
        for kind in ("mimeType", "mime_type")
        for said in ("application/pdf", "text/plain", "video/mp4", "", 7, ["image/png"], "image/png, text/plain")
    ),
    {"contents": [turn({"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/x"}})]},
    {"contents": [turn({"inlineData": {"data": b64(A)}, "inline_data": {"data": b64(B)}})]},
    {"contents": [turn({"text": "x" * 5000})]},
    {"contents": [turn({"thoughtSignature": b64(png(1, 40)), "text": "x"})]},
    {"contents": [turn({"thoughtSignature": "two words", "text": "x"})]},
    {**SAID, "tools": [{"urlContext": {}}]},
    {**SAID, "tools": [{"file_search": {"fileSearchStoreNames": ["x"]}}]},
    {**SAID, "tools": [{"mcpServers": [{"x": 1}]}]},
    {**SAID, "tools": [{"googleSearch": {"searchTypes": {"imageSearch": {}}}}]},
    {**SAID, "generationConfig": {"candidateCount": 99}},
    {**SAID, "generationConfig": {"seedImage": b64(png(1, 40))}},
    {**SAID, "numbers": [1] * 300},
    {**SAID, "tools": "a text"},
    {**SAID, "tools": ["a text"]},
    {**SAID, "tools": [[{"googleSearch": {}}]]},
    {"contents": SAID["contents"], "Contents": SAID["contents"]},
]


@pytest.mark.parametrize("body", NOBODY, ids=lambda body: str(body)[:60])
async def test_what_nobody_could_judge_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        await ask(body)


@pytest.mark.parametrize(
    "query", ["alt=proto", "fields=x", "callback=f", "alt=sse&alt=json", "alt=sse;x=1", "x=1", "%ff=1"]
)
async def test_a_query_that_changes_the_answer_is_a_bad_request(query):
    with pytest.raises(BadRequest):
        await ask(SAID, query=query)


async def test_tools_that_bring_in_texts_alone_pass():
    call = await ask({**SAID, "tools": [{"googleSearch": {}}, {"code_execution": {}}, {"googleSearch": None}]})
    assert judged(call) == ["a red bicycle"]


@pytest.mark.parametrize(
    ("threshold", "clamped"),
    [
        ("BLOCK_LOW_AND_ABOVE", False),
        ("BLOCK_MEDIUM_AND_ABOVE", False),
        ("BLOCK_ONLY_HIGH", True),
        ("OFF", True),
        (5, True),
    ],
)
@pytest.mark.parametrize("name", ["safetySettings", "safety_settings"])
async def test_the_vendors_own_safety_stays_on(name, threshold, clamped):
    call = await ask({**SAID, name: [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": threshold}]})
    assert call.request.clamped == (("safetySettings",) if clamped else ())
    sent = json.loads(call.forward.body)[name][0]["threshold"]
    assert sent == ("BLOCK_MEDIUM_AND_ABOVE" if clamped else threshold)


# --- answers


async def read(said: Any, *, store: Store | None = None) -> Answer:
    body = json.dumps(said).encode()
    call = await ask(SAID)
    return await Gemini().read_answer(call, 200, JSON, body, (store or Store()).fetch)


def candidate(**content: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [content]}, "finishReason": "STOP"}]}


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"data": b64(A)}},
        {"inline_data": {"mime_type": "image/png", "data": b64(A)}},
        {"thought": True, "inlineData": {"data": b64(A)}},
        {"text": f"![x](data:image/png;base64,{b64(A)})"},
        {"text": "![x](https://a.example/x)"},
        {"functionCall": {"name": "f", "args": {"picture": f"data:image/png;base64,{b64(A)}"}}},
        {"codeExecutionResult": {"output": f"data:image/png;base64,{b64(A)}"}},
        {"newField": {"inlineData": {"data": b64(A)}}},
    ],
    ids=str,
)
async def test_a_picture_anywhere_in_an_answer_is_judged(part):
    answer = await read(candidate(**part), store=Store({"https://a.example/x": A}))
    assert [image.data for image in answer.images] == [A]


async def test_what_is_said_beside_a_picture_is_judged_and_words_alone_are_not():
    both = candidate(text="a child of nine")
    both["candidates"][0]["content"]["parts"].append({"inlineData": {"data": b64(A)}})
    assert [text.text for text in (await read(both)).texts] == ["a child of nine"]
    assert (await read(candidate(text="a child of nine"))).texts == ()


async def test_sources_that_are_named_are_no_pictures():
    said = candidate(text="so it is")
    said["candidates"][0]["groundingMetadata"] = {
        "groundingChunks": [{"web": {"uri": "https://a.example/page", "title": "a.example"}}],
        "searchEntryPoint": {"renderedContent": "<div><svg></svg></div>"},
    }
    assert (await read(said)).images == ()


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"candidates": []},
        {"candidates": ["x"]},
        candidate(inlineData={"data": "!!"}),
        candidate(inlineData={"mimeType": "image/png"}),
        candidate(inlineData="x"),
        candidate(text="x" * 5000),
        candidate(text="![x](https://gone.example/x)"),
        candidate(fileData={"fileUri": "https://gone.example/x"}),
        candidate(thoughtSignature=b64(png(1, 40)) + " "),
        candidate(numbers=[1] * 300),
    ],
    ids=lambda said: str(said)[:60],
)
async def test_what_is_no_answer_is_the_generators_fault(said):
    with pytest.raises(UpstreamError):
        await read(said)


def test_a_refusal_names_the_rules_and_the_receipt():
    call = asyncio.run(ask(SAID, path=PATH.replace("generateContent", "streamGenerateContent"), query="alt=sse"))
    decision = refusal(Stage.PROMPT, "undress-request")
    reply = Gemini().refuse(decision, decision.stage, call)
    assert dict(reply.headers)["content-type"] == "text/event-stream"
    said = json.loads(reply.body.removeprefix(b"data: "))
    assert "undress-request" in said["promptFeedback"]["blockReasonMessage"]
    assert said["responseId"] == "rcp-contract"
