"""The reference page says what the code does."""

import json
import re
from pathlib import Path

from guardrail.types import Stage
from guardrail.upstream.comfy import OPTIONS, Comfy, routes
from guardrail.upstream.comfy.graph import NODES
from guardrail.upstream.dialect import Door
from tests.upstream.asking import decision

PAGE = (Path(__file__).parents[3] / "docs/reference/dialects/comfy.md").read_text()
DOORS = {"judged": Door.JUDGED, "relayed": Door.SOCKET, "passes": Door.PASSED, "closed": Door.CLOSED}
CONTROLS = {("POST", f"/{name}") for name in routes.CONTROLS}


def test_every_route_of_the_page_has_the_door_that_it_says_and_there_is_no_other():
    found = set()
    for shown, door in re.findall(r"^\| (`(?:GET|POST) .*?) \| (judged|relayed|passes|closed)", PAGE, re.MULTILINE):
        for method, path in re.findall(r"`(GET|POST) (/\S+)`", shown):
            found.add((method, path))
            for route in (path, f"/api{path}"):
                assert Comfy().door(method, re.sub(r"\{.*?\}", "a", route)) is DOORS[door], route
    named = {(method, path) for method, path in found if "{" not in path}
    assert named == {*routes.JUDGED, *routes.PASSED, *CONTROLS, ("GET", "/ws")}


def test_options_and_limits_are_on_the_page():
    assert set(re.findall(r"^\| `(classes|controls|previews)` \|", PAGE, re.MULTILINE)) == OPTIONS
    assert f"at most {NODES:,} nodes" in PAGE


def test_the_refusal_on_the_page_is_the_refusal():
    (shown,) = re.findall(r"```json\n(\{\"error\".*?)```", PAGE, re.DOTALL)
    reply = Comfy().refuse(decision(receipt="01J8ZQ"), Stage.PROMPT)
    assert json.loads(shown) == json.loads(reply.body.decode().replace("undress-output", "undress-request"))
