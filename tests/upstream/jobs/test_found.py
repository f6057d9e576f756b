"""Free-form outputs: each picture is found under any name, and what leaves is what was judged."""

import asyncio
import json
from typing import Any

import pytest

from guardrail.errors import UpstreamError
from guardrail.types import Artifact, Kind
from guardrail.upstream.answers import WHOLE
from guardrail.upstream.jobs.found import Found
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import scan
from tests.upstream.asking import Store, b64, png

ONE, TWO, MINE = png(10), png(20), png(30)
DATA = "data:image/png;base64,"
HOSTED = {"https://made.example/1": ONE, "https://made.example/2": TWO}
PUBLIC = "http://guard.example"


def found(output: Any, sent: tuple[bytes, ...] = ()) -> Found:
    body = json.dumps({"output": output, "has_nsfw_concepts": [False, False]}, indent=1).encode()
    there = Found(body, Limits(), [Artifact(Kind.INPUT, "image", data=one) for one in sent])
    there.look(scan(body).members["output"], ("output",))
    asyncio.run(there.settle(Store(HOSTED).fetch, Shelf(Seal()), PUBLIC))
    return there


def leaves(there: Found) -> Any:
    return json.loads(there.leaves)["output"]


@pytest.mark.parametrize(
    "output",
    [
        "https://made.example/1",
        ["https://made.example/1"],
        {"image": "https://made.example/1"},
        {"a": [{"b": {"url": "https://made.example/1"}}]},
        DATA + b64(ONE),
        b64(ONE),
        f"there: ![it]({DATA}{b64(ONE)}) it is",
        "there: ![it](https://made.example/1) it is",
        ["there: ![it](https://ma", "de.example/1) it is"],
        ["there: ![it](data:image/pn", f"g;base64,{b64(ONE)}) it is"],
    ],
)
def test_a_picture_is_found_wherever_it_stands(output):
    there = found(output)
    assert ONE in [one.data for one in there.shown.images]


def test_addresses_become_what_was_got_from_them():
    there = found(["https://made.example/1", {"url": "https://made.example/2"}, "a text"])
    assert leaves(there) == [DATA + b64(ONE), {"url": DATA + b64(TWO)}, "a text"]


def test_an_address_that_another_one_begins_with_becomes_what_was_got_from_it():
    there = linked("![a](https://made.example/1) ![b](https://made.example/12)")
    assert leaves(there) == f"![a]({DATA}{b64(ONE)}) ![b]({DATA}{b64(MINE)})"


def test_an_answer_without_addresses_leaves_as_it_came():
    there = found([DATA + b64(ONE), "a text", 7, None])
    assert there.leaves is there.body


LINKED = {"https://made.example/shown": ONE, "https://made.example/page": b"<html>a page</html>", **HOSTED}
LINKED["https://made.example/12"] = MINE


def linked(output: Any) -> Found:
    body = json.dumps({"output": output}).encode()
    there = Found(body, Limits())
    there.look(scan(body).members["output"], ("output",))
    asyncio.run(there.settle(Store(LINKED).fetch, Shelf(Seal()), PUBLIC))
    return there


@pytest.mark.parametrize("one_bad", ["replace", "drop"])
def test_a_refused_picture_behind_a_link_is_taken_out_and_no_other(one_bad):
    there = linked(["[the photo](https://made.example/shown)", "https://made.example/2", "https://made.example/2"])
    bad = [entry for entry, one in zip(there.shown.entries, there.shown.images, strict=True) if one.data == ONE]
    left = there.without(bad, one_bad)
    assert left is not None
    assert json.loads(left)["output"].count(DATA + b64(TWO)) == 2
    assert b"made.example" not in left


def test_what_is_behind_a_link_leaves_as_it_was_judged_and_a_page_stays_a_link():
    page = "[the photo](https://made.example/page)"
    there = linked({"a": "[the photo](https://made.example/shown)", "b": page})
    assert leaves(there) == {"a": f"[the photo]({DATA}{b64(ONE)})", "b": page}
    assert [one.data for one in there.shown.images] == [ONE]


def test_thousands_of_pieces_of_text_are_no_entries():
    assert found(["word "] * 5000).shown.images == []


def test_an_address_that_cannot_be_got_is_the_generators_fault():
    with pytest.raises(UpstreamError):
        found("https://made.example/gone")


def test_one_of_two_is_replaced_by_a_grey_picture_and_marked():
    there = found([{"url": "https://made.example/1"}, {"url": "https://made.example/2"}])
    flags = scan(there.body).members["has_nsfw_concepts"]
    said = json.loads(there.without({1}, "replace", flags) or b"")
    assert said["output"][0] == {"url": DATA + b64(ONE)}
    assert said["output"][1]["url"].startswith(DATA)
    assert b64(TWO) not in json.dumps(said)
    assert said["has_nsfw_concepts"] == [False, True]


def test_one_of_two_is_dropped_with_its_mark():
    there = found([{"url": "https://made.example/1"}, {"url": "https://made.example/2"}])
    flags = scan(there.body).members["has_nsfw_concepts"]
    said = json.loads(there.without({0}, "drop", flags) or b"")
    assert said == {"output": [{"url": DATA + b64(TWO)}], "has_nsfw_concepts": [False]}


def test_one_that_is_in_no_list_is_replaced_even_where_it_should_be_dropped():
    there = found({"a": "https://made.example/1", "b": "https://made.example/2"})
    said = json.loads(there.without({0}, "drop") or b"")["output"]
    assert said["a"].startswith(DATA)
    assert said["a"] != DATA + b64(ONE)
    assert said["b"] == DATA + b64(TWO)


def test_a_whole_list_of_several_goes_and_the_rest_stays():
    there = found({"a": ["https://made.example/1"], "b": DATA + b64(TWO)})
    assert json.loads(there.without({0}, "drop") or b"")["output"] == {"a": [], "b": DATA + b64(TWO)}


@pytest.mark.parametrize(("gone", "one_bad"), [({0, 1}, "replace"), ({0}, "refuse-all"), ({WHOLE}, "drop")])
def test_nothing_is_left_where_all_are_refused(gone, one_bad):
    assert found(["https://made.example/1", "https://made.example/2"]).without(gone, one_bad) is None


def test_a_picture_in_what_shows_nothing_is_left_out_unless_the_caller_sent_it():
    body = json.dumps(
        {"logs": f"got {DATA}{b64(ONE)}", "input": {"a": DATA + b64(MINE), "b": DATA + b64(TWO)}}
    ).encode()
    there = Found(body, Limits(), [Artifact(Kind.INPUT, "image", data=MINE)])
    there.quiet(scan(body))
    assert json.loads(there.leaves) == {"logs": "", "input": {"a": DATA + b64(MINE), "b": ""}}
    assert there.shown.images == []


def test_an_address_in_what_shows_nothing_is_left_out_where_no_link_belongs():
    body = json.dumps({"a": "https://made.example/1", "b": "see https://made.example/1", "c": "fine"}).encode()
    there = Found(body, Limits())
    there.quiet(scan(body), links=False)
    assert json.loads(there.leaves) == {"a": "", "b": "see https://made.example/1", "c": "fine"}
    there = Found(body, Limits())
    there.quiet(scan(body))
    assert there.leaves is body
