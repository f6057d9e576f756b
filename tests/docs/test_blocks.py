"""What the pages show running runs: every block marked `runnable` is run, or read by what reads it in earnest."""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from guardrail import config
from guardrail.policy import parse
from guardrail.policy.cases import load_cases, run_cases
from guardrail.types import SIGNALS
from tests.checks.people import real_models
from tests.docs.pages import DOCS, ROOT, Block, blocks, name_of, pages, runnable

KINDS = {"guard", "check", "toml", "config", "policy", "cases", "yaml", ""}
WEIGHTS = ("yunet", "sface", "age-v1", "open-nsfw", "use-multilingual", "multilingual-e5-small")
HANGS_S = 600.0
"""A minute on an idle machine; whatever takes ten times that hangs."""
SHELL = [(page, list(group)) for page, group in itertools.groupby(runnable(""), key=lambda block: block.page)]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder as the root of a clone is, whose state is its own and whose weights are this machine's."""
    weights = real_models(*WEIGHTS).cache.resolve()
    for name in ("guardrail", "serving", "eval"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/models").symlink_to(weights)
    return tmp_path


def environment(desk: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARDRAIL_")}
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "GUARDRAIL_HOME": str(desk / "home")}


def test_each_mark_is_one_that_a_test_here_knows():
    assert {block.marks["runnable"] for block in runnable()} <= KINDS
    assert len(runnable()) >= 15


@pytest.mark.weights
@pytest.mark.parametrize("block", runnable("guard"), ids=lambda block: block.id)
def test_a_program_that_judges_runs(block, desk):
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        check=False,
        cwd=desk,
        env=environment(desk),
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.weights
@pytest.mark.parametrize(("page", "steps"), SHELL, ids=[name_of(page) for page, _ in SHELL])
def test_the_steps_of_a_page_run_one_after_the_other(page, steps, desk):
    for step in steps:
        assert step.language == "bash", step.id
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step.text],
            check=False,
            cwd=desk,
            env=environment(desk),
            capture_output=True,
            text=True,
            timeout=HANGS_S,
        )
        assert done.returncode == int(step.marks.get("status", "0")), f"{step.id}:\n{done.stdout}\n{done.stderr}"
        if "shown" in step.marks:
            assert shape(after(step)) == shape(done.stdout), step.id


def after(step: Block) -> str:
    """The indented lines that follow a block: what the page says that it prints."""
    rest = step.page.read_text("utf-8").partition(step.text + "```\n")[2].lstrip("\n")
    return "\n".join(itertools.takewhile(lambda line: line.startswith("    "), rest.splitlines()))


def shape(printed: str) -> list[str]:
    """Words of an output, without the digests and places in files that any edit of a policy changes."""
    return re.sub(r"@[0-9a-f]{8}|:\d+:\d+:", "", printed).split()


@pytest.mark.weights
def test_the_readme_shows_what_the_demo_prints(desk):
    """Widths and milliseconds differ from run to run; the words do not."""
    demo = ["-c", "from guardrail.cli import main; main()", "demo", "--once", "--port", "0"]
    done = subprocess.run(
        [sys.executable, *demo],
        check=False,
        cwd=desk,
        env={**environment(desk), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (shown,) = re.findall(r"<!-- demo:begin -->\n```text\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    table = shown.partition("\nTry it yourself")[0]
    assert words(table) == words(done.stdout), "paste what `COLUMNS=100 make demo` prints into README.md"


def words(printed: str) -> Counter[str]:
    return Counter(word for word in printed.split() if not word.isdigit())


def test_the_picture_of_the_walk_says_in_words_what_it_shows():
    root = ElementTree.parse(DOCS / "walk.svg").getroot()
    said = [child for child in root if child.tag.endswith(("}title", "}desc")) and child.text]
    assert len(said) == 2
    assert "http" not in "".join(value for element in root.iter() for value in element.attrib.values())


@pytest.mark.parametrize("block", runnable("config"), ids=lambda block: block.id)
def test_settings_that_a_page_shows_are_settings(block, tmp_path):
    file = tmp_path / "guardrail.yaml"
    file.write_text(block.text, "utf-8")
    assert config.load(file, environ={}).origin


@pytest.mark.parametrize("block", runnable("policy"), ids=lambda block: block.id)
def test_a_policy_that_a_page_shows_is_one(block):
    policy = parse(block.text)
    policy.require([*SIGNALS, *filter(None, block.marks.get("signals", "").split(","))])


@pytest.mark.parametrize("block", runnable("cases"), ids=lambda block: block.id)
def test_cases_that_a_page_shows_come_out_as_it_says_under_its_policy(block, tmp_path):
    policy = [one for one in runnable("policy") if one.page == block.page and one.line < block.line][-1]
    file = tmp_path / "cases.yaml"
    file.write_text(block.text, "utf-8")
    outcomes = run_cases(parse(policy.text), load_cases(file))
    assert [outcome.wrong for outcome in outcomes if outcome.wrong] == []
    said = re.findall(r"(\d+) of (\d+) cases as expected", block.page.read_text("utf-8"))
    assert all(pair == (f"{len(outcomes)}", f"{len(outcomes)}") for pair in said)


@pytest.mark.parametrize("page", [page for page in pages() if page.is_relative_to(DOCS)], ids=name_of)
def test_each_block_can_at_least_be_read_in_its_language(page):
    for block in blocks(page):
        try:
            READERS.get(block.language, str)(block.text)
        except (SyntaxError, ValueError, yaml.YAMLError, configparser.Error) as error:
            pytest.fail(f"{block.id}: {error}")


def shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], check=False, input=text, capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise ValueError(done.stderr)


def python(text: str) -> None:
    compile(text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def ini(text: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)


READERS = {
    "python": python,
    "bash": shell,
    "sh": shell,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "json": json.loads,
    "ini": ini,
}


@pytest.mark.parametrize(("reader", "text"), [(python, "if"), (shell, "if"), (yaml.safe_load, "{"), (ini, "a = 1")])
def test_a_block_that_is_not_in_its_language_would_be_found(reader, text):
    with pytest.raises((SyntaxError, ValueError, yaml.YAMLError, configparser.Error)):
        reader(text)
