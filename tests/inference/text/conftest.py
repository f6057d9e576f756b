from __future__ import annotations

import pytest

from guardrail.checks import Tools
from guardrail.checks.prompt import SECOND, WEIGHTS, PromptSafety
from tests.checks.people import real_models


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> PromptSafety:
    """The prompt check as it ships, with the second opinion."""
    return PromptSafety.open(Tools(real_models(WEIGHTS, SECOND), tmp_path_factory.mktemp("home"), lambda purpose: b""))
