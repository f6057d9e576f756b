"""The reference page says what the code does."""

import json
import re
from pathlib import Path

from guardrail.types import Stage
from guardrail.upstream.a1111 import A1111, OPTIONS, routes
from guardrail.upstream.dialect import Door
from tests.upstream.asking import decision

PAGE = (Path(__file__).parents[3] / "docs/reference/dialects/a1111.md").read_text()


def test_every_route_of_the_page_is_open_and_no_other():
    judged = set(re.findall(r"`(GET|POST) (/[^\s`]*[^\s`/])`", PAGE))
    assert judged == set(routes.JUDGED)
    passed = set()
    for method, base, names in re.findall(r"^\| `(GET|POST) (/\S+/)` (.*?) \| passes \|", PAGE, re.MULTILINE):
        passed |= {(method, base + name) for name in re.findall(r"`(\S+?)`", names)}
    assert passed == routes.PASSED
    assert all(A1111().door(*one) is Door.PASSED for one in passed)
    ((base, names),) = re.findall(r"^\| `POST (/\S+/)` (.*?) \| closed, .*`controls` opens them \|", PAGE, re.MULTILINE)
    assert base == f"{routes.BASE}/"
    assert set(re.findall(r"`(\S+?)`", names)) == routes.CONTROLS


def test_every_option_is_on_the_page():
    assert set(re.findall(r"^\| `(styles|settings|scripts|controls)` \|", PAGE, re.MULTILINE)) == OPTIONS


def test_the_refusal_on_the_page_is_the_refusal():
    (shown,) = re.findall(r"```json\n(\{\"error\".*?)```", PAGE, re.DOTALL)
    reply = A1111().refuse(decision(receipt="01J8ZQ"), Stage.PROMPT)
    assert json.loads(shown) == json.loads(reply.body.decode().replace("undress-output", "undress-request"))
