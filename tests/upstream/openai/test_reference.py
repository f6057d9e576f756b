"""The reference page says what the code does."""

import dataclasses
import json
import re
from pathlib import Path

from guardrail.types import Stage
from guardrail.upstream.dialect import Door
from guardrail.upstream.openai import Limits, OpenAIImages
from tests.upstream.asking import decision

PAGE = (Path(__file__).parents[3] / "docs/reference/dialects/openai.md").read_text()


def test_every_limit_is_on_the_page_with_its_default():
    for field in dataclasses.fields(Limits):
        (row,) = re.findall(rf"^\| `{field.name}`[^|]*\|([^|]*)\|", PAGE, re.MULTILINE)
        value = field.default
        if isinstance(value, int):
            assert f" {value:,} " in row, field.name


def test_every_route_on_the_page_has_the_door_that_it_says():
    rows = re.findall(r"^\| (`.*?`) \| (judged|passes)", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for routes, door in rows:
        for method, path in re.findall(r"`(\w+) (/\S+)`", routes):
            found = OpenAIImages().door(method, path.replace("{id}", "a"))
            assert found is (Door.JUDGED if door == "judged" else Door.PASSED)


def test_the_refusal_on_the_page_is_the_refusal():
    (shown,) = re.findall(r"```json\n(\{\"error\".*?)```", PAGE, re.DOTALL)
    reply = OpenAIImages().refuse(decision(receipt="01J8ZQ"), Stage.PROMPT)
    made = json.loads(reply.body.decode().replace("undress-output", "undress-request"))
    assert json.loads(shown) == made
