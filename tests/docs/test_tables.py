"""The reference says what the code does: no setting, signal, command, header, metric or rule without its line."""

import re

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.config import keys
from guardrail.policy import load
from guardrail.types import SIGNALS
from tests.docs.pages import DOCS, ROOT, name_of, tables

REFERENCE = DOCS / "reference"
TABLES = tables()
COMMANDS = list(TABLES.walk())


def text(name):
    return (REFERENCE / name).read_text("utf-8")


def code():
    return {path: path.read_text("utf-8") for path in (ROOT / "guardrail").rglob("*.py")}


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=name_of)
def test_tables_read_from_the_code_are_up_to_date(page):
    shown = page.read_text("utf-8")
    assert shown == TABLES.filled(shown), "run `python docs/tables.py`"


def test_each_table_stands_on_a_page():
    everything = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    assert sorted(re.findall(r"<!-- table: (\w+) -->", everything)) == sorted(TABLES.TABLES)


def test_a_table_that_is_not_up_to_date_is_found():
    page = text("configuration.md")
    assert TABLES.filled(page.replace("`8080`", "`80`")) == page


@pytest.mark.parametrize("key", keys(), ids=lambda key: key.name)
def test_each_setting_is_documented_and_says_what_it_means(key):
    (row,) = re.findall(rf"^\| `{re.escape(key.name)}` \|.*$", text("configuration.md"), re.MULTILINE)
    assert f"`{key.variable}`" in row
    assert len(key.help) > 10


def test_each_setting_is_read_by_something():
    """A setting that nothing reads is a promise that nobody keeps."""
    read = "".join(body for path, body in code().items() if path.name != "config.py" or path.parent.name == "cli")
    own = (ROOT / "guardrail/config.py").read_text("utf-8")
    unread = [
        key.name
        for key in keys()
        if not re.search(rf"\.{key.name.rpartition('.')[2]}\b", read)
        and not re.search(rf"settings\.(\w+\.)?{key.name.rpartition('.')[2]}\b", own)
    ]
    assert unread == []


def test_each_signal_is_documented_with_the_check_that_gives_it():
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| `([\w-]*)` \|", text("signals.md"), re.MULTILINE))
    assert rows.keys() == SIGNALS.keys()
    assert all(rows.values())


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(("guardrail", *path)) for path, _ in COMMANDS])
def test_each_option_of_help_is_on_the_page_and_no_other(path, command):
    said = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert said.exit_code == 0
    in_help = set(re.findall(r"(?<![\w-])(--[a-z][\w-]*)", re.sub(r"\x1b\[[\d;]*m", "", said.output)))
    section = rf"^##+ `{re.escape(' '.join(('guardrail', *path)))}(?: [][A-Z.]+)*`$(.*?)(?=^##+ |^<!-- end)"
    (own,) = re.findall(section, text("cli.md"), re.MULTILINE | re.DOTALL)
    listed = set(re.findall(r"`(--[a-z][\w-]*)", own)) | {one for one in TABLES.OWN if one in in_help}
    # Words of a help text may name an option of another command.
    assert listed <= in_help
    assert {name for one in command.params for name in one.opts if name.startswith("--")} <= listed | TABLES.OWN


def test_each_header_is_documented():
    used = {name for body in code().values() for name in re.findall(r"x-guardrail-[a-z]+", body)}
    assert len(used) >= 5
    page = text("headers.md")
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []


def test_each_metric_is_documented():
    registered = re.findall(
        r"(counter|gauge|Timings)\(\s*\"(guardrail_\w+)\"", code()[ROOT / "guardrail/server/metrics.py"]
    )
    assert {kind for kind, _ in registered} == {"counter", "gauge", "Timings"}
    page = text("metrics.md")
    missing = []
    for kind, name in registered:
        exposed = f"{name.removesuffix('_total')}_total" if kind == "counter" else name
        said = "histogram" if kind == "Timings" else kind
        if f"| `{exposed}` | {said} |" not in page:
            missing.append(exposed)
    assert missing == []


def test_each_rule_of_the_shipped_policy_is_documented():
    page = text("default-policy.md")
    for rule in load("default").rules:
        (row,) = re.findall(rf"^\| `{rule.id}`.*$", page, re.MULTILINE)
        assert rule.says in row


def test_each_setting_that_a_page_names_exists():
    rooms = {key.name.partition(".")[0] for key in keys() if "." in key.name}
    known = {key.name for key in keys()} | {f"{room}.*" for room in rooms}
    wrong = []
    for page in sorted(DOCS.rglob("*.md")):
        for named in re.findall(rf"`((?:{'|'.join(rooms)})\.[a-z_*]+)[:`]", page.read_text("utf-8")):
            if named not in known and named not in ALSO:
                wrong.append(f"{name_of(page)}: {named}")
    assert wrong == []


# Words of other things that look like a setting.
ALSO = {"audit.db", "server.py", "policy.decide"}
