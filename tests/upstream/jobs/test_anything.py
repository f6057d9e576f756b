"""Whatever a caller or a generator sends, it is read, or refused in words of our own."""

import asyncio
import json
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Stage
from guardrail.upstream.contract import refusal
from guardrail.upstream.dialect import OneBad, Setup
from guardrail.upstream.fal import Fal
from guardrail.upstream.replicate import Replicate
from tests.upstream.asking import JSON, Store, b64, png

PICTURE = png(10)
URL = "data:image/png;base64," + b64(PICTURE)
WORDS = st.sampled_from(
    [
        "",
        "x",
        URL,
        URL[:40],
        b64(PICTURE),
        "https://made.example/1",
        "https://gone.example/",
        "data:",
        "//a/b.png",
        "![](x)",
    ]
) | st.text(max_size=20)
NAMES = st.sampled_from(
    ["prompt", "image", "mask", "output", "images", "url", "id", "status", "urls", "get", "input", "webhook", "logs",
     "lora", "request_id", "response_url", "payload", "has_nsfw_concepts", "safety_tolerance", "disable_safety_checker"]
) | st.text(max_size=5)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
STORE = Store({"https://made.example/1": PICTURE})
REPLICATE, FAL = Replicate.open(Setup(public_url="http://g.example")), Fal.open(Setup(public_url="https://g.example"))


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES)
def test_anything(asked, answered):
    body = json.dumps({"version": "v", "input": asked} if isinstance(asked, dict) else asked).encode()
    told = json.dumps(
        {"id": "p1", "status": "succeeded", **answered} if isinstance(answered, dict) else answered
    ).encode()
    for dialect, path in ((REPLICATE, "/v1/predictions"), (FAL, "/fal-ai/flux/dev"), (FAL, "/queue/fal-ai/flux/dev")):
        try:
            call = asyncio.run(dialect.read("POST", path, "", JSON, body, STORE.fetch, STORE.fetch_file))
        except BadRequest:
            continue
        for status in (200, 422):
            try:
                answer = asyncio.run(dialect.read_answer(call, status, JSON, told, STORE.fetch))
            except UpstreamError:
                continue
            json.loads(answer.body)
            for one_bad in get_args(OneBad):
                for entry in set(answer.entries):
                    left = dialect.without(answer, {entry: refusal(Stage.OUTPUT)}, one_bad)
                    json.loads(left.body)
