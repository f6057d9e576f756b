"""The command as an operator runs it, in this process: settings from flags, exit status, what is printed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner, Result

from guardrail import config
from guardrail.audit import AuditLog, Entry
from guardrail.cli import app
from guardrail.cli.audit_view import explained, listed
from guardrail.errors import AuditError
from guardrail.pipeline.receipt import look, subject
from guardrail.types import Artifact, Kind

BODY = {
    "receipt": {
        "id": "rcpt-1",
        "policy": "default@abc",
        "looks": [
            {"slot": "prompt", "kind": "prompt", "digest": "d" * 64, "checked": ["prompt-safety"], "unchecked": {}},
            {
                "slot": "image[0]",
                "kind": "input",
                "digest": "e" * 64,
                "checked": ["exposure"],
                "unchecked": {"age": "no face found"},
                "notes": ["frame 1 of 3"],
            },
        ],
        "models": ["yunet@8f2383e4"],
        "absent": {"concept": "no CLIP weights"},
        "recorded": True,
    },
    "signals": [
        ["prompt.undress", "prompt", "prompt-safety", 0.91, None],
        ["input.minor", "image[0]", "age", None, "no face found"],
    ],
    "reasons": [
        {
            "rule": "undress-request",
            "action": "block",
            "saw": {"prompt.undress": 0.91, "input.minor": None},
            "says": "asks to undress a person in the picture",
            "unknown": False,
        }
    ],
    "stage": "input",
    "would": None,
    "policy": "default@abc",
    "route": "POST /v1/images/edits",
    "status": "refused",
    "took_ms": 41.6,
    "clamped": ["moderation"],
}
DECISION = Entry("decision", "rcpt-1", 1_700_000_000.0, "acme", "block", BODY)
RULING = Entry("ruling", "rule-1", 1_700_000_100.0, "acme", "allow", {"record": "rcpt-1", "by": "anna"})


def on_screen(shown: RenderableType) -> str:
    console = Console(width=160, file=StringIO())
    console.print(shown)
    return console.file.getvalue()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def place(home):
    return config.load(None, {"home": str(home)})


@pytest.fixture
def log(place):
    with AuditLog.open(place.audit_url, place.key("audit")) as log:
        log.append_wait(DECISION)
        log.append_wait(RULING)
        yield log


@pytest.fixture
def audit(home):
    def run(*words: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, ["--home", str(home), "audit", *words], env=env)

    return run


def test_show_says_who_decided_why_what_was_looked_at_and_what_was_not(log):
    shown = on_screen(explained(log.get("rcpt-1"), [log.get("rule-1")], broken=[]))
    for told in (
        "2023-11-14 22:13:20 UTC",
        "block by policy default@abc, judged up to the input, in 42 ms",
        "POST /v1/images/edits by tenant acme",
        "Outcome  refused",
        "Clamped  ['moderation']",
        "undress-request",
        "input.minor not known, prompt.undress 0.91",
        "asks to undress a person in the picture",
        "undress 0.91 (prompt-safety)",
        "minor not known: no face found (age)",
        "eeeeeeeeeeeeeeee",
        "exposure (frame 1 of 3)",
        "age: no face found",
        "yunet@8f2383e4",
        "concept (no CLIP weights)",
        "by: anna",
        "this is what was written",
    ):
        assert told in shown, told
    assert len(shown.splitlines()) <= 25


def test_show_finds_the_record_its_rulings_and_whether_its_seal_holds(audit, log):
    done = audit("show", "rcpt-1")
    assert done.exit_code == 0
    for told in ("decision rcpt-1", "default@abc", "anna", "this is what was written"):
        assert told in done.stdout, told


def test_show_says_that_a_policy_was_only_watching(audit, log):
    log.append_wait(replace(DECISION, id="rcpt-2", action="allow", body={**BODY, "would": "block"}))
    assert "the policy said block, and is only watching" in audit("show", "rcpt-2").stdout
    assert "only watching" not in audit("show", "rcpt-1").stdout


def test_what_only_watched_is_told_from_what_acted(log):
    reasons = [{**BODY["reasons"][0], "rule": rule, "acts": rule != "strict"} for rule in ("undress", "strict")]
    log.append_wait(replace(DECISION, id="rcpt-2", body={**BODY, "reasons": reasons, "policy_sha256": "ab" * 32}))
    record = log.get("rcpt-2")
    assert "strict" not in on_screen(listed([record]))
    shown = on_screen(explained(record, [], broken=[]))
    [line] = [line for line in shown.splitlines() if "strict" in line]
    assert "in shadow" in line
    assert "ab" * 32 in shown


def test_show_survives_any_body(audit, log):
    odd = {"receipt": 5, "signals": [1, [2], ["a", None, 3, 4, 5]], "reasons": [None, {"saw": 5}], "took_ms": "long"}
    for n, body in enumerate(({}, odd, {"receipt": {"looks": [1, {}], "models": 5, "absent": []}})):
        log.append_wait(replace(DECISION, id=f"odd-{n}", body=body))
        done = audit("show", f"odd-{n}")
        assert done.exit_code == 0, done.exception
        assert audit("list").exit_code == 0


def test_what_a_stranger_wrote_cannot_move_the_cursor_or_be_taken_for_style(log):
    log.append_wait(
        replace(DECISION, id="odd", tenant="\x1b[2J[bold]x[/bold]", body={**BODY, "route": "GET /\x1b]0;t"})
    )
    record = log.get("odd")
    for shown in (on_screen(explained(record, [], broken=[])), on_screen(listed([record]))):
        assert "\x1b" not in shown
        assert "[bold]x[/bold]" in shown


def test_records_of_a_subject_are_found_by_the_name_that_none_of_them_has(audit, log, place):
    told, key = "anna@example.org", place.key("digest")
    for tenant in ("acme", "default"):
        body = {**BODY, "subject": subject(told, tenant, key)}
        log.append_wait(replace(DECISION, id=f"of-{tenant}", tenant=tenant, body=body))
    log.append_wait(replace(DECISION, id="before", body={**BODY, "subject": told}))
    log.append_wait(replace(DECISION, id="another", body={**BODY, "subject": subject("b", "acme", key)}))
    found = audit("list", "--subject", told).stdout
    assert [line.split()[6] for line in found.splitlines()[1:]] == ["before", "of-default", "of-acme"]
    assert "of-default" in audit("list", "--subject", told, "--tenant", "default").stdout
    assert "no records" in audit("list", "--subject", "anna").stdout
    lines = [json.loads(line) for line in audit("export", "--subject", told).stdout.splitlines() if line[0] == "{"]
    assert [line["id"] for line in lines] == ["of-acme", "of-default", "before"]
    assert told not in json.dumps(lines[:2])
    assert "Subject  digest:" in audit("show", "of-acme").stdout


def test_show_of_an_id_that_is_not_there_fails(audit, log):
    assert audit("show", "rcpt-9").exit_code == 1


@pytest.fixture
def alike(log):
    """Ids that begin alike, one of them a stream that has two records."""
    for n, record_id in enumerate(("8f3a11", "8f3a22", "8f3b00.open", "8f3b00", "8f%_00")):
        log.append_wait(replace(DECISION, id=record_id, at=DECISION.at + n))
    log.append_wait(replace(RULING, id="rule-2", body={"record": "8f3a22", "by": "berta"}))
    return log


def test_show_takes_the_beginning_of_an_id_that_no_other_begins_with(audit, alike):
    shown = audit("show", "8f3a2")
    assert shown.exit_code == 0
    assert "decision 8f3a22," in shown.stdout
    assert "berta" in shown.stdout
    stream = audit("show", "8f3b")
    assert stream.exit_code == 0
    assert "decision 8f3b00," in stream.stdout


def test_show_names_those_that_begin_alike_with_their_times_and_picks_none(audit, alike):
    shown = audit("show", "8f3a")
    assert (shown.exit_code, shown.stdout) == (1, "")
    first, *lines = shown.stderr.splitlines()
    assert first == "2 records have an id that begins with '8f3a'; give more of it"
    assert [line.split() for line in lines] == [
        ["2023-11-14", "22:13:20", "UTC", "decision", "block", "8f3a11"],
        ["2023-11-14", "22:13:21", "UTC", "decision", "block", "8f3a22"],
    ]


def test_show_names_a_few_of_many(audit, alike):
    for n in range(12, 19):
        alike.append_wait(replace(DECISION, id=f"8f3a{n}"))
    told = audit("show", "8f3a1").stderr.splitlines()
    assert told[0].startswith("8 records have an id")
    assert (len(told), told[-1]) == (7, "  and 3 more")


@pytest.mark.parametrize("given", ["8f3", "8f_", "%", ""])
def test_show_takes_no_less_than_four_characters_for_an_id(audit, alike, given):
    shown = audit("show", given)
    assert shown.exit_code == 1
    assert "give 4 characters of it or more" in shown.stderr


@pytest.mark.parametrize("given", ["8f3c", "8f__", "8f%%", "8F3A2", "8f3a222"])
def test_what_begins_no_id_finds_none(audit, alike, given):
    shown = audit("show", given)
    assert shown.exit_code == 1
    assert "none that begins so" in shown.stderr


def test_a_ruling_takes_the_whole_id(audit, alike):
    before = len(alike.entries())
    done = audit("rule", "8f3a2", "--should", "allow", "--by", "anna")
    assert done.exit_code == 1
    assert "no decision with id '8f3a2'" in done.stderr
    assert len(alike.entries()) == before


def test_digest_prints_what_records_carry_of_a_picture_or_text(audit, log, place, tmp_path):
    picture, text = b"\x89PNG of a street", "een zonnig bos, café"
    key = place.key("digest")
    looks = [
        look(Artifact(Kind.INPUT, "image[0]", data=picture), (), key),
        look(Artifact(Kind.PROMPT, "prompt", text=text), (), key),
    ]
    (tmp_path / "street.png").write_bytes(picture)
    (tmp_path / "prompt.txt").write_bytes(text.encode())
    (tmp_path / "other.png").write_bytes(picture + b"\n")
    files = [str(tmp_path / name) for name in ("street.png", "prompt.txt", "other.png")]
    done = audit("digest", *files)
    assert done.exit_code == 0
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert [file for _, file in lines] == files
    assert [digest for digest, _ in lines[:2]] == [each.digest for each in looks]
    assert lines[2][0] not in {each.digest for each in looks}


def test_digest_reads_standard_input(home, place):
    done = CliRunner().invoke(app, ["--home", str(home), "audit", "digest", "-"], input="een bos")
    expected = look(Artifact(Kind.PROMPT, "prompt", text="een bos"), (), place.key("digest")).digest
    assert done.stdout == f"{expected}  -\n"


def test_digest_of_a_file_that_is_not_there_is_said(audit, tmp_path):
    assert isinstance(audit("digest", str(tmp_path / "gone.png")).exception, FileNotFoundError)


def test_list_gives_each_record_a_line_and_its_id_whole(audit, log):
    head, *lines = audit("list").stdout.splitlines()
    assert head.split() == ["number", "time", "(UTC)", "kind", "action", "tenant", "id", "rules"]
    assert [line.split()[:2] for line in lines] == [["2", lines[0].split()[1]], ["1", lines[1].split()[1]]]
    assert ["rule-1" in lines[0].split(), "rcpt-1" in lines[1].split()] == [True, True]
    assert "undress-request" in lines[1]


def test_list_says_how_a_request_ended_that_was_neither_refused_nor_answered(audit, log):
    """An allow that got no answer must not look like one that did."""
    for status in ("answered", "unreadable_input"):
        log.append_wait(
            replace(DECISION, id=status[:8], action="allow", body={**BODY, "reasons": [], "status": status})
        )
    _, unreadable, answered, *_ = audit("list").stdout.splitlines()
    assert answered.split()[-1] == "answered"  # its id: there is nothing more to say
    assert unreadable.split()[-2:] == ["unreadab", "unreadable_input"]


def test_list_says_how_a_request_ended_beside_the_rules_that_spoke_too(audit, log):
    """A flag that got no answer must not look like one that did, and what nobody decided is nobody's pass."""
    reasons = [{"rule": "sexual-prompt", "action": "flag", "acts": True}]
    for at, (action, status) in enumerate((("flag", "upstream_timeout"), ("none", "turned_away"))):
        body = {**BODY, "reasons": reasons, "status": status, "would": "flag"}
        log.append_wait(replace(DECISION, id=f"ended-{at}", action=action, body=body))
    _, away, late, *_ = audit("list").stdout.splitlines()
    assert late.split()[-5:] == ["flag", "acme", "ended-0", "sexual-prompt,", "upstream_timeout"]
    assert away.split()[-5:] == ["none", "acme", "ended-1", "sexual-prompt,", "turned_away"]
    assert "ended-1" in audit("list", "--action", "none").stdout


def test_a_picture_that_could_not_be_read_is_explained_by_what_the_guard_said(audit, log):
    says = "image[0]: the picture is cut short"
    own = {"rule": "guard:unreadable_input", "action": "block", "saw": {}, "says": says, "unknown": False, "acts": True}
    body = {**BODY, "reasons": [own], "status": "unreadable_input", "would": "allow"}
    log.append_wait(replace(DECISION, id="broken-1", action="block", body=body))
    line = audit("list").stdout.splitlines()[1]
    assert line.split()[-2:] == ["broken-1", "guard:unreadable_input"]  # said once
    shown = audit("show", "broken-1").stdout
    assert says in shown
    assert "Policy said" in shown
    assert "Shadow" not in shown


def test_a_policy_that_only_watches_is_said_to(audit, log):
    log.append_wait(replace(DECISION, id="watched-1", action="allow", body={**BODY, "would": "hold"}))
    shown = audit("show", "watched-1").stdout
    assert "the policy said hold, and is only watching" in shown
    assert "Policy said" not in shown


def test_what_was_not_decided_is_said_to_be_so(audit, log):
    log.append_wait(replace(DECISION, id="away-1", action="none", body={**BODY, "status": "failed", "would": "allow"}))
    shown = audit("show", "away-1").stdout
    assert "nothing by policy" in shown
    assert "Shadow" not in shown


def test_list_filters(audit, log):
    assert [word in audit("list", "--kind", "ruling").stdout for word in ("rule-1", "undress-request")] == [True, False]
    assert [word in audit("list", "--action", "block").stdout for word in ("rule-1", "rcpt-1")] == [False, True]
    assert "no records" in audit("list", "--since", "24h").stdout
    assert "rcpt-1" in audit("list", "--since", "2023-11-14", "--until", "2023-11-14T22:14").stdout
    assert "no records" in audit("list", "--tenant", "other").stdout
    assert audit("list", "--since", "yesterday").exit_code == 2


def test_export_writes_json_lines_oldest_first(audit, log):
    done = audit("export", "--format", "jsonl")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["rcpt-1", "rule-1"]
    assert json.loads(done.stdout.splitlines()[0])["body"] == BODY
    assert "2 records" in done.stderr
    assert audit("export", "--format", "csv").exit_code == 2


def test_verify_passes_a_whole_log_and_fails_one_that_was_changed(audit, log, place):
    done = audit("verify")
    assert done.exit_code == 0
    assert "2 records" in done.stdout
    conn = sqlite3.connect(place.audit_url.removeprefix("sqlite:///"))
    conn.execute("UPDATE guardrail_audit_records SET action = 'allow' WHERE seq = 1")
    conn.commit()
    done = audit("verify")
    assert done.exit_code == 1
    assert "record 1 is not what was written" in done.stdout
    shown = audit("show", "rcpt-1")
    assert shown.exit_code == 1
    assert "DOES NOT HOLD" in shown.stdout
    assert "record 1 is not what was written" in shown.stderr


def test_verify_with_another_key_asks_whether_it_is_the_right_one_and_after_one_change_does_not(audit, log, place):
    done = audit("verify", env={"GUARDRAIL_KEY": "ab" * 32})
    assert done.exit_code == 1
    assert "is this the key that the log was begun with? It is GUARDRAIL_KEY" in done.stderr
    conn = sqlite3.connect(place.audit_url.removeprefix("sqlite:///"))
    conn.execute("UPDATE guardrail_audit_records SET action = 'allow' WHERE seq = 1")
    conn.commit()
    done = audit("verify")
    assert done.exit_code == 1
    assert "is this the key" not in done.stderr


@pytest.mark.parametrize(
    "forged",
    [
        "UPDATE guardrail_audit_records SET action = 'block' WHERE id = 'rule-1'",
        """UPDATE guardrail_audit_records SET body = '{"by":"eve","record":"rcpt-1"}' WHERE id = 'rule-1'""",
        "INSERT INTO guardrail_audit_records SELECT seq + 1, 'rule-2', kind, at, tenant, action, body, prev, digest"
        " FROM guardrail_audit_records WHERE id = 'rule-1'",
    ],
)
def test_a_ruling_that_nobody_with_the_key_wrote_is_shown_as_such(audit, log, place, forged):
    log.append_wait(replace(RULING, id="rule-0", body={"record": "rcpt-1", "by": "berta"}))
    whole = audit("show", "rcpt-1")
    assert (whole.exit_code, whole.stdout.count("DOES NOT HOLD")) == (0, 0)
    conn = sqlite3.connect(place.audit_url.removeprefix("sqlite:///"))
    conn.execute("DELETE FROM guardrail_audit_records WHERE id = 'rule-0'")
    conn.execute(forged)
    conn.commit()
    shown = audit("show", "rcpt-1")
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    [at] = [at for at, line in enumerate(lines) if "DOES NOT HOLD" in line]
    assert lines[at - 1].startswith("Ruled")
    assert "Seal     holds: this is what was written" in shown.stdout
    assert "is not what was written" in shown.stderr


def test_a_head_kept_elsewhere_is_given_as_a_word_or_a_file(audit, log, place, tmp_path):
    token = audit("export", "--head").stdout
    (tmp_path / "head.txt").write_text(token)
    log.append_wait(replace(DECISION, id="rcpt-3"))
    assert audit("verify", "--head", token.strip()).exit_code == 0
    assert audit("verify", "--head", str(tmp_path / "head.txt")).exit_code == 0
    conn = sqlite3.connect(place.audit_url.removeprefix("sqlite:///"))
    conn.execute("DELETE FROM guardrail_audit_records WHERE seq > 1")
    conn.commit()
    done = audit("verify", "--head", token.strip())
    assert done.exit_code == 1
    assert "put back to before the given head" in done.stdout
    assert isinstance(audit("verify", "--head", "nothing").exception, AuditError)


def test_commands_without_a_log_say_so_and_make_none(audit, place, home):
    place.key("audit")
    for words in (("verify",), ("show", "x"), ("list",), ("export",), ("export", "--head")):
        done = audit(*words)
        assert isinstance(done.exception, AuditError)
        assert "no such file" in str(done.exception)
    assert not (home / "audit" / "audit.db").exists()


NOBODY = """
import os
from guardrail.cli.audit import _ruler
from guardrail.cli.common import logged_in
from guardrail.errors import ConfigError
os.setuid(54321)
os.environ.clear()
try:
    _ruler("")
except ConfigError as error:
    print(error)
print(_ruler("anna"), logged_in())
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody without a name")
def test_a_user_without_a_name_as_in_a_container_is_asked_for_one():
    done = subprocess.run([sys.executable, "-c", NOBODY], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("--by: is expected"), done.stderr
    assert done.stdout.splitlines()[1:] == ["anna None"]


def test_a_kind_that_there_is_not_is_refused_and_no_empty_list(audit, log):
    assert audit("export", "--kind", "rulings").exit_code == 2
    assert audit("list", "--kind", "ruling").exit_code == 0
