"""The pipeline: runs checks over what was asked and made, asks the policy, and writes the record."""

from guardrail.pipeline.case import Case
from guardrail.pipeline.guard import DEFAULT_CHECKS, Guard
from guardrail.pipeline.looking import Observer, Unobserved
from guardrail.pipeline.question import Examined, Question

__all__ = ["DEFAULT_CHECKS", "Case", "Examined", "Guard", "Observer", "Question", "Unobserved"]
