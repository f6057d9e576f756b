"""generateContent keeps the contract of a dialect."""

import json

import pybase64

from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.gemini import Gemini
from tests.upstream.asking import b64, png

PERSON, MADE, ASIDE, OUT, OTHER, THOUGHT = (png(shade) for shade in (10, 20, 30, 40, 50, 60))
MODEL = "/v1beta/models/gemini-2.5-flash-image"
SSE = (("content-type", "text/event-stream"),)


def url_safe(data: bytes) -> str:
    return pybase64.urlsafe_b64encode(data).decode()


def inline(data: bytes) -> str:
    return f'{{"inlineData": {{"mimeType":"image/png","data":"{b64(data)}"}}}}'


def candidate(*parts: str, index: int = 0, done: bool = True) -> str:
    end = ', "finishReason" : "STOP"' if done else ""
    return f'{{"content":{{"parts":[{", ".join(parts)}],"role":"model"}}{end}, "index": {index}}}'


def response(*candidates: str) -> str:
    return f'{{"candidates": [{" , ".join(candidates)}],\n "usageMetadata":{{"promptTokenCount":7}}}}'


def events(*responses: str) -> bytes:
    return "".join(f"data: {one}\r\n\r\n" for one in responses).replace(",\n", ",").encode()


GENERATE = (
    b'{"contents": [{"parts":[{"text":"a red bicycle"}],"role":"user"}], "generationConfig":{"candidateCount":2}}'
)
# As the Python client writes it: two casings in one body, URL-safe base64; as Open WebUI does: the other casing.
TALK = (
    '{"contents":[{"role":"user","parts":[{"text":"my aunt on the beach"},'
    f'{{"inlineData":{{"data":"{url_safe(PERSON)}","mime_type":"image/png"}}}}]}},'
    '{"role":"model","parts":[{"text":"here she is, in the sun"},'
    f'{{"inline_data":{{"mime_type":"image/png","data":"{b64(MADE)}"}},"thoughtSignature":"CvcQ_Zm9v"}}]}},'
    '{"role":"user","parts":[{"text":"now by night please"}]}],'
    '"system_instruction":{"parts":[{"text":"you paint in oil only"}]},'
    '"tools":[{"functionDeclarations":[{"name":"ask","description":"asks the painter what else to do"}]}]}'
).encode()


class TestGemini(DialectContract):
    dialect = Gemini()
    closed = (
        ("GET", f"{MODEL}:generateContent"),
        ("GET", "/upload/v1beta/files"),
        ("POST", "/v1beta/files"),
        ("POST", "/v1beta/files:register"),
        ("GET", "/v1beta/files/abc:download"),
        ("GET", "/download/v1beta/files/abc:download"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", f"{MODEL}:batchGenerateContent"),
        ("POST", f"{MODEL}:predict"),
        ("POST", f"{MODEL}:embedContent"),
        ("POST", "/v1beta/interactions"),
        ("GET", "/v1beta/interactions/abc"),
        ("POST", "/v1beta/models/..:generateContent"),
        ("POST", "/v3/models/a:generateContent"),
    )
    captures = (
        Capture(
            "generate",
            f"{MODEL}:generateContent",
            body=GENERATE,
            texts=("a red bicycle",),
            answer=response(candidate('{"text":"here"}', inline(OUT)), candidate(inline(OTHER), index=1)).encode(),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "a conversation on Vertex",
            "/v1beta1/projects/p-1/locations/eu-west4/publishers/google/models/gemini-3:generateContent",
            body=TALK,
            sent=TALK.replace(url_safe(PERSON).encode(), b64(PERSON).encode()),
            texts=(
                "my aunt on the beach",
                "here she is, in the sun",
                "now by night please",
                "you paint in oil only",
                "asks the painter what else to do",
                "my aunt on the beach\nhere she is, in the sun\nnow by night please",
            ),
            pictures=(PERSON, MADE),
            answer=response(candidate(inline(OUT))).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "without a version, a picture by address, switches turned off",
            "/models/gemini-3:generateContent",
            body=b'{"contents":{"parts":[{"text":"make it autumn"},{"file_data":{"file_uri":"https://a.example/1.png"}}]},'
            b'"safety_settings":[{"category":"HARM_CATEGORY_SEXUALLY_EXPLICIT","threshold":"OFF"},'
            b'{"category":"HARM_CATEGORY_HARASSMENT","threshold":4}],'
            b'"generationConfig":{"imageConfig":{"personGeneration":"ALLOW_ALL"}}}',
            sent=(
                '{"contents":{"parts":[{"text":"make it autumn"},{"inlineData":{"mimeType":"image/png","data":"'
                f'{b64(PERSON)}"}}}}]}},"safety_settings":[{{"category":"HARM_CATEGORY_SEXUALLY_EXPLICIT","threshold":'
                '"BLOCK_MEDIUM_AND_ABOVE"},{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_MEDIUM_AND_ABOVE"}],'
                '"generationConfig":{"imageConfig":{"personGeneration":"ALLOW_ADULT"}}}'
            ).encode(),
            clamped=("safetySettings", "personGeneration"),
            texts=("make it autumn",),
            files={"https://a.example/1.png": PERSON},
            pictures=(PERSON,),
            answer=response(candidate(inline(OUT))).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "a stream of events",
            "/v1/models/gemini-3:streamGenerateContent",
            query="alt=sse&key=k-1",
            body=GENERATE,
            texts=("a red bicycle",),
            answer_headers=SSE,
            answer=events(
                response(candidate('{"text":"let me think: "}', done=False)),
                response(candidate(inline(THOUGHT).replace("{", '{"thought":true,', 1).replace(",,", ","), done=False)),
                response(candidate('{"text":"done!"}', inline(OUT), done=False)),
                response(candidate(f'{{"text":"![again](data:image/png;base64,{b64(OTHER)})"}}')),
            ),
            outputs=(THOUGHT, OUT, OTHER),
            streamed=True,
        ),
        Capture(
            "a stream that is one list",
            "/v1/models/gemini-3:streamGenerateContent",
            body=GENERATE,
            texts=("a red bicycle",),
            answer=(
                f"[{response(candidate(inline(OUT), done=False))}\n,\r\n{response(candidate(inline(OTHER)))}]"
            ).encode(),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "blocked by the vendor",
            f"{MODEL}:generateContent",
            body=GENERATE,
            texts=("a red bicycle",),
            answer=b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7}}',
        ),
        Capture(
            "an answer in words",
            f"{MODEL}:generateContent",
            body=GENERATE,
            texts=("a red bicycle",),
            answer=response(candidate('{"text":"I can not paint that."}')).encode(),
        ),
    )

    def check_refusal(self, status, body, stage):
        said = json.loads(body.removeprefix(b"data: "))
        said = said[0] if isinstance(said, list) else said
        assert status == 200
        if stage == "output":
            assert [one["finishReason"] for one in said["candidates"]] == ["IMAGE_SAFETY"]
            assert "content" not in said["candidates"][0]
        else:
            assert "candidates" not in said
            assert said["promptFeedback"]["blockReason"] == ("IMAGE_SAFETY" if stage == "input" else "SAFETY")
