"""What the audit tests share: a key, entries, and a private PostgreSQL server where its programs are found."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from guardrail.audit import AuditLog, Entry

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


def entry(name: str, **changed: object) -> Entry:
    told = {
        "kind": "decision",
        "id": name,
        "at": 1_700_000_000.25,
        "tenant": "default",
        "action": "allow",
        "body": {"took_ms": 1.5, "reasons": [], "note": "Łódź"},
    }
    return Entry(**{**told, **changed})  # type: ignore[arg-type]


def fill(url: str, count: int, key: bytes = KEY) -> None:
    with AuditLog.open(url, key) as log:
        for n in range(1, count + 1):
            log.append_wait(entry(f"r{n}", at=1_700_000_000.0 + n))


class Server:
    """A PostgreSQL server of our own: reached by a socket in its own folder, never by the network."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not pytest's own temporary folder: as root the server runs as somebody else, who may not enter that.
        self._folder = Path(tempfile.mkdtemp(prefix="guardrail-pg-"))
        self._user = getpass.getuser()
        if os.geteuid() == 0:
            self._user = next(name for name in ("postgres", "nobody") if _exists(name))
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", "data", "-U", "guardrail", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self._made = 0

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://guardrail@/{database}?host={self._folder}"

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-D", "data", "-w", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            user=self._user if os.geteuid() == 0 else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )


def programs() -> Path | None:
    """The folder of initdb, pg_ctl and postgres."""
    found = shutil.which("initdb")
    # A wrapper on the path may stand alone; pg_ctl must be beside it.
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    needed = ("initdb", "pg_ctl", "postgres")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
