"""The shelf hands out the very bytes that were judged, and no others."""

import pytest

from guardrail.errors import BadRequest
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import PATH, Shelf
from guardrail.upstream.memory import Memory
from tests.upstream.asking import Store, b64, png

PUBLIC, URL = "https://guard.example/x", "https://made.example/1.png"
PICTURE, OTHER = png(10), png(20)


def shelf() -> Shelf:
    return Shelf(Seal(b"k" * 32))


def word_of(address: str) -> str:
    assert address.startswith(PUBLIC + PATH)
    return address.removeprefix(PUBLIC + PATH)


async def test_what_was_made_is_got_once_however_often_it_is_told_of():
    store, there = Store({URL: PICTURE}), shelf()
    get = there.making(store.fetch)
    for _ in range(3):
        assert (await get(URL, param="x")).data == PICTURE
    assert store.asked == [URL]


async def test_another_process_fetches_it_anew_and_hands_out_the_same():
    store = Store({URL: PICTURE})
    reply = await shelf().hand_out(word_of(shelf().told(PUBLIC, URL, PICTURE)), store.fetch)
    assert (reply.status, reply.body) == (200, PICTURE)
    assert ("content-type", "image/png") in reply.headers


async def test_other_bytes_are_not_handed_out_under_the_address_of_those_that_were_judged():
    store = Store({URL: OTHER})
    word = word_of(shelf().told(PUBLIC, URL, PICTURE))
    assert (await shelf().hand_out(word, store.fetch)).status == 404
    there = shelf()
    await there.making(store.fetch)(URL, param="x")  # somebody else's job got the other ones
    assert (await there.hand_out(word, store.fetch)).status == 404


async def test_what_is_gone_or_was_never_given_is_404():
    store = Store()
    word = word_of(shelf().told(PUBLIC, URL, PICTURE))
    for one in (word, "", "abc", word + "A"):
        reply = await shelf().hand_out(one, store.fetch)
        assert reply.status == 404
        assert URL.encode() not in reply.body


async def test_its_own_addresses_are_not_fetched_from_the_network():
    store, there = Store({URL: PICTURE}), shelf()
    own = there.told(PUBLIC, URL, PICTURE)
    assert (await there.asking(PUBLIC, store.fetch)(own, param="x")).data == PICTURE
    assert store.asked == []
    assert (await shelf().asking(PUBLIC, store.fetch)(own, param="x")).data == PICTURE
    assert store.asked == [URL]
    store.files[URL] = OTHER
    with pytest.raises(BadRequest):
        await shelf().asking(PUBLIC, store.fetch)(own, param="x")


async def test_what_a_caller_names_is_got_anew_each_time():
    store, there = Store({URL: PICTURE}), shelf()
    get = there.asking(PUBLIC, store.fetch)
    assert (await get(URL, param="x")).data == PICTURE
    store.files[URL] = OTHER
    assert (await get(URL, param="x")).data == OTHER


def test_without_https_a_picture_is_told_as_itself():
    assert shelf().told("http://guard.example", URL, PICTURE) == "data:image/png;base64," + b64(PICTURE)


@pytest.mark.parametrize(("size", "linked"), [(262_144, False), (262_145, True)])
def test_a_large_input_goes_on_as_an_address_where_the_generator_reaches_the_guard(size, linked):
    data = PICTURE.ljust(size, b"\0")
    assert shelf().spelled(PUBLIC, URL, data).startswith(b"https://guard.example/x/" if linked else b"data:image/png")
    assert shelf().spelled("http://guard.example", URL, data).startswith(b"data:")


async def test_what_it_keeps_is_bounded():
    store = Store({f"{URL}?{at}": png(at) for at in range(9)})
    memory: Memory[bytes] = Memory(entries=4, size=10_000)
    get = Shelf(Seal(), memory=memory).making(store.fetch)
    for url in store.files:
        await get(url, param="x")
    assert len(memory) == 4
