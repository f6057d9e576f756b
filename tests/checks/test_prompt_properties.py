"""The real prompt check, whatever it is given: finite scores or Unknown, and each a function of its text alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrail.checks import Tools
from guardrail.checks.prompt import SECOND, WEIGHTS, PromptSafety
from guardrail.types import Artifact, Kind, Unknown
from tests.checks.people import real_models

pytestmark = pytest.mark.weights
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = (
    "a",
    "red",
    "coat",
    "her",
    "naked",
    "remove",
    "trek",
    "kleren",
    "meisje",
    "13",
    "foto",
    "van",
    "Maria",
    "裸体",
    "키스",
    ".",
    ",",
)
PROMPTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join))


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> PromptSafety:
    return PromptSafety.open(Tools(real_models(WEIGHTS, SECOND), tmp_path_factory.mktemp("home"), lambda purpose: b""))


def scores(check: PromptSafety, texts: list[str]) -> list[Mapping[str, float | Unknown]]:
    return list(check.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts]))


@FEW
@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_has_scores_between_nought_and_one_or_none(check: PromptSafety, text: str) -> None:
    (found,) = scores(check, [text])
    assert set(found) == check.factors
    assert all(isinstance(score, Unknown) or 0 <= score <= 1 for score in found.values())


@FEW
@given(st.lists(PROMPTS, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_order_and_company_change_no_score(check: PromptSafety, texts: list[str], chance: object) -> None:
    alone = [scores(check, [text])[0] for text in texts]
    shuffled = list(range(len(texts)))
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    together = scores(check, [texts[i] for i in shuffled])
    for place, i in enumerate(shuffled):
        for factor, score in alone[i].items():
            other = together[place][factor]
            if isinstance(score, Unknown):
                assert isinstance(other, Unknown)
            else:
                assert other == pytest.approx(score, abs=1e-4)


def test_the_receipt_names_both_encoders_and_both_heads(check: PromptSafety) -> None:
    named = [model.partition("@")[0] for model in check.models]
    assert {WEIGHTS, SECOND, "prompt-heads", "prompt-second"} <= set(named)


def test_without_the_second_encoder_the_first_opinion_stands(tmp_path: Path) -> None:
    models = real_models(WEIGHTS)

    class FirstOnly:
        """The same weights, without the second encoder."""

        def __getattr__(self, name: str) -> object:
            return getattr(models, name)

        def has(self, name: str) -> bool:
            return name != SECOND

    check = PromptSafety.open(Tools(FirstOnly(), tmp_path, lambda purpose: b""))  # type: ignore[arg-type]
    assert not any(model.startswith(SECOND) for model in check.models)
    assert scores(check, ["a red coat"])[0]["sexual"] < 0.5  # type: ignore[operator]
