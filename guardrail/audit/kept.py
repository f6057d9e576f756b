"""The head kept beside an SQLite log: how far its records had reached the disk, in a file of its own.

SQLite holds the newest records in its write-ahead log until they are carried over. Where that file is deleted or
emptied, they are gone, and the head inside the database, which is as old, fits what is left. This one does not. It is
signed as every head is; whoever puts an older copy of it back together with an older log is found only by a head that
was kept elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from guardrail.audit.chain import Head
from guardrail.audit.database import identity, identity_of
from guardrail.errors import AuditError

# One sector of a disk: written whole or not at all.
SIZE = 512


class KeptHead:
    """The file of one log; `path` is that of the database. Several processes may write it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(f"{path}-head")
        self._written = b""
        # Kept open, and which file it is: to open one for each sync takes longer than to write it.
        self._name = str(self.path)
        self._handle = -1
        self._is: tuple[int, int] | None = None

    def read(self) -> Head | None:
        """What is kept; None where there is no file. Raises AuditError for a file that holds no head."""
        try:
            with self.path.open("rb") as file:
                said = file.read(SIZE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuditError(f"{self.path} cannot be read: {error.strerror}") from None
        try:
            return _parsed(said)
        except AuditError:
            raise AuditError(f"{self.path} holds no head") from None

    def write(self, head: Head, key: bytes) -> None:
        """Keep `head`, unless a later one of the same log is kept already. Raises OSError."""
        try:
            handle = self._opened()
            os.lseek(handle, 0, os.SEEK_SET)
            there = os.read(handle, SIZE + 1)
            # What this process wrote itself is earlier; only another's must be read.
            if there and there != self._written and _later(there, head, key):
                return
            said = f"{head.token}\n".encode("ascii").ljust(SIZE)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, said)
            if len(there) > SIZE:
                os.ftruncate(handle, SIZE)
            self._written = said
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _opened(self) -> int:
        """The file that has the name now: it may have been moved away, or put back, since the last time."""
        if self._handle >= 0 and identity(self._name) != self._is:
            self.close()
        if self._handle < 0:
            self._handle = os.open(self._name, os.O_CREAT | os.O_RDWR, 0o600)
            self._is = identity_of(self._handle)
        return self._handle


def _parsed(said: bytes) -> Head:
    try:
        return Head.parse(said.decode("ascii"))
    except UnicodeDecodeError:
        raise AuditError("no head") from None


def _later(said: bytes, head: Head, key: bytes) -> bool:
    """True where what is kept is a head of the same log that counts as many records or more."""
    try:
        kept = _parsed(said)
    except AuditError:
        return False
    return kept.log_id == head.log_id and kept.seq >= head.seq and kept.holds(key)
