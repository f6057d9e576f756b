"""What was not judged to its end: turned back, turned away, broken or withheld. It did not leave, and is no pass.

A picture of a caller's that cannot be read is blocked: there is nothing that a person could review. Where the guard was
busy or broke, or could not look at what a generator sent, nothing was decided, and that is what headers, records and
counts say in the place of an action.
"""

from __future__ import annotations

from dataclasses import replace

from guardrail.types import Action, Decision, Reason

UNREADABLE = "unreadable_input"
"""The status of a request that was turned back because a picture of it cannot be read."""
NONE = "none"
"""In the place of an action: something was there that nobody looked at. Nothing was decided, and it did not leave."""
UNDECIDED = frozenset(
    {
        "turned_away", "failed", "upstream_bad_answer", "upstream_reference", "upstream_redirect", "upstream_too_large",
    }
)  # fmt: skip
"""How requests end of which nothing was decided. Where no whole answer came (a timeout, a connection that was cut),
what was decided on the request stands: there was nothing else to look at."""
OURS = "guard:"
"""How the reasons begin that are the guard's own. No id of a rule holds a colon."""


def turned_back(decision: Decision, why: str) -> Decision:
    """The block of a request a picture of which cannot be read, whatever the policy said of the rest.

    `why` names the picture. `would` stays what the policy said, and its reasons stay behind the guard's own.
    """
    reason = Reason(OURS + UNREADABLE, Action.BLOCK, {}, why)
    return replace(decision, action=Action.BLOCK, reasons=(reason, *decision.reasons))


def word_of(decision: Decision, status: str) -> str:
    """What a record of this status says was done: the action, or NONE."""
    return NONE if status in UNDECIDED and not decision.action.refuses else decision.action.word
