"""Home: the folder that holds all state, and the key that protects it.

Everything secret is derived from one 32-byte key, each purpose its own by HKDF, so that a template of the registry
can't be opened with what signs the audit log. The key lies in a file, in the environment, or wrapped by a key service
(KMS) that a command asks to unwrap it.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import secrets
import shlex
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import platformdirs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guardrail.errors import ConfigError

KEY_BYTES = 32
COMMAND_S = 30.0
"""Longest that a key command may take."""
LOOSE = 0o037
"""Permissions a key file should not have: others may not touch it, the group may at most read it (as mounted secrets
are)."""

log = logging.getLogger("guardrail.home")
_ONE_AT_A_TIME = threading.Lock()
"""Checks open side by side; a key service is asked once for all of them."""


@dataclass(frozen=True)
class Home:
    """Where state lives and with what it is protected.

    `path` is made on first use, readable by its owner only. The key is `secret` (hex or base64) where that is given,
    else what `key_command` prints, else the file `key_file`, else the file `key` under `path`, which is made on first
    use.
    """

    path: Path
    key_file: Path | None = None
    secret: str | None = field(default=None, repr=False)
    key_command: str = field(default="", repr=False)

    @classmethod
    def default(cls, environ: Mapping[str, str] | None = None) -> Home:
        """GUARDRAIL_HOME or the platform's data folder; GUARDRAIL_KEY where it is set."""
        around = os.environ if environ is None else environ
        path = around.get("GUARDRAIL_HOME") or platformdirs.user_data_dir("guardrail", appauthor=False)
        return cls(Path(path).expanduser(), secret=around.get("GUARDRAIL_KEY") or None)

    def folder(self, *below: str) -> Path:
        """A folder of this home, made where it is not there yet, readable by its owner only.

        Raises ConfigError when it cannot be made.
        """
        path = self.path.absolute()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in below:  # one by one: `parents` makes them with the mode of any folder
                path /= name
                path.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"{path}: the folder of all state cannot be made there: {error.strerror}; "
                "name one that can be written with --home or GUARDRAIL_HOME"
            ) from None
        return path

    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose ("audit", "registry"): HKDF-SHA256 (RFC 5869) of the operator's key.

        Raises ConfigError when the key is not 32 bytes in hex or base64, or cannot be had.
        """
        with _ONE_AT_A_TIME:
            master = self._master
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"guardrail:" + purpose.encode()).derive(master)

    @cached_property
    def _master(self) -> bytes:
        if self.secret:
            return _decode(self.secret, "GUARDRAIL_KEY")
        if self.key_command and self.key_file:
            raise ConfigError("key_command and key_file are both set; leave one, so that it is clear which key is used")
        return self._from_command() if self.key_command else self._from_file()

    def _from_command(self) -> bytes:
        """What the key command prints. It runs without a shell; what it says on standard error is the operator's."""
        try:
            words = shlex.split(self.key_command)
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_S, check=False
            )
        except ValueError:
            raise ConfigError("key_command: a quote is not closed") from None
        except (OSError, IndexError) as error:
            raise ConfigError(f"key_command: cannot be run: {getattr(error, 'strerror', None) or 'empty'}") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"key_command: no answer within {COMMAND_S:g} s") from None
        if done.returncode:
            raise ConfigError(f"key_command: ended with status {done.returncode}; run it by hand to see why")
        return _decode(done.stdout.decode("ascii", "replace"), "key_command: what it prints")

    def _from_file(self) -> bytes:
        path = self.key_file or self.folder() / "key"
        if not path.exists():
            if self.key_file:
                raise ConfigError(f"key_file: {path} does not exist; 32 bytes in hex or base64 are expected there")
            try:
                _create(path)
            except OSError as error:
                raise ConfigError(f"{path}: a key cannot be made there: {error.strerror}") from None
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise ConfigError(f"{path}: the key cannot be read: {error.strerror}") from None
        if mode & LOOSE:
            log.warning("key file %s has mode %04o: others can use the key; chmod 600 closes it", path, mode)
        return _decode(text, str(path))


def _create(path: Path) -> None:
    # Written whole under another name and then linked: a second process sees the whole key or none.
    fresh = path.with_name(f".key-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    finally:
        fresh.unlink()


def _decode(text: str, where: str) -> bytes:
    ways: tuple[Callable[[str], bytes], ...] = (bytes.fromhex, _base64)
    for decode in ways:
        try:
            raw = decode(text.strip())
        except ValueError:
            continue
        if len(raw) == KEY_BYTES:
            return raw
    raise ConfigError(f"{where}: a key of 32 bytes in hex or base64 is expected; `openssl rand -hex 32` makes one")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
