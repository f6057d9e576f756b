"""The check of docs/how-to/add-a-check.md, installed as the page says and used by a guard."""

from __future__ import annotations

import tomllib

import pytest
import yaml

from guardrail import Action, Guard
from guardrail.errors import ConfigError
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "how-to/add-a-check.md"
FILES = {block.marks["file"]: block.text for block in blocks(PAGE) if "file" in block.marks}
(SETTINGS,) = (yaml.safe_load(block.text) for block in blocks(PAGE) if block.marks.get("runnable") == "config")
OPTIONS = SETTINGS["checks"]["options"]


@pytest.fixture
def house(tmp_path, monkeypatch):
    """The page's package, as an installer leaves it: a module, and the entry points of its pyproject.toml."""
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    site = tmp_path / "site"
    record = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()))
    ]
    (record / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "staff_names.py").write_text(FILES["staff_names.py"], "utf-8")
    (tmp_path / "school.yaml").write_text(FILES["school.yaml"], "utf-8")
    monkeypatch.syspath_prepend(str(site))
    return tmp_path


def guard_of(house, options=OPTIONS):
    return Guard.from_policy(house / "school.yaml", home=house / "home", checks=["staff-names"], options=options)


@pytest.mark.parametrize(
    ("prompt", "action"),
    [
        ("a portrait of ANNA  de Vries, in oils", Action.HOLD),
        ("Jürgen Müller als Superheld", Action.HOLD),
        ("Ju\u0308rgen Mu\u0308ller als Superheld", Action.HOLD),
        ("anna.de.vries", Action.HOLD),
        ("Joanna de Vriesland", Action.ALLOW),
        ("a red bicycle in the rain", Action.ALLOW),
    ],
)
def test_the_check_of_the_page_decides_with_the_policy_of_the_page(house, prompt, action):
    decision = guard_of(house).check(prompt=prompt)
    assert decision.action is action
    assert decision.evidence.scores() == {"prompt.staff": float(action is Action.HOLD)}
    assert decision.receipt is not None
    assert decision.receipt.models == ("staff-names@1",)


@pytest.mark.parametrize("options", [{}, {"staff-names": {"names": []}}, {"staff-names": {"names": ["Anna", " - "]}}])
def test_an_empty_list_or_name_stops_the_start(house, options):
    with pytest.raises(ConfigError, match=r"checks\.options needs `names`"):
        guard_of(house, options)


def test_the_page_keeps_the_built_in_checks(house):
    from guardrail.pipeline import DEFAULT_CHECKS

    assert SETTINGS["checks"]["enabled"] == [*DEFAULT_CHECKS, "staff-names"]
