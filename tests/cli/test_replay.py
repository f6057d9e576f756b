"""`guardrail policy replay` and `guardrail audit rule`: as an operator runs them."""

from __future__ import annotations

import json
import sqlite3

import pytest
from typer.testing import CliRunner, Result

from guardrail import config
from guardrail.audit import AuditLog, Entry
from guardrail.cli import app

CANDIDATE = "version: 1\nname: new\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"


def decision(name: str, score: float, action: str, at: float = 1_700_000_000.0, **more) -> Entry:
    body = {
        "policy": "old@12345678",
        "would": action,
        "reasons": [{"rule": "q", "action": "hold"}] if action == "hold" else [],
        "signals": [["prompt.sexual", "prompt", "c", score, None]],
        "receipt": {"models": ["m@1"], "looks": []},
        "status": "answered",
        **more,
    }
    return Entry("decision", name, at, "acme", action, body)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def guardrail(home):
    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["--home", str(home), *words], env={"COLUMNS": "200"})

    return run


@pytest.fixture
def log(home):
    place = config.load(None, {"home": str(home)})
    with AuditLog.open(place.audit_url, place.key("audit")) as log:
        for n in range(20):
            log.append_wait(decision(f"a{n}", 0.9, "allow"))
        for n in range(10):
            log.append_wait(decision(f"h{n}", 0.1, "hold"))
        log.append_wait(decision("late", 0.9, "allow", 1_800_000_000.0))
        yield log


@pytest.fixture
def candidate(tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(CANDIDATE)
    return str(file)


def test_replay_says_how_many_change_by_which_rules_with_examples(guardrail, log, candidate):
    done = guardrail("policy", "replay", "--policy", candidate)
    assert done.exit_code == 0, done.output
    assert "31 decisions, 31 would change" in done.stdout
    said = [line.split() for line in done.stdout.splitlines()]
    assert ["allow", "block", "21"] in said
    assert ["r", "21", "0"] in said
    assert ["q", "0", "10"] in said
    assert ["h0", "hold", "allow"] in said
    assert "95 %" not in done.stdout  # nothing was ruled


def test_replay_takes_a_time_a_tenant_and_prints_json(guardrail, log, candidate):
    told = json.loads(guardrail("policy", "replay", "--policy", candidate, "--since", "2026-01-01", "--json").stdout)
    assert told["judged"] == 1
    assert told["examples"] == [{"from": "allow", "id": "late", "partial": False, "rules": ["r"], "to": "block"}]
    assert "0 decisions" in guardrail("policy", "replay", "--policy", candidate, "--tenant", "other").stdout


def test_rulings_become_error_rates_with_intervals(guardrail, log, candidate):
    for n in range(4):
        assert guardrail("audit", "rule", f"a{n}", "--should", "block").exit_code == 0
    for n in range(10):
        assert guardrail("audit", "rule", f"h{n}", "--should", "allow", "--note", "a holiday").exit_code == 0
    told = json.loads(guardrail("policy", "replay", "--policy", candidate, "--json").stdout)
    assert told["rulings"]["harmful"] == 4
    assert told["rates"]["missed_old"][0] == 1.0
    assert told["rates"]["refused_new"] == [0.0, 0.0, pytest.approx(0.2775, abs=1e-4)]  # Wilson, 0 of 10
    words = guardrail("policy", "replay", "--policy", candidate).stdout
    assert "of what people ruled on (4 to block, 10 to allow)" in words


def test_the_last_ruling_counts(guardrail, log, candidate):
    guardrail("audit", "rule", "a0", "--should", "block")
    guardrail("audit", "rule", "a0", "--should", "allow")
    told = json.loads(guardrail("policy", "replay", "--policy", candidate, "--json").stdout)
    assert (told["rulings"]["harmful"], told["rulings"]["harmless"]) == (0, 1)


def test_a_ruling_that_nobody_with_the_key_wrote_does_not_count(guardrail, log, home, candidate):
    guardrail("audit", "rule", "a1", "--should", "allow")
    guardrail("audit", "rule", "a2", "--should", "block")
    conn = sqlite3.connect(home / "audit/audit.db")
    conn.execute("UPDATE guardrail_audit_records SET action = 'allow' WHERE kind = 'ruling' AND action = 'block'")
    conn.commit()
    done = guardrail("policy", "replay", "--policy", candidate, "--json")
    told = json.loads(done.stdout)
    assert (told["rulings"]["harmful"], told["rulings"]["harmless"]) == (0, 1)
    assert "record 33, a ruling, is not what was written" in done.stderr


def test_a_ruling_is_a_record_that_show_tells(guardrail, log):
    done = guardrail("audit", "rule", "h0", "--should", "allow", "--note", "swimming lesson", "--by", "anna")
    assert "h0 was hold, should be allow" in done.stdout
    shown = guardrail("audit", "show", "h0").stdout
    assert "anna" in shown
    assert "swimming lesson" in shown
    assert guardrail("audit", "verify").exit_code == 0


def test_only_a_decision_can_be_ruled_on(guardrail, log):
    assert guardrail("audit", "rule", "nothing", "--should", "allow").exit_code == 1
    guardrail("audit", "rule", "h0", "--should", "allow")
    ruling = json.loads(guardrail("audit", "export", "--kind", "ruling").stdout)
    assert guardrail("audit", "rule", ruling["id"], "--should", "allow").exit_code == 1


def test_a_ruling_is_allow_or_block_and_its_note_is_short(guardrail, log):
    assert guardrail("audit", "rule", "h0", "--should", "hold").exit_code == 2
    assert guardrail("audit", "rule", "h0", "--should", "allow", "--note", "x" * 1001).exit_code == 2
    assert guardrail("audit", "rule", "h0", "--should", "allow", "--note", "x" * 1000).exit_code == 0


def test_cases_of_earlier_models_are_counted_apart(guardrail, log, candidate):
    log.append_wait(decision("n", 0.9, "allow", receipt={"models": ["m@2"], "looks": []}))
    done = guardrail("policy", "replay", "--policy", candidate)
    assert "models of now: m@2" in done.stdout
    assert "earlier models, no longer what judges: m@1" in done.stdout


def test_a_broken_policy_is_refused(guardrail, log, tmp_path):
    assert guardrail("policy", "replay", "--policy", str(tmp_path / "none.yaml")).exit_code != 0


def test_what_no_record_speaks_of_is_named(guardrail, log, tmp_path):
    file = tmp_path / "slip.yaml"
    file.write_text(CANDIDATE.replace("prompt.sexual", "prompt.sexul"))
    assert "no record says anything of prompt.sexul" in guardrail("policy", "replay", "--policy", str(file)).stdout
    told = json.loads(guardrail("policy", "replay", "--policy", str(file), "--json").stdout)
    assert told["unseen"] == ["prompt.sexul"]


def test_how_a_stream_began_is_nothing_to_rule_on(guardrail, log):
    log.append_wait(decision("s.open", 0.9, "allow", status="streaming"))
    log.append_wait(decision("s", 0.9, "allow"))
    refused = guardrail("audit", "rule", "s.open", "--should", "block")
    assert (refused.exit_code, "rule on s, which" in refused.stderr) == (1, True)
    assert guardrail("audit", "rule", "s", "--should", "block").exit_code == 0
