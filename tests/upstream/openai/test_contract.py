"""The Images dialect keeps the contract of a dialect."""

import json

from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.openai import OpenAIImages
from tests.upstream.asking import FORM, b64, form, png

PERSON, MASK, MARKS, OUT, OTHER, PREVIEW = (png(shade) for shade in (10, 20, 30, 40, 50, 60))


def answer(*pictures: bytes) -> bytes:
    entries = ", ".join(f'{{ "b64_json":"{b64(one)}" }}' for one in pictures)
    return f'{{"created": 1,\n "data": [{entries}], "usage": {{"total_tokens": 7}}}}'.encode()


def event(kind: str, picture: bytes) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}","b64_json":"{b64(picture)}"}}\n\n'.encode()


GENERATE = b'{"prompt": "a red bicycle", "model":"gpt-image-2",\n"n": 2, "negative_prompt": "cars and vans"}'


class TestOpenAIImages(DialectContract):
    dialect = OpenAIImages()
    closed = (
        ("GET", "/v1/images/generations"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files/file-1/content"),
        ("POST", "/v1/content_provenance_checks"),
    )
    captures = (
        Capture(
            "generate",
            "/v1/images/generations",
            body=GENERATE,
            texts=("a red bicycle", "cars and vans"),
            answer=answer(OUT, OTHER),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "edit as a form",
            "/v1/images/edits",
            headers=FORM,
            body=form(
                ("prompt", b"make it autumn"),
                ("image[]", PERSON, "a.png"),
                ("mask", MASK, "mask.png"),
                ("markup", MARKS, "upload"),
            ),
            texts=("make it autumn",),
            pictures=(PERSON, MASK, MARKS),
            answer=answer(OUT),
            outputs=(OUT,),
        ),
        Capture(
            "edit as JSON, one picture by address and one by id",
            "/v1/images/edits",
            body=b'{"prompt":"autumn leaves", "images":[{"image_url":"https://a.example/1"},{"file_id":"file-12345678"}],'
            b'"moderation": "low"}',
            sent=(
                f'{{"prompt":"autumn leaves", "images":[{{"image_url":"data:image/png;base64,{b64(PERSON)}"}},'
                f'{{"image_url":"data:image/png;base64,{b64(MASK)}"}}],"moderation": "auto"}}'
            ).encode(),
            clamped=("moderation",),
            texts=("autumn leaves",),
            files={"https://a.example/1": PERSON, "file-12345678": MASK},
            pictures=(PERSON, MASK),
            answer=answer(OUT),
            outputs=(OUT,),
        ),
        Capture(
            "generate as a stream",
            "/v1/images/generations",
            body=b'{"prompt":"a blue bicycle","stream":true,"partial_images":1}',
            texts=("a blue bicycle",),
            answer_headers=(("content-type", "text/event-stream"),),
            answer=event("image_generation.partial_image", PREVIEW) + event("image_generation.completed", OUT),
            outputs=(PREVIEW, OUT),
            streamed=True,
        ),
        Capture(
            "edit as a stream",
            "/v1/images/edits",
            headers=FORM,
            body=form(("prompt", b"make it winter"), ("image", PERSON, "a.png"), ("stream", b"true")),
            texts=("make it winter",),
            pictures=(PERSON,),
            answer_headers=(("content-type", "text/event-stream"),),
            answer=event("image_edit.partial_image", PREVIEW) + event("image_edit.completed", OUT),
            outputs=(PREVIEW, OUT),
            streamed=True,
        ),
    )

    def check_refusal(self, status, body, stage):
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (400, "moderation_blocked")
        assert error["moderation_details"]["moderation_stage"] == ("output" if stage == "output" else "input")
