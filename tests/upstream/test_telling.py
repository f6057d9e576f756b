import asyncio

import pytest

from guardrail.errors import UpstreamError
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.telling import Telling
from tests.timing import best_s
from tests.upstream.asking import Store, b64, png

PICTURE = png(9, 30)
URL = f"data:image/png;base64,{b64(PICTURE)}"


def tell(text: str, size: int, limits: Limits | None = None):
    """The events of a text that comes in deltas of `size` characters, each of which is its own event."""
    limits = limits or Limits()
    telling = Telling(limits)
    events = []
    for at in range(0, len(text), size):
        telling.add("content", "content", text[at : at + size])
        events += telling.event(text[at : at + size].encode(), Shown(limits))
    events += telling.event(b"END", Shown(limits), final=True, end=True)
    return events


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100_000])
@pytest.mark.parametrize("around", ["{}", "![it]({}) there", "see: <img src='{}'> so", "(as {}) you said!"])
def test_no_piece_of_a_picture_leaves_before_all_of_it(size, around):
    events = tell("first of all " + around.format(URL) + " and the end", size)
    whole = b"".join(event.raw for event in events).decode()
    assert whole == "first of all " + around.format(URL) + " and the end" + "END"
    (pictured,) = [event for event in events if event.images]
    assert pictured.images[0].data == PICTURE
    assert b64(PICTURE) in pictured.raw.decode()
    for event in events:
        assert event is pictured or "base64," not in event.raw.decode()


def test_ordinary_words_leave_at_once():
    text = "A quiet street in autumn, seen from above. Nobody is there! (Or so it seems.) Well: look."
    events = tell(text, 4)
    assert len(events) > len(text) / 4 * 0.8
    assert not any(event.images or event.texts for event in events)


def test_what_was_said_is_judged_beside_a_picture():
    (event,) = [event for event in tell(f"a girl of nine: {URL} ok", 5) if event.images]
    assert "".join(text.text or "" for text in event.texts).startswith("a girl of nine:")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5000,
        b64(png(3, 60)) + " ",
        "ok " + "".join(f"![a](https://a.example/{number}) " for number in range(17)),
    ],
)
@pytest.mark.parametrize("size", [1, 6, 1000])
def test_what_cannot_be_judged_in_a_stream_is_the_generators_fault(text, size):
    with pytest.raises(UpstreamError):
        tell(text, size)


def settled(events, store: Store):
    """The events of a stream as they leave: what they point at is got by then."""

    async def all_of_them():
        return [await one.later(store.fetch) if one.later is not None else one for one in events]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(
    "text",
    [
        "ok ![a](https://a.example/x)",
        "ok see https://a.example/x now".replace("/x ", "/x.png "),
        "https://a.example/x",
        "ok ![a][b] so \n[b]: https://a.example/x\n",
        "ok <img src=https://a.example/x>",
        "so [the picture](https://a.example/x) it is",
    ],
)
@pytest.mark.parametrize("size", [1, 6, 1000])
def test_a_picture_by_address_is_got_and_leaves_with_the_words_that_show_it(text, size):
    address = "https://a.example/x.png" if ".png" in text else "https://a.example/x"
    held = tell(text, size)
    assert address not in b"".join(event.raw for event in held).decode()
    events = settled(held, store := Store({address: PICTURE}))
    assert b"".join(event.raw for event in events).decode() == text + "END"
    (pictured,) = [event for event in events if event.images]
    assert [image.data for image in pictured.images] == [PICTURE]
    said = "".join(one.text or "" for one in pictured.texts)
    assert text.startswith(said)
    assert address in said
    assert store.asked == [address]


@pytest.mark.parametrize("text", ["![a](https://a.example/x) ", "[a picture](https://a.example/x) "])
def test_a_picture_by_address_that_cannot_be_got_does_not_leave(text):
    with pytest.raises(UpstreamError, match="could not be got"):
        settled(tell(text, 5), Store())


def test_a_page_about_a_picture_is_a_page():
    text = "so [the picture of the day](https://a.example/x) is a page"
    events = settled(tell(text, 5), Store({"https://a.example/x": b"<!doctype html><title>a page</title>"}))
    assert b"".join(event.raw for event in events).decode() == text + "END"
    assert not any(event.images for event in events)


def test_a_link_in_a_sentence_is_no_picture():
    text = "https://a.example/page is a page and so is [this](https://b.example/c) one"
    assert b"".join(event.raw for event in tell(text, 3)).decode() == text + "END"


def test_one_text_waits_for_another_that_may_be_a_picture():
    limits = Limits()
    telling = Telling(limits)
    telling.add(0, "a", "look: ![it](data:")
    assert telling.event(b"1", Shown(limits)) == ()
    telling.add(1, "b", "plain words ")
    assert telling.event(b"2", Shown(limits)) == ()
    telling.add(0, "a", "none) ")
    (event,) = telling.event(b"3", Shown(limits))
    assert event.raw == b"123"


def test_what_is_held_is_bounded():
    with pytest.raises(UpstreamError, match="over 1000 bytes"):
        tell("![" + "a" * 3000, 10, Limits(event_bytes=1000))


def test_texts_side_by_side_are_bounded():
    telling = Telling(Limits())
    for channel in range(512):
        telling.add(channel, "x", "a")
    with pytest.raises(UpstreamError, match="side by side"):
        telling.add(512, "x", "a")


@pytest.mark.parametrize("piece", ["a", "![", "data:image/png;base64,AAAA", "<svg ", "( ", "http://a ", ") "])
def test_a_hostile_stream_takes_linear_time(piece):
    def told(count: int) -> None:
        telling, limits = Telling(Limits(all_text_chars=10**8)), Limits()
        for _ in range(count):
            telling.add(0, "x", piece)
            try:
                telling.event(b"", Shown(limits))
            except UpstreamError:
                break

    assert best_s(lambda: told(20_000)) < 60 * max(best_s(lambda: told(2000)), 0.01)
