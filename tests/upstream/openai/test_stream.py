import contextlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import UpstreamError
from guardrail.upstream.dialect import Event
from guardrail.upstream.openai import Limits
from guardrail.upstream.openai.stream import EventReader
from tests.timing import best_s
from tests.upstream.asking import b64, png

A, B, C = png(1), png(2), png(3)


def event(data: object, *, name: str | None = None, end: str = "\n") -> bytes:
    head = f"event: {name}{end}" if name else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return (head + "".join(f"data: {line}{end}" for line in text.split("\n")) + end).encode()


def partial(data: bytes, index: int) -> bytes:
    kind = "image_generation.partial_image"
    return event({"type": kind, "b64_json": b64(data), "partial_image_index": index}, name=kind)


def completed(data: bytes, **more) -> bytes:
    kind = "image_generation.completed"
    return event({"type": kind, "b64_json": b64(data), **more}, name=kind)


def read(*chunks: bytes, limits: Limits | None = None) -> list[Event]:
    reader = EventReader(limits or Limits())
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [*events, *reader.close()]


def pictures(events: list[Event]) -> list[tuple[str, bytes | None]]:
    return [(image.slot, image.data) for event in events for image in event.images]


STREAM = partial(A, 0) + partial(B, 1) + b": ping\n\n" + completed(C, revised_prompt="a fox")


def test_every_picture_of_a_stream_is_found_in_its_event():
    events = read(STREAM)
    assert pictures(events) == [("partial[0]", A), ("partial[1]", B), ("completed", C)]
    assert [event.final for event in events] == [False, False, False, True]
    assert [text.text for event in events for text in event.texts] == ["a fox"]
    assert b"".join(event.raw for event in events) == STREAM


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_chunks_may_end_anywhere_and_lines_in_any_way(cuts, end, bom):
    stream = STREAM.replace(b"\n", end.encode())
    stream = b"\xef\xbb\xbf" + stream if bom else stream
    at = sorted({0, *cuts, len(stream)})
    events = read(*[stream[a:b] for a, b in itertools.pairwise(at)])
    assert pictures(events) == [("partial[0]", A), ("partial[1]", B), ("completed", C)]
    assert b"".join(event.raw for event in events) == stream


def test_one_byte_at_a_time_is_read_too():
    assert len(pictures(read(*[STREAM[i : i + 1] for i in range(len(STREAM))]))) == 3


def test_an_event_is_given_only_when_it_is_whole():
    reader = EventReader(Limits())
    assert reader.feed(STREAM[:40]) == []
    whole = partial(A, 0)
    assert len(reader.feed(whole[40:])) == 1


def test_data_over_several_lines_is_one_text():
    text = json.dumps({"type": "image_edit.completed", "b64_json": b64(A)}, indent=1)
    assert pictures(read(event(text))) == [("completed", A)]


def test_edit_events_are_events_too_and_a_second_picture_has_its_own_slot():
    kind = "image_edit.completed"
    both = event({"type": kind, "b64_json": b64(A)}) + event({"type": kind, "b64_json": b64(B)})
    events = read(both)
    assert pictures(events) == [("completed", A), ("completed[1]", B)]
    assert all(event.final for event in events)


def test_events_nobody_knows_pass_without_pictures_and_are_judged_with_them():
    stream = event({"type": "image_generation.new", "note": "x"}) + event(
        {"type": "odd", "deep": [{"preview": b64(B)}]}
    )
    events = read(stream + completed(A) + event("[DONE]"))
    assert pictures(events) == [("event.deep[0].preview", B), ("completed", A)]
    assert len(events) == 4


def test_an_error_of_the_upstream_passes_and_ends_the_stream():
    error = event({"error": {"message": "no", "code": "moderation_blocked"}})
    (found,) = read(error)
    assert (found.error, found.final, found.raw) == (True, False, error)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": ping\n\n",
        partial(A, 0),
        partial(A, 0) + completed(B)[:-1],
        partial(A, 0) + completed(B)[:50],
        completed(A) + b"data: {",
        b"<html>no</html>\n\n",
        b"<html>no</html>",
        event("{broken"),
        event({"type": "image_generation.completed"}),
        event({"type": "image_generation.partial_image"}) + completed(A),
        event({"type": "image_generation.completed", "b64_json": "!!"}),
        event({"type": "image_generation.completed", "url": "https://a.example/x.png"}),
        event({"type": "new", "preview_url": "https://a.example/x.png"}) + completed(A),
        event('{"b64_json":"QUJD","b64_json":"QUJE","type":"image_generation.completed"}'),
        b": " + b64(png(1, 200) * 20).encode() + b"\n\n" + completed(A),
        event(b64(A)) + completed(A),
        b"data: x\n" * 1001 + b"\n",
        event({"type": "new", "pixels": [1] * 300}) + completed(A),
    ],
)
def test_a_stream_that_cannot_be_judged_is_the_upstreams_fault(stream):
    with pytest.raises(UpstreamError):
        read(stream)


def test_an_event_is_read_to_the_limit_and_not_one_byte_over():
    stream = completed(A)
    assert read(stream[:-1], stream[-1:], limits=Limits(event_bytes=len(stream) - 1))
    with pytest.raises(UpstreamError, match="over"):
        read(stream[:-1], stream[-1:], limits=Limits(event_bytes=len(stream) - 2))


def test_an_event_that_never_ends_is_given_up():
    reader = EventReader(Limits(event_bytes=10_000))
    for _ in range(9):
        reader.feed(b"data: " + b"x" * 1000)
    with pytest.raises(UpstreamError, match="over 10000 bytes"):
        reader.feed(b"data: " + b"x" * 1000)


@pytest.mark.parametrize("piece", [b"\n", b"\r", b"\r\n", b": x\n\n", b"data: \n", b"x"])
def test_a_hostile_stream_takes_linear_time(piece):
    def fed(count: int) -> None:
        reader = EventReader(Limits())
        with contextlib.suppress(UpstreamError):
            for _ in range(count):
                reader.feed(piece * 100)

    assert best_s(lambda: fed(1000)) < 40 * max(best_s(lambda: fed(100)), 0.002)


PIECES = [
    STREAM,
    partial(A, 0),
    completed(B),
    b"\n",
    b"\r\n",
    b"\r",
    b"data:",
    b"data: {",
    b"event: error\n",
    b":",
    b'"',
    b"\xff",
    b"\xef\xbb\xbf",
    b'{"type":"image_edit.completed"}',
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=10)), max_size=12))
def test_no_stream_raises_anything_but_an_upstream_error_and_no_byte_is_lost(chunks):
    with contextlib.suppress(UpstreamError):
        assert b"".join(event.raw for event in read(*chunks)) == b"".join(chunks)


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_comment_that_ends_sooner_for_some_readers_is_refused(end):
    """Behind it stands a whole event for a client that splits lines as Python's `str` does."""
    with pytest.raises(UpstreamError, match="ends for some readers"):
        read(f": x{end}data: {{}}\n\n".encode() + completed(A))


def test_a_picture_in_a_field_name_of_an_event_is_refused():
    with pytest.raises(UpstreamError, match="field name"):
        read(completed(A, **{"x" * 257: 1}))
    assert len(read(completed(A, **{"x" * 256: 1}))) == 1


@pytest.mark.parametrize(
    "text", ["![x](https://a.example/x)", "see data:;base64,{b64}", "see {b64}", "<img src=//a.example/x>"]
)
@pytest.mark.parametrize("name", ["revised_prompt", "caption"])
def test_a_text_that_shows_a_picture_ends_a_stream(name, text):
    with pytest.raises(UpstreamError):
        read(completed(A, **{name: text.format(b64=b64(B))}))


@pytest.mark.parametrize(
    "line",
    [
        " data: {b64}",
        "Data: {b64}",
        "data : {{}}",
        "\t\ufeffdata:{{}}",
        ": {b64}",
        "id: {b64}",
        "{b64}",
        ": ![x](https://a.example/x)",
        "data: see {b64}",
        "data: ![x](https://a.example/x)",
    ],
)
def test_a_line_that_some_reader_takes_for_data_or_a_picture_ends_a_stream(line):
    with pytest.raises(UpstreamError):
        read(line.format(b64=b64(B)).encode() + b"\n\n" + completed(A))
