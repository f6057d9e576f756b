"""Guardrail judges what an image generator is asked for and what it made, and decides."""

from guardrail.types import Action, Decision, Evidence, Kind, Reason, Receipt, Signal

__all__ = ["Action", "Decision", "Evidence", "Kind", "Reason", "Receipt", "Signal"]
__version__ = "0.1.0"
