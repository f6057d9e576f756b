"""The reference pages say what the code does."""

import json
import re
from pathlib import Path

import pytest

from guardrail.upstream import fal, replicate
from guardrail.upstream.dialect import Door, Setup
from guardrail.upstream.fal import Fal
from guardrail.upstream.replicate import Replicate, refuse
from tests.upstream.asking import decision

DIALECTS = Path(__file__).parents[3] / "docs/reference/dialects"
PAGES = {"replicate": (replicate.OPTIONS, Replicate), "fal": (fal.OPTIONS, Fal)}


@pytest.mark.parametrize("name", PAGES)
def test_every_option_is_on_its_page(name):
    options, _ = PAGES[name]
    page = (DIALECTS / f"{name}.md").read_text("utf-8")
    table = page.partition("## Options")[2].partition("## Routes")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == options


@pytest.mark.parametrize("name", PAGES)
def test_every_route_of_its_page_is_open(name):
    _, kind = PAGES[name]
    dialect = kind.open(Setup())
    page = (DIALECTS / f"{name}.md").read_text("utf-8")
    table = page.partition("## Routes")[2].partition("##")[0]
    found = re.findall(r"`(GET|POST|PUT|DELETE) (/[^`]+)`", table)
    assert len(found) >= 8
    for method, route in found:
        path = route.replace("{owner}", "a").replace("{name}", "b").replace("{app}", "fal-ai/flux")
        path = path.replace("{id}", "8f5e2c1a-0b7d-4f0e")
        if "{sealed}" not in path:
            assert dialect.door(method, path) is not Door.CLOSED, route


def test_processes_with_one_key_take_each_others_addresses_and_no_other_dialects():
    def keyed(purpose: str) -> bytes:
        return purpose.encode().ljust(32)[:32]

    def setup() -> Setup:
        return Setup(public_url="https://guard.example", key=keyed)

    one, other, elsewhere = Replicate.open(setup()), Replicate.open(setup()), Fal.open(setup())
    address = one._state.shelf.told("https://guard.example", "https://made.example/1", b"a picture")
    path = address.removeprefix("https://guard.example")
    assert one.door("GET", path) is other.door("GET", path) is Door.HOOK
    assert elsewhere.door("GET", path) is Door.CLOSED
    assert Replicate.open(Setup()).door("GET", path) is Door.CLOSED
    assert one.door("POST", path) is Door.CLOSED


def test_the_refusal_on_the_page_is_the_refusal():
    page = (DIALECTS / "replicate.md").read_text("utf-8")
    (shown,) = re.findall(r'`error: "(.*?)"`', page)
    said = json.loads(json.dumps(refuse.message(decision())))
    pieces = [piece.strip() for piece in shown.split("…") if piece.strip()]
    assert all(piece in said for piece in pieces), pieces
