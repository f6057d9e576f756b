"""The Responses API keeps the contract of a dialect."""

import asyncio
import json

from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.responses import Responses
from guardrail.upstream.responses.past import Past, Remembered
from tests.upstream.asking import b64, png

PERSON, MADE, MASK, OUT, OTHER, PREVIEW, EARLIER = (png(shade) for shade in (10, 20, 30, 40, 50, 60, 70))
ROUTE = "/v1/responses"
SSE = (("content-type", "text/event-stream"),)
JOB = "resp_job"
KNOWN = Remembered()
KNOWN.keep("resp_before", Past(lines=("my aunt",)), ["here she is"], [("ig_before", EARLIER)])
KNOWN.keep("resp_run", Past(), [], [])


def url(data: bytes) -> str:
    return f"data:image/png;base64,{b64(data)}"


def call(data: bytes, item: str = "ig_1") -> str:
    return (
        f'{{"id":"{item}","type":"image_generation_call","status":"completed","revised_prompt":"a fox, red",'
        f'"result":"{b64(data)}"}}'
    )


def said(text: str) -> str:
    part = json.dumps({"type": "output_text", "text": text, "annotations": []})
    return f'{{"id":"msg_1","type":"message","role":"assistant","content":[{part}]}}'


def response(*items: str, status: str = "completed", identity: str = "resp_1") -> str:
    head = f'"id":"{identity}","object":"response","status":"{status}", "model":"m"'
    return f'{{{head},"output":[{" , ".join(items)}],"zz":1.0}}'


def event(kind: str, number: int, **more: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **more})}\n\n"


def told(text: str, index: int) -> str:
    deltas = (text[at : at + 9] for at in range(0, len(text), 9))
    return "".join(
        event("response.output_text.delta", 9, output_index=index, content_index=0, delta=delta, obfuscation="x7")
        for delta in deltas
    ) + event("response.output_text.done", 9, output_index=index, content_index=0, text=text)


ASK = b'{"model":"m","input":"a red bicycle","tools":[{"type":"image_generation","partial_images":2}]}'
TALK = (
    '{"model":"m","instructions":"you paint in oil only","input":[{"role":"user","content":[{"type":"input_text",'
    f'"text":"my aunt on the beach"}},{{"type":"input_image","image_url":"{url(PERSON)}"}},'
    '{"type":"input_image","file_id":"file-12345678"}]},'
    f'{call(MADE, "ig_0")},{{"type":"message","role":"assistant","content":'
    '[{"type":"output_text","text":"here she is"}]},'
    '{"role":"user","content":"now by night"}],"tools":[{"type":"image_generation","moderation":"low",'
    f'"input_image_mask":{{"image_url":"{url(MASK)}"}}}},'
    '{"type":"function","name":"ask","description":"asks the painter what else to do"}]}'
)
STREAM = b'{"model":"m","input":"a blue bicycle","stream":true,"tools":[{"type":"image_generation"}]}'


class TestResponses(DialectContract):
    dialect = Responses(known=KNOWN)
    closed = (
        ("GET", ROUTE),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/compact"),
        ("GET", "/v1/responses/compact"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/conversations/c/items"),
        ("POST", "/v1/files"),
        ("POST", "/v1/chat/completions"),
    )
    captures = (
        Capture(
            "ask",
            ROUTE,
            body=ASK,
            texts=("a red bicycle",),
            answer=response(call(OUT), said("here"), call(OTHER, "ig_2")).encode(),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "a conversation, pictures by file id and as a mask, a switch turned off",
            "/openai/v1/responses",
            body=TALK.encode(),
            sent=TALK.replace('"file_id":"file-12345678"', f'"image_url":"{url(OTHER)}"')
            .replace('"moderation":"low"', '"moderation":"auto"')
            .encode(),
            clamped=("moderation",),
            texts=(
                "you paint in oil only",
                "my aunt on the beach",
                "here she is",
                "now by night",
                "asks the painter what else to do",
                "my aunt on the beach\na fox, red\nhere she is\nnow by night",
            ),
            files={"file-12345678": OTHER},
            pictures=(PERSON, MADE, MASK, OTHER),
            answer=response(said(f"look: ![it]({url(OUT)})")).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "the turn after a response that is remembered",
            ROUTE,
            body=b'{"model":"m","previous_response_id":"resp_before","input":"now by night"}',
            texts=("my aunt\nhere she is\nnow by night",),
            pictures=(EARLIER,),
            answer=response(call(OUT)).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "a picture by the id of its item",
            ROUTE,
            body=b'{"model":"m","input":[{"type":"image_generation_call","id":"ig_before"},'
            b'{"role":"user","content":"by night"}]}',
            texts=("by night",),
            pictures=(EARLIER,),
            answer=response(call(OUT)).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "a job that is begun",
            ROUTE,
            body=b'{"model":"m","input":"a red bicycle","background":true}',
            texts=("a red bicycle",),
            answer=response(status="queued").encode(),
        ),
        Capture(
            "a job that is fetched",
            "/v1/responses/resp_run",
            method="GET",
            headers=(),
            answer=response(call(OUT), identity="resp_run").encode(),
            outputs=(OUT,),
        ),
        Capture(
            "a stream",
            ROUTE,
            body=STREAM,
            texts=("a blue bicycle",),
            answer_headers=SSE,
            answer=(
                event("response.created", 0, response=json.loads(response(status="in_progress")))
                + event(
                    "response.output_item.added",
                    1,
                    output_index=0,
                    item={"id": "ig_1", "type": "image_generation_call"},
                )
                + event(
                    "response.image_generation_call.partial_image",
                    2,
                    output_index=0,
                    item_id="ig_1",
                    partial_image_index=0,
                    partial_image_b64=b64(PREVIEW),
                )
                + event("response.output_item.done", 3, output_index=0, item=json.loads(call(OUT)))
                + told(f"here: ![too]({url(OTHER)}) and that is all!", 1)
                + event("response.completed", 99, response=json.loads(response(call(OUT))))
            ).encode(),
            outputs=(PREVIEW, OUT, OTHER),
            streamed=True,
        ),
    )

    def check_refusal(self, status, body, stage):
        read = json.loads(body)
        if status == 200:
            assert stage == "output"
            failed, message = read["output"]
            assert (failed["type"], failed["status"], failed["result"]) == ("image_generation_call", "failed", None)
            assert failed["error"]["code"] == "moderation_blocked"
            assert message["content"][0]["type"] == "refusal"
        else:
            assert (status, read["error"]["code"]) == (400, "moderation_blocked")


def test_a_job_is_judged_beside_what_was_asked_for_however_often_it_is_fetched():
    dialect = Responses()

    async def read(method, path, body):
        return await dialect.read(method, path, "", (), body, None, None)  # type: ignore[arg-type]

    async def play():
        begun = await read("POST", ROUTE, ASK.replace(b'"a red bicycle"', b'"a red bicycle","background":true'))
        queued = response(status="queued", identity=JOB).encode()
        await dialect.read_answer(begun, 200, (), queued, None)  # type: ignore[arg-type]
        for _ in range(3):
            fetched = await read("GET", f"{ROUTE}/{JOB}", b"")
            assert fetched.poll
            assert [text.text for text in fetched.request.texts] == ["a red bicycle"]
            assert fetched.request.inputs == ()
            await dialect.read_answer(fetched, 200, (), response(call(OUT), identity=JOB).encode(), None)  # type: ignore[arg-type]
        went_on = await read("POST", ROUTE, b'{"previous_response_id":"resp_job","input":"by night"}')
        assert [one.data for one in went_on.request.inputs] == [OUT]

    asyncio.run(play())
