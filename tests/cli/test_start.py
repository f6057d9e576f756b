"""A start that cannot work: one line that says what, where and what to do, status 2, and nothing fetched before."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guardrail.audit import AuditLog, Entry, Head
from guardrail.audit.chain import genesis
from guardrail.audit.kept import KeptHead
from guardrail.cli import app, common
from guardrail.cli.serve import run
from guardrail.cli.workers import status_of
from guardrail.config import load
from guardrail.errors import AuditError
from guardrail.server.process import listen

GENERATOR = "openai=http://127.0.0.1:9/v1"


@pytest.fixture
def said(tmp_path, capsys, monkeypatch):
    """Run the command as its entry point does; what it says on standard error. There are no weights under home."""
    monkeypatch.setenv("GUARDRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GUARDRAIL_MODELS_CACHE", raising=False)

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            common.run(lambda: app([str(one) for one in arguments]))
        assert ended.value.code == 2
        told: str = capsys.readouterr().err.strip()
        assert "\n" not in told
        assert not (tmp_path / "home" / "models").exists()
        return told

    return run


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "no generator to stand in front of: name one with --upstream openai=https://host/v1"),
        (["--upstream", "openai=host/v1"], "upstream openai: base_url must be http"),
        (["--upstream", "openai=ftp://host"], "upstream openai: base_url must be http"),
        (["--upstream", "https://sk-hush@host/v1"], "name=address is expected, as in openai=https://host/v1"),
        (["--upstream", "=https://sk-hush@host"], "name=address is expected"),
        (["--upstream", "openai="], "--upstream openai: name=address is expected"),
        (["--upstream", "paint=https://host"], "no dialect is called 'paint'; there are"),
        (["--upstream", GENERATOR, "--upstream", GENERATOR], "--upstream openai is given twice"),
        (["--upstream", GENERATOR, "--port", "70000"], "server.port: input should be less than or equal to 65535"),
        (["--upstream", GENERATOR, "--port", "0", "--workers", "2"], "server.port: several workers share one port"),
        (["--upstream", GENERATOR, "--host", "no host", "--port", "0"], "cannot listen on no host:0"),
        (["--upstream", GENERATOR, "--port", "0", "--policy", "strict"], "no policy named 'strict'"),
    ],
)
def test_what_serve_cannot_work_with_is_said(said, flags, words):
    told = said("serve", *flags)
    assert told.startswith("guardrail: ")
    assert words in told
    assert "sk-hush" not in told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_said_once_and_before_anything_is_fetched(said, workers):
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        told = said("serve", "--upstream", GENERATOR, "--port", str(port), "--workers", workers)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another server.port" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {port: [", "s.yaml:2:1: not YAML"),
        ("- a", "s.yaml: a mapping of settings is expected"),
        ("sever: {port: 1}", "no setting named 'sever.port'; did you mean 'server.port'?"),
        ("server: {port: hush}", "s.yaml: server.port: input should be a valid integer"),
        ("server: {upstreams: {openai: {adress: 'https://hush'}}}", "server.upstreams.openai.adress"),
    ],
)
def test_a_settings_file_that_is_wrong_is_named_with_its_place(said, tmp_path, text, words):
    (tmp_path / "s.yaml").write_text(text + "\n")
    told = said("--config", tmp_path / "s.yaml", "serve")
    assert words in told
    assert "hush" not in told


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--upstream", GENERATOR, "--port", "0"],
        ["check", "--prompt", "x"],
        ["audit", "verify"],
        ["registry", "list"],
        ["bank", "list"],
        ["models", "pull"],
    ],
    ids=lambda command: command[0],
)
def test_a_home_that_cannot_be_used_is_said_by_every_command(said, tmp_path, command):
    (tmp_path / "file").write_text("")
    told = said("--home", tmp_path / "file", *command)
    assert f"guardrail: {tmp_path / 'file'}" in told
    assert "--home or GUARDRAIL_HOME" in told


def test_a_cache_that_cannot_be_made_is_said_with_its_path(said, tmp_path):
    (tmp_path / "file").write_text("")
    assert said("--set", f"models.cache={tmp_path / 'file'}", "check", "--prompt", "x") == (
        f"guardrail: {tmp_path / 'file'}: File exists"
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuditError("audit log: no space"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.db"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_end_has_a_status_by_who_must_act(error, status):
    def ends():
        raise error

    with pytest.raises(SystemExit) as ended:
        common.run(ends)
    assert ended.value.code == status


def test_a_record_that_cannot_be_opened_has_a_status_of_its_own(tmp_path, capsys):
    """A service manager that is told not to try again what is set wrongly tries this again."""
    chosen = {
        "home": str(tmp_path / "home"),
        "server.upstreams": "{openai: 'http://127.0.0.1:9'}",
        "server.port": 0,
        "checks.enabled": "[known]",
        "audit.url": f"sqlite:///{tmp_path}",
    }
    with pytest.raises(SystemExit) as ended:
        common.run(lambda: run(load(None, chosen, {})))
    assert ended.value.code == 1
    assert f"guardrail: audit log {tmp_path} cannot be made: Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("key", "its head was not signed with this key"),
        ("head", "its signed head is gone"),
        ("kept", "records 1 to 1 are missing at its end"),
        ("file", "cannot be opened: file is not a database"),
    ],
)
def test_a_record_that_no_second_start_would_open_ends_as_what_is_set_wrongly(tmp_path, capsys, spoil, words):
    """A service manager would start it again every five seconds, for ever."""
    chosen = {
        "home": str(tmp_path / "home"),
        "server.upstreams": "{openai: 'http://127.0.0.1:9'}",
        "server.port": 0,
        "checks.enabled": "[known]",
    }
    place = load(None, chosen, {})
    file = tmp_path / "home/audit/audit.db"
    with AuditLog.open(place.audit_url, b"k" * 32 if spoil == "key" else place.key("audit")) as log:
        if spoil != "key":
            log.append_wait(Entry("event", "e1", 1.0, "*", "test", {}))
    if spoil == "head":
        with contextlib.closing(sqlite3.connect(file)) as conn:
            conn.execute("DELETE FROM guardrail_audit_head")
            conn.commit()
    elif spoil == "kept":
        key = place.key("audit")
        kept = KeptHead(file)
        head = kept.read()
        assert head is not None
        with contextlib.closing(sqlite3.connect(file)) as conn:
            begun = Head.signed(key, head.log_id, 0, genesis(key, head.log_id))
            conn.execute("DELETE FROM guardrail_audit_records")
            conn.execute("UPDATE guardrail_audit_head SET seq = 0, digest = ?, mac = ?", (begun.digest, begun.mac))
            conn.commit()
        kept.close()
    elif spoil == "file":
        file.write_bytes(b"no database" * 1000)
    with pytest.raises(SystemExit) as ended:
        common.run(lambda: run(place))
    assert ended.value.code == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("guardrail: ")]
    assert len(told) == 1
    assert words in told[0]


def test_a_fault_of_ours_is_not_taken_for_one_of_the_operators():
    def breaks():
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="descriptor"):
        common.run(breaks)


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ([0, 0], 0),
        ([0, -signal.SIGTERM], 0),
        ([2, -signal.SIGTERM], 2),
        ([0, 1], 1),
        ([0, -signal.SIGKILL], 1),
        ([0, -signal.SIGSEGV], 1),
    ],
)
def test_the_status_of_all_workers_tells_a_wrong_setting_from_a_crash(codes, status):
    assert status_of(codes) == status


@pytest.mark.parametrize("wait_s", [0.0, 0.5])
def test_workers_that_are_told_to_end_while_one_is_being_replaced_all_end(tmp_path, wait_s):
    """The successor is hired a second after the one that broke: a signal in between is meant for it too."""
    told = [sys.executable, "-m", "tests.cli.supervised", str(tmp_path)]
    with subprocess.Popen(told) as supervisor:
        try:
            wait_until(lambda: list(tmp_path.iterdir()))
            time.sleep(wait_s)
            supervisor.send_signal(signal.SIGTERM)
            assert supervisor.wait(10.0) in {0, 1}  # 1 where it broke before it was told
        finally:
            supervisor.kill()
            for file in tmp_path.iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(file.name), signal.SIGKILL)


def test_a_worker_that_breaks_is_replaced_until_all_are_told_to_end(tmp_path):
    with subprocess.Popen([sys.executable, "-m", "tests.cli.supervised", str(tmp_path)]) as supervisor:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
            supervisor.send_signal(signal.SIGTERM)
            assert supervisor.wait(10.0) == 0
        finally:
            supervisor.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads from /proc that a process has ended")
def test_a_worker_that_has_come_to_take_requests_serves_on_where_another_ends_at_that_moment(tmp_path):
    with subprocess.Popen([sys.executable, "-m", "tests.cli.supervised", str(tmp_path), "two"]) as supervisor:
        try:
            wait_until(lambda: [file.read_text() for file in tmp_path.iterdir()].count("first") == 1)
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
            # Asleep, it hears of both at once when it wakes.
            supervisor.send_signal(signal.SIGSTOP)
            (first,) = (file.name for file in tmp_path.iterdir() if file.read_text())
            (tmp_path / "go").touch()
            wait_until(lambda: Path(f"/proc/{first}/stat").read_text().rpartition(") ")[2].startswith("Z"))
            supervisor.send_signal(signal.SIGCONT)
            wait_until(lambda: supervisor.poll() is not None or len(list(tmp_path.iterdir())) == 5)
            assert supervisor.poll() is None, "the one that ended is replaced, the other serves on"
            supervisor.send_signal(signal.SIGTERM)
            assert supervisor.wait(10.0) == 0
        finally:
            supervisor.kill()


def wait_until(so):
    until = time.monotonic() + 30.0
    while not so():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("command", [("policy", "show", "default"), ("config", "show"), ("eval", "--help")])
def test_an_output_that_has_no_room_is_said_and_not_quoted_as_a_crash(tmp_path, command):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from guardrail.cli import main; main()", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "GUARDRAIL_HOME": str(tmp_path)},
            text=True,
            timeout=120,
            check=False,
        )
    assert done.stderr == (
        "guardrail: the output cannot be written: No space left on device; what is there is not whole\n"
    )
    assert done.returncode == 2
