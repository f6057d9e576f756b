"""Several files at once: what they have in all is known while they come."""

import asyncio
from functools import partial

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.upstream.dialect import Fetched
from guardrail.upstream.fetching import fetch_all
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import What
from tests.upstream.asking import png

PICTURE = png(1, side=64)
MOST = Limits(body_bytes=3 * len(PICTURE))


class Slow:
    """Gives some pictures at once; whoever waits for more of them waits for ever. Says how many were dropped."""

    def __init__(self, quick: int) -> None:
        self.quick = quick
        self.dropped = 0

    async def __call__(self, url: str, *, param: str = "") -> Fetched:
        self.quick -= 1
        if self.quick < 0:
            try:
                await asyncio.Event().wait()
            finally:
                self.dropped += 1
        return Fetched(PICTURE, "image/png")


async def test_files_within_the_room_are_all_there():
    got = await fetch_all({at: partial(Slow(3), "x") for at in range(3)}, MOST.body_bytes)
    assert [one.data for one in got.values()] == [PICTURE] * 3


async def test_a_request_with_more_bytes_behind_its_references_than_fit_is_turned_away_at_once():
    got, fetch = Gathered(MOST), Slow(4)
    for at in range(16):
        got.reference(f"image[{at}]", What.URL, f"https://a.example/{at}", "image", Place(at, at, quoted=False))
    with pytest.raises(BadRequest) as caught:
        await asyncio.wait_for(got.resolve(fetch, fetch), 20)
    assert caught.value.status == 413
    await asyncio.sleep(0)
    assert fetch.dropped == 12


async def test_an_answer_with_more_bytes_behind_its_addresses_than_fit_is_none():
    shown, fetch = Shown(MOST), Slow(4)
    shown.text(0, "text", " ".join(f"![x](https://a.example/{at})" for at in range(16)))
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(shown.fetch(fetch), 20)
    await asyncio.sleep(0)
    assert fetch.dropped == 12
