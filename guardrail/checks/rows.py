"""Rows of the registry as they lie in its file: sealed, each bound to the person and the place it was made for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np

from guardrail.checks.person import WIDTH, Person, Template
from guardrail.inference.sealed import SealBroken, Sealer

_MARK = b"guardrail registry of protected persons"
_REMOVALS = b"registry removals|"


class Rows:
    """Seals persons, templates and the keys of removals under one key of 32 bytes, and opens them again.

    Every `open_` raises SealBroken for a row of another key or place, and for one that was changed.
    """

    def __init__(self, key: bytes) -> None:
        self._sealer = Sealer(key)

    def mark(self) -> bytes:
        """What a registry keeps to know its key by."""
        return self._sealer.seal(_MARK, _MARK)

    def fits(self, mark: bytes) -> bool:
        """True when `mark` was made with this key."""
        try:
            return self._sealer.unseal(mark, _MARK) == _MARK
        except SealBroken:
            return False

    def person(self, person: Person) -> bytes:
        details: dict[str, Any] = {name: value for name, value in vars(person).items() if name != "id"}
        details["created"] = person.created.isoformat()
        details["expires"] = person.expires.isoformat() if person.expires else None
        return self._sealer.seal(json.dumps(details).encode(), _place(person.id))

    def open_person(self, person_id: str, sealed: bytes) -> Person:
        found = json.loads(self._sealer.unseal(sealed, _place(person_id)))
        found["created"] = datetime.fromisoformat(found["created"])
        found["expires"] = datetime.fromisoformat(found["expires"]) if found["expires"] else None
        return Person(id=person_id, **found)

    def template(self, person_id: str, place: int, model: str, template: Template) -> bytes:
        body = bytes([template.child]) + template.vector.astype("<f4").tobytes()
        return self._sealer.seal(body, _place(person_id, place, model))

    def open_template(self, person_id: str, place: int, model: str, sealed: bytes) -> Template:
        body = self._sealer.unseal(sealed, _place(person_id, place, model))
        return Template(np.frombuffer(body, "<f4", WIDTH, offset=1).astype(np.float32), child=bool(body[0]))

    def removal_key(self, name: bytes, key: bytes) -> bytes:
        return self._sealer.seal(key, _REMOVALS + name)

    def open_removal_key(self, name: bytes, sealed: bytes) -> bytes:
        return self._sealer.unseal(sealed, _REMOVALS + name)


def _place(person_id: str, place: int | None = None, model: str = "") -> bytes:
    """What a sealed row is bound to, so that no row can stand in for another."""
    return f"registry|{person_id}|{'details' if place is None else place}|{model}".encode()
