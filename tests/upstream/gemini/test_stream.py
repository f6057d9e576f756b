import asyncio
import itertools
import json
from typing import Any

import pytest

from guardrail.errors import UpstreamError
from guardrail.upstream.dialect import Event
from guardrail.upstream.gemini.stream import EventReader
from guardrail.upstream.limits import Limits
from tests.upstream.asking import Store, b64, png

A, B = png(1), png(2)


def event(*parts: dict[str, Any], finish: str | None = None) -> bytes:
    said: dict[str, Any] = {"content": {"parts": list(parts)}}
    return (
        b"data: "
        + json.dumps({"candidates": [{**said, **({"finishReason": finish} if finish else {})}]}).encode()
        + b"\r\n\r\n"
    )


def picture(data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": b64(data)}}


USAGE = b'data: {"usageMetadata":{"totalTokenCount":7}}\r\n\r\n'


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader(Limits())
    events = [one for chunk in chunks for one in reader.feed(chunk)]
    events += reader.close()
    assert b"".join(one.raw for one in events) == b"".join(chunks)
    return events


@pytest.mark.parametrize(
    "stream",
    [
        [event({"text": "a "}), event(picture(A)), event({"text": "b"}, finish="STOP")],
        [event({"text": "a "}, finish="STOP"), event(picture(A), finish="STOP"), event({"text": "b"}, finish="STOP")],
        [event(picture(A), finish="STOP"), USAGE],
        [event({"text": "a"}, finish="STOP"), event(picture(A))],
        [event({"text": "a"}, finish="STOP"), event(picture(A)), USAGE],
        [event(picture(A)), event({"text": "a"}, finish="STOP"), USAGE, USAGE],
    ],
)
def test_a_stream_has_one_final_event_and_no_picture_after_it(stream):
    events = read(*stream)
    assert [one.final for one in events].count(True) == 1
    after = itertools.dropwhile(lambda one: not one.final, events)
    next(after)
    assert not any(one.images for one in after)
    assert [image.data for one in events for image in one.images] == [A]


def test_a_stream_that_the_vendor_blocks_ends_with_that():
    (blocked,) = read(b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\r\n\r\n')
    assert (blocked.error, blocked.final) == (True, False)


@pytest.mark.parametrize(
    "part", [{"text": "![x](https://a.example/x)"}, {"fileData": {"fileUri": "https://a.example/x"}}]
)
def test_a_picture_by_address_is_got_before_its_event_leaves(part):
    said = event(part, finish="STOP") + event({"text": "done"}, finish="STOP")
    reader = EventReader(Limits())
    events = [*reader.feed(said), *reader.close()]
    store = Store({"https://a.example/x": A})

    async def settled():
        return [await one.later(store.fetch) if one.later is not None else one for one in events]

    left = asyncio.run(settled())
    assert b"".join(one.raw for one in left) == said
    assert [image.data for one in left for image in one.images] == [A]
    assert [one.final for one in left] == [False, True]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        USAGE,
        event(picture(A)),
        event(picture(A))[:-1],
        b"data: [DONE]\n\n",
        b"data: {broken\n\n",
        event(picture(b"")),
    ],
)
def test_a_stream_that_cannot_be_judged_is_the_generators_fault(stream):
    with pytest.raises(UpstreamError):
        read(stream)
