"""Receipts: what was looked at, with what, and what was not; and the record that is made of them.

Nothing here holds a prompt or a picture: artifacts appear as keyed digests, so that someone with the key can tell
whether a given picture was the one, and nobody without it can search for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blake3 import blake3

from guardrail.audit import keyed_digest
from guardrail.types import Artifact, Decision, Evidence, Kind, Look, Pair, Receipt, Signal, Subject

NOT_REACHED = {"*": "not looked at: the request was refused before"}
UNCOVERED = {"no check": "none that is enabled looks at such a thing"}
DIGEST_CHARS = 32
"""Characters of a keyed digest that a receipt carries: 128 bits."""


def look(subject: Subject, signals: Sequence[Signal] | None, key: bytes) -> Look:
    """What became of one artifact or pair; `signals` is None for one that was never reached, empty without a check."""
    checked = dict.fromkeys(signal.check for signal in signals or ())
    unchecked = {signal.check: signal.error for signal in signals or () if signal.error is not None}
    if not signals:
        unchecked = NOT_REACHED if signals is None else UNCOVERED
    return Look(
        slot=subject.slot,
        kind=subject.kind,
        digest=_keyed(subject.digest, key),
        checked=tuple(name for name in checked if name not in unchecked),
        unchecked=unchecked,
        notes=(*subject.notes, *subject.remarks) if isinstance(subject, Artifact) else (),
    )


def digest_of(content: bytes, key: bytes) -> str:
    """What receipts and records carry in place of a picture with these bytes, or of a text that is encoded so."""
    return _keyed(Artifact(Kind.INPUT, "file", data=content).digest, key)


def _keyed(digest: bytes, key: bytes) -> str:
    return keyed_digest(key, digest)[:DIGEST_CHARS]


def subject(told: str, tenant: str, key: bytes) -> str:
    """Whom the caller says they ask for, as a record has it: a keyed digest, of this tenant alone.

    Callers send what they know their users by, which may be a name or an address. Whoever has the key and the name
    finds the records; nobody finds the name by the records, or one person's records of two tenants.
    """
    named = blake3(b"guardrail subject\0" + f"{tenant}\0{told}".encode("utf-8", "surrogatepass"))
    return f"digest:{keyed_digest(key, named.digest())[:DIGEST_CHARS]}"


def is_about(body: Mapping[str, Any], told: str, tenant: str, key: bytes) -> bool:
    """Whether the record with this body, of this tenant, says that it is about the subject.

    A record of before subjects were digests has it as it was told, one of over 256 characters as a digest that did not
    name the tenant.
    """
    found = body.get("subject")
    if not isinstance(found, str):
        return False
    long = f"digest:{keyed_digest(key, blake3(told.encode('utf-8', 'surrogatepass')).digest())[:DIGEST_CHARS]}"
    return found in {told, long, subject(told, tenant, key)}


def summary(looks: Iterable[Look]) -> str:
    """The receipt in one header value: "prompt=1/1, input=2/2, output=3/4" (wholly looked at / there)."""
    counted: dict[str, list[int]] = {}
    for one in looks:
        count = counted.setdefault(one.kind, [0, 0])
        count[0] += not one.unchecked
        count[1] += 1
    return ", ".join([f"{kind}={whole}/{there}" for kind, (whole, there) in counted.items()]) or "nothing"


def headers(decision: Decision, receipt: Receipt) -> list[tuple[str, str]]:
    """The receipt headers that go out with every answer."""
    return [
        ("x-guardrail-decision", decision.action.word),
        ("x-guardrail-receipt", receipt.id if receipt.recorded else f"{receipt.id}; not-recorded"),
        ("x-guardrail-checked", summary(receipt.looks)),
        ("x-guardrail-policy", receipt.policy),
    ]


def body(decision: Decision, evidence: Evidence, receipt: Receipt, **more: Any) -> dict[str, Any]:
    """The body of a decision's record, as plain data; `evidence` is all there is, on every part of the answer."""
    return {
        "policy": decision.policy,
        "stage": decision.stage.value,
        "would": decision.would.word if decision.would is not None else None,
        "reasons": [
            {
                "rule": reason.rule,
                "action": reason.action.word,
                "saw": dict(reason.saw),
                "says": reason.says,
                "unknown": reason.unknown,
                "acts": reason.acts,
            }
            for reason in decision.reasons
        ],
        "signals": [[s.name, s.slot, s.check, s.score, s.error] for s in evidence.signals],
        "receipt": {
            "id": receipt.id,
            "policy": receipt.policy,
            "recorded": receipt.recorded,
            "models": list(receipt.models),
            "absent": dict(receipt.absent),
            "looks": [_look(one) for one in receipt.looks],
        },
        **more,
    }


def _look(one: Look) -> Mapping[str, Any]:
    return {
        "slot": one.slot,
        "kind": one.kind.value,
        "digest": one.digest,
        "checked": list(one.checked),
        "unchecked": dict(one.unchecked),
        "notes": list(one.notes),
    }


def pairs(inputs: Iterable[Artifact], output: Artifact) -> list[Pair]:
    """Each input picture beside one output picture.

    A mask too: what is called one may be somebody's photograph, and a generator that sees it may paint who it shows.
    """
    return [Pair(one, output) for one in inputs]
