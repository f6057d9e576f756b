"""No page leads nowhere: links, files and commands that the pages name are there."""

import re

import pytest

from guardrail.checks import installed
from tests.docs.pages import ROOT, anchors, name_of, pages, tables, without_fences

PAGES = pages()
COMMANDS = dict(tables().walk())
TOP = {"--config", "--home", "--set"}
FILE = re.compile(
    r"(?<![\w/.<-])((?:guardrail|models|serving|docs|tests|eval)/[\w./-]*\w\.(?:py|md|yaml|toml|sh|txt|tsv|svg|jpg))"
)
FOLDER = re.compile(r"`((?:guardrail|models|serving|docs|tests|eval)/[\w./-]*\w)/?`")
CALL = re.compile(r"(?:^|[`$;|]\s*|^ +|-u \w+ |END\n)guardrail ((?:[a-z]|--)[^`\n]*)", re.MULTILINE)
PLACEHOLDER = re.compile(r"\b(TODO|TBD|FIXME|XXX)\b|^\W*[A-Z]{4,}\W*$|\bIn PLAIN$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_something(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    named = {*FILE.findall(text), *FOLDER.findall(text)}
    assert [name for name in sorted(named) if not (ROOT / name).exists() and name not in MADE] == []


# What a page says will be made, or how something is laid out elsewhere.
MADE = {"models/NAME"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_exists(page):
    wrong = [fault for call in CALL.findall(page.read_text("utf-8")) if (fault := not_a_command(call))]
    assert wrong == []


def not_a_command(call):
    """What is wrong with a command line after the word `guardrail`; "" for nothing."""
    words = call.split("#")[0].replace("\\|", "|").split()
    while words and words[0].split("=")[0] in TOP:
        words = words[1 if "=" in words[0] else 2 :]
    path = ()
    while words and (*path, words[0]) in COMMANDS:
        path, words = (*path, words[0]), words[1:]
    command = COMMANDS[path]
    if words and hasattr(command, "list_commands") and re.fullmatch(r"[a-z]+", words[0]):
        return f"{call}: there is no command {words[0]!r}"
    known = {name for one in command.params for name in one.opts} | {"--help", *(() if path else ("--version",))}
    named = re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", " ".join(words).split(" && ")[0].split(" | ")[0])
    return next((f"{call}: {path} has no option {one}" for one in named if one not in known), "")


def test_a_command_that_moved_would_be_found():
    assert not_a_command("audit verify --head HEAD") == ""
    assert not_a_command("--home /srv check --prompt x") == ""
    assert "no command 'explain'" in not_a_command("audit explain 8f3a")
    assert "no option --deep" in not_a_command("audit verify --deep")
    assert CALL.findall("say `guardrail audit show ID` and\n    guardrail demo --once\n") == [
        "audit show ID",
        "demo --once",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_has_a_gap_left_to_fill(page):
    assert PLACEHOLDER.findall(without_fences(page.read_text("utf-8"))) == []


def test_a_gap_would_be_found():
    assert PLACEHOLDER.search("one\n\nBENCH\n\ntwo")
    assert not PLACEHOLDER.search("one GDPR two HOLD.")


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs/README.md").read_text("utf-8")
    missing = [
        name_of(page)
        for page in PAGES
        if page.is_relative_to(ROOT / "docs") and page.name != "README.md"
        if f"({page.relative_to(ROOT / 'docs')})" not in index
    ]
    assert missing == []


def test_every_installed_check_is_on_a_page_of_the_reference():
    reference = "".join(page.read_text("utf-8") for page in (ROOT / "docs/reference").glob("*.md"))
    own = [name for name, load in installed().items() if load().__module__.startswith("guardrail.")]
    assert len(own) >= 8
    assert [name for name in own if f"`{name}`" not in reference] == []


def test_the_readme_names_the_two_commands_and_stays_short():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    assert readme.count("\n") <= 170
    assert "docs/walk.svg" in readme
    assert "docs/explanation/limits.md" in readme
    assert readme.index("<!-- results:begin -->") < readme.index("<!-- results:end -->")


def test_each_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, name_of(page)
