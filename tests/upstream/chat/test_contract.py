"""Chat completions, and OpenRouter's images, keep the contract of a dialect."""

import json

from guardrail.upstream.chat import Chat
from guardrail.upstream.contract import Capture, DialectContract
from tests.upstream.asking import b64, png

PERSON, MADE, MARKED, OUT, OTHER, PREVIEW = (png(shade) for shade in (10, 20, 30, 40, 50, 60))
CHAT = "/v1/chat/completions"
SSE = (("content-type", "text/event-stream"),)


def url(data: bytes) -> str:
    return f"data:image/png;base64,{b64(data)}"


def pictured(data: bytes) -> str:
    return f'{{"type":"image_url", "image_url":{{"url":"{url(data)}"}}}}'


def choice(content: str, *pictures: bytes, index: int = 0) -> str:
    images = f',"images":[{",".join(map(pictured, pictures))}]' if pictures else ""
    message = f'{{"role":"assistant","content":{json.dumps(content)}{images}}}'
    return f'{{"index": {index}, "message": {message}, "finish_reason":"stop"}}'


def completion(*choices: str) -> bytes:
    return (
        f'{{"id":"gen-1","object":"chat.completion","model":"m","choices":[{" ,".join(choices)}],\n"zz":1.0}}'.encode()
    )


def chunk(delta: str, finish: str = "null", index: int = 0) -> str:
    return f'data: {{"id":"gen-1","choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]}}\n\n'


def words(text: str, index: int = 0) -> str:
    return "".join(chunk(json.dumps({"content": text[at : at + 9]}), index=index) for at in range(0, len(text), 9))


ASK = b'{"model":"m","messages":[{"role":"user","content":"a red bicycle"}], "modalities":["image","text"],"n":2}'
TALK = (
    '{"model":"m","messages":[{"role":"system","content":"you paint in oil only"},'
    f'{{"role":"user","content":[{{"type":"text","text":"my aunt on the beach"}},{pictured(PERSON)}]}},'
    f'{{"role":"assistant","content":"here she is ![aunt]({url(MARKED)}) in the sun","images":[{pictured(MADE)}]}},'
    '{"role":"user","content":[{"type":"text","text":"now by night"},{"type":"text","text":"with the moon out"}]}],'
    '"tools":[{"type":"function","function":{"name":"ask","description":"asks the painter what else to do"}}],'
    '"image_config":{"aspect_ratio":"16:9"},"style_preset":"a very wet look"}'
).encode()
STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"a blue bicycle"}]}'


class TestChat(DialectContract):
    dialect = Chat()
    closed = (
        ("GET", CHAT),
        ("GET", "/v1/chat/completions/gen-1"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/files"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/files/file-1/content"),
        ("GET", "/v1/generation"),
    )
    captures = (
        Capture(
            "ask",
            CHAT,
            body=ASK,
            texts=("a red bicycle",),
            answer=completion(choice("here", OUT), choice(f"![it]({url(OTHER)}) you are", index=1)),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "a conversation",
            "/api/v1/chat/completions",
            body=TALK,
            texts=(
                "you paint in oil only",
                "my aunt on the beach",
                "here she is ",
                "now by night\nwith the moon out",
                "asks the painter what else to do",
                "a very wet look",
                "my aunt on the beach\nhere she is ![aunt]( ) in the sun\nnow by night with the moon out",
            ),
            pictures=(PERSON, MADE, MARKED),
            answer=completion(choice("here", OUT)),
            outputs=(OUT,),
        ),
        Capture(
            "a picture by address, in and out, and a switch turned off",
            CHAT,
            body=b'{"messages":[{"role":"user","content":[{"type":"text","text":"make it autumn"},'
            b'{"type":"image_url","image_url":{"url":"https://a.example/1"}}]}],"disable_safety_checker":true,'
            b'"extra_body":{"google":{"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}}}',
            sent=(
                '{"messages":[{"role":"user","content":[{"type":"text","text":"make it autumn"},'
                f'{{"type":"image_url","image_url":{{"url":"{url(PERSON)}"}}}}]}}],"disable_safety_checker":false,'
                '"extra_body":{"google":{"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_MEDIUM_AND_ABOVE"}]}}}'
            ).encode(),
            clamped=("disable_safety_checker", "safetySettings"),
            texts=("make it autumn",),
            files={"https://a.example/1": PERSON, "https://b.example/2?sig=1": OUT, "https://c.example/3.png": OTHER},
            pictures=(PERSON,),
            answer=completion(
                choice("look ![](https://b.example/2?sig=1) and https://c.example/3.png, from https://d.example/page")
            ),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "a stream",
            CHAT,
            body=STREAM,
            texts=("a blue bicycle",),
            answer_headers=SSE,
            answer=(
                ": OPENROUTER PROCESSING\n\n"
                + chunk('{"role":"assistant","content":""}')
                + words("let me see: a blue one! (as you said) ")
                + chunk(f'{{"images":[{pictured(PREVIEW)}]}}')
                + words(f"and here: ![it]({url(OUT)}) that is it")
                + chunk("{}", '"stop"')
                + 'data: {"choices":[],"usage":{"total_tokens":7}}\n\ndata: [DONE]\n\n'
            ).encode(),
            outputs=(PREVIEW, OUT),
            streamed=True,
        ),
        Capture(
            "images of OpenRouter",
            "/api/v1/images",
            body=(
                '{"model":"m","prompt":"a green bicycle","input_references":[{"type":"image_url","image_url":'
                f'{{"url":"{url(PERSON)}"}}}}],"output_format":"png","aspect_ratio":"16:9"}}'
            ).encode(),
            texts=("a green bicycle",),
            pictures=(PERSON,),
            answer=f'{{"created":1, "data":[{{"b64_json":"{b64(OUT)}","media_type":"image/png"}}]}}'.encode(),
            outputs=(OUT,),
        ),
        Capture(
            "images of OpenRouter as a stream",
            "/images",
            body=b'{"model":"m","prompt":"a grey bicycle","stream":true}',
            texts=("a grey bicycle",),
            answer_headers=SSE,
            answer=(
                f'data: {{"type":"image_generation.partial_image","b64_json":"{b64(PREVIEW)}"}}\n\n'
                f'data: {{"type":"image_generation.completed","b64_json":"{b64(OUT)}"}}\n\n'
            ).encode(),
            outputs=(PREVIEW, OUT),
            streamed=True,
        ),
        Capture("words only", CHAT, body=ASK, texts=("a red bicycle",), answer=completion(choice("no: I can not."))),
    )

    def check_refusal(self, status, body, stage):
        said = json.loads(body)
        if status == 200:
            assert stage == "output"
            (one,) = said["choices"]
            assert (one["finish_reason"], one["message"]["content"]) == ("content_filter", None)
            assert "safety system" in one["message"]["refusal"]
        else:
            assert (status, said["error"]["code"]) == (400, "moderation_blocked")
