"""The key: where it comes from, what is said when it cannot be had, and a file that others can read."""

from __future__ import annotations

import logging
import os
import shlex
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guardrail.config import load
from guardrail.errors import ConfigError
from guardrail.home import Home

KEY = "ab" * 32


def prints(tmp_path: Path, body: str) -> str:
    """A key service: a command that runs `body` and leaves a line in `asked` each time."""
    script = tmp_path / "service.py"
    script.write_text(f"open({str(tmp_path / 'asked')!r}, 'a').write('asked\\n')\n{body}\n")
    return shlex.join([sys.executable, str(script)])


def test_the_key_that_a_command_prints_is_used_like_one_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(KEY)
    (tmp_path / "file").chmod(0o600)
    by_file = Home(tmp_path, key_file=tmp_path / "file").key("registry")
    for body in (f"print({KEY!r})", "import base64; print(base64.b64encode(bytes([0xab] * 32)).decode())"):
        assert Home(tmp_path, key_command=prints(tmp_path, body)).key("registry") == by_file
    assert not (tmp_path / "key").exists()


def test_a_key_service_is_asked_once_also_by_checks_that_open_side_by_side(tmp_path: Path) -> None:
    held = load(None, {"home": str(tmp_path), "key_command": prints(tmp_path, f"print({KEY!r})")}, {})
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(held.key, ["registry"] * 8))) == 1
    assert held.state.key("audit") != held.key("registry")
    assert (tmp_path / "asked").read_text() == "asked\n"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("print('ab')", "32 bytes"),
        ("pass", "32 bytes"),
        ("import sys; sys.stdout.buffer.write(bytes([255] * 32))", "32 bytes"),
    ],
)
def test_a_key_service_that_gives_no_key_stops_the_guard_and_is_not_quoted(tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        Home(tmp_path, key_command=prints(tmp_path, body)).key("registry")
    assert "'ab'" not in str(error.value)
    assert not (tmp_path / "key").exists()  # no new key is made in its place


@pytest.mark.parametrize(("command", "why"), [("/nowhere/kms", "cannot be run"), ("'", "not closed"), ("  ", "empty")])
def test_a_command_that_cannot_be_run_says_so(tmp_path: Path, command: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Home(tmp_path, key_command=command).key("registry")


def test_a_command_runs_without_a_shell(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        Home(tmp_path, key_command=f"echo {KEY} && touch {tmp_path / 'made'}").key("registry")
    assert not (tmp_path / "made").exists()


def test_two_places_for_a_key_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both set"):
        Home(tmp_path, key_file=tmp_path / "file", key_command="x").key("registry")


def test_a_key_in_the_environment_comes_first(tmp_path: Path) -> None:
    assert Home(tmp_path, secret=KEY, key_command="/nowhere/kms").key("a") == Home(tmp_path, secret=KEY).key("a")


def test_the_command_may_hold_a_credential_and_is_not_shown(tmp_path: Path) -> None:
    held = load(None, {"home": str(tmp_path), "key_command": "unwrap --token hush-hush"}, {})
    assert "hush-hush" not in str(held.shown())
    assert "hush-hush" not in repr(held.state)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True)])
def test_a_key_file_that_others_can_use_is_warned_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    (tmp_path / "file").write_text(KEY)
    (tmp_path / "file").chmod(mode)
    home = Home(tmp_path, key_file=tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        home.key("registry")
        home.key("audit")
    assert len(caplog.records) == warned
    if warned:
        assert f"mode {mode:04o}" in caplog.text
        assert KEY not in caplog.text


def test_a_key_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(ConfigError, match="the key cannot be read"):
        Home(tmp_path, key_file=tmp_path / "file").key("registry")


@pytest.mark.parametrize("below", [(), ("audit",)])
def test_a_home_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path, below: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"file/home.*: the folder of all state cannot be made there: .*--home"):
        Home(tmp_path / "file" / "home").folder(*below)


def test_every_folder_that_is_made_is_its_owners_alone_however_the_first_is_asked_for(tmp_path: Path) -> None:
    """`serve` asks for the folder of the audit log first, and with it the home comes to be."""
    before = os.umask(0o022)
    try:
        made = Home(tmp_path / "state" / "home").folder("audit", "old")
    finally:
        os.umask(before)
    for path in (made, made.parent, made.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o755  # not ours: made as any folder on the way is
