"""Policy: what the signals of a request mean, and what is done about it.

Pure: no clock, no randomness, no network, so that any decision can be replayed. `load` reads a policy,
`decide` judges evidence by it, `PolicyBook` keeps the ones in force.
"""

from guardrail.policy.book import PolicyBook
from guardrail.policy.decide import decide
from guardrail.policy.load import load, parse
from guardrail.policy.model import Condition, Mode, Policy, Rule
from guardrail.policy.nodes import Place, PolicyError, Problem
from guardrail.policy.replay import Difference, Replay, Stored, replay, stored_of

__all__ = [
    "Condition",
    "Difference",
    "Mode",
    "Place",
    "Policy",
    "PolicyBook",
    "PolicyError",
    "Problem",
    "Replay",
    "Rule",
    "Stored",
    "decide",
    "load",
    "parse",
    "replay",
    "stored_of",
]
