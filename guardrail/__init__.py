"""Guardrail judges what an image generator is asked for and what it made, and decides.

from guardrail import Guard
guard = Guard.from_policy("default")
decision = guard.check(prompt="a red bicycle in the rain")
"""

from typing import TYPE_CHECKING, Any

from guardrail.types import Action, Decision, Evidence, Kind, Reason, Receipt, Signal

if TYPE_CHECKING:
    from guardrail.pipeline import Guard

__all__ = ["Action", "Decision", "Evidence", "Guard", "Kind", "Reason", "Receipt", "Signal"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Types import in milliseconds; the guard brings numpy and the model runtime, so it is fetched when asked for.
    if name == "Guard":
        from guardrail.pipeline import Guard

        return Guard
    raise AttributeError(f"module 'guardrail' has no attribute {name!r}")
