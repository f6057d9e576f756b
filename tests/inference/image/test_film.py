"""Films: which frames are looked at, whatever the others show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guardrail.inference.image import film
from tests.inference.image.pictures import PLAIN_CURVE, SRGB, colour_profile

CLIFF = tuple(65535 * (level > 128) for level in range(256))


def page(level: int, profile: tuple[int, ...] | None = None) -> Image.Image:
    image = Image.new("RGB", (64, 48), (level, level, level))
    if profile is not None:
        image.info["icc_profile"] = colour_profile(SRGB, profile)
    return image


def chosen(*pages: Image.Image, count: int = 8, times_ms: tuple[float, ...] = ()) -> set[int]:
    seen = [film.seen(one) for one in pages]
    shown = [one._replace(shown_ms=held) for one, held in zip(seen, times_ms or (0.0,) * len(pages), strict=True)]
    return set(film.most_different(shown, count))


def test_a_page_whose_profile_alone_makes_another_picture_of_it_is_looked_at():
    assert chosen(page(120), page(120, PLAIN_CURVE)) == {0}
    assert chosen(page(120), page(120, CLIFF)) == {0, 1}
    assert chosen(page(120, CLIFF), page(120)) == {0, 1}


def test_two_greys_are_one_picture_until_they_are_two_levels_apart():
    assert chosen(page(120), page(121)) == {0}
    assert chosen(page(120), page(122)) == {0, 1}


def test_the_first_the_last_and_the_longest_come_before_those_that_differ_more():
    pages = [page(120), *(page(level) for level in (0, 255, 10, 245)), page(130), page(20), page(125)]
    held = (1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.0)
    assert chosen(*pages, count=3, times_ms=held) == {0, 5, 7}
    assert chosen(*pages, count=4, times_ms=held) == {0, 2, 5, 7}
    assert chosen(*pages, count=1, times_ms=held) == {0}


def test_frames_come_in_the_order_in_which_they_matter():
    pages = [film.seen(page(level)) for level in (120, 0, 255, 130)]
    assert film.most_different(pages, 4) == (0, 3, 2, 1)
    assert film.most_different(pages, 2) == (0, 3)


def test_no_frame_is_looked_at_twice():
    assert chosen(page(120), page(120), page(120), times_ms=(1.0, 1.0, 9.0)) == {0}
    assert chosen(page(120), page(200), times_ms=(1.0, 9.0)) == {0, 1}


def test_a_thumb_is_bounded_whatever_the_picture():
    sizes = {film.thumb(Image.new("RGB", size)).nbytes for size in ((1, 1), (3000, 7), (1000, 1000))}
    assert sizes == {96 * 96 * 4}
    assert film.thumb(Image.fromarray(np.full((9, 9), 65535, np.uint16))).max() == 255


@pytest.mark.parametrize(("most", "factor"), [(64 * 48 * 4, 1), (64 * 48 * 4 - 1, 2), (64 * 48, 2), (64 * 48 - 1, 3)])
def test_frames_are_shrunk_until_all_their_renderings_fit(most, factor):
    shown = film.seen(page(120))
    see_through = film.seen(Image.new("RGBA", (64, 48), (1, 2, 3, 4)))
    assert [one.views for one in (shown, see_through, film.seen(page(120, CLIFF)))] == [1, 3, 2]
    assert film.shrink([shown, see_through], most) == factor
