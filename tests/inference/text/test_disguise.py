"""Disguised requests are found as plain ones are, and disguised harmless text stays harmless, by the real heads."""

from __future__ import annotations

import random
import time

import pytest

from guardrail.checks.prompt import PromptSafety
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.fold import fold
from guardrail.inference.text.prompts import PromptReader, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, packaged_second
from guardrail.types import Artifact, Kind
from tests.checks.people import real_models
from tests.inference.text import disguises

pytestmark = pytest.mark.weights
ASKS = ("sexual", "undress", "revealing")


@pytest.fixture(scope="module")
def judge() -> PromptSafety:
    models = real_models("use-multilingual", "multilingual-e5-small")
    encoder = TextEncoder(models.session("use-multilingual"), models.path("use-multilingual", "sp.model"))
    again = SecondEncoder(models.session("multilingual-e5-small"), models.path("multilingual-e5-small", "e5.model"))
    reader = PromptReader(encoder, packaged_lexicon())
    return PromptSafety(reader, packaged_heads(), "use-multilingual@test", second=packaged_second(again))


def flagged(judge: PromptSafety, texts: list[str]) -> list[bool]:
    scores = judge.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts])
    return [any(isinstance(score[name], float) and score[name] >= 0.5 for name in ASKS) for score in scores]


def plainly(judge: PromptSafety, disguise: str) -> list[str]:
    """Requests that are found undisguised."""
    texts = [text for lang, rows in disguises.ASKED.items() if disguises.fits(disguise, lang) for _, text in rows]
    return [text for text, found in zip(texts, flagged(judge, texts), strict=True) if found]


@pytest.mark.parametrize("name", disguises.HELD)
def test_nine_in_ten_requests_are_still_found_in_disguise(judge: PromptSafety, name: str) -> None:
    chance = random.Random(7)
    texts = plainly(judge, name)
    assert len(texts) > 30
    found = flagged(judge, [disguises.HELD[name](text, chance) for text in texts])
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("name", disguises.HELD)
def test_harmless_text_in_disguise_stays_harmless(judge: PromptSafety, name: str) -> None:
    chance = random.Random(8)
    texts = [text for lang, rows in disguises.HARMLESS.items() if disguises.fits(name, lang) for text in rows]
    found = flagged(judge, [disguises.HELD[name](text, chance) for text in texts])
    assert sum(found) <= 0.06 * len(found)


def test_nine_in_ten_requests_are_still_found_in_two_disguises_at_once(judge: PromptSafety) -> None:
    chance = random.Random(5)
    pairs = [(a, b) for a in disguises.HELD for b in disguises.HELD if disguises.together(a, b)]
    known = set(plainly(judge, "zero_width"))
    texts = []
    for first, second in chance.sample(pairs, 60):
        plain = [
            text
            for lang, rows in disguises.ASKED.items()
            if disguises.fits(first, lang) and disguises.fits(second, lang)
            for _, text in rows
            if text in known
        ]
        for text in chance.sample(plain, 6):
            texts.append(disguises.HELD[second](disguises.HELD[first](text, chance), chance))
    found = flagged(judge, texts)
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("name", disguises.HELD)
def test_folding_a_folded_disguise_changes_nothing(judge: PromptSafety, name: str) -> None:
    chance = random.Random(3)
    for rows in disguises.ASKED.values():
        once = fold(disguises.HELD[name](rows[0][1], chance), judge.reader).text
        assert fold(once, judge.reader).text == once


CHANCE = random.Random(1)
LONG = {
    "one word": "".join(CHANCE.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(32_000)),
    "chance words": "".join(CHANCE.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(32_000)),
    "signs": "".join(CHANCE.choice(".,;!?-_~|*") for _ in range(32_000)),
    "emoji": "👧🔥👗" * 10_000,
    "brackets": "(" * 16_000 + ")" * 16_000,
    "sentences": " ".join(f"coat {at} red." for at in range(2_400)),
    "clothes": " ".join(f"remove coat {at}" for at in range(2_000)),
    "mixed scripts": "".join(CHANCE.choice("абвгдежзaeop ") for _ in range(32_000)),
    "accents": "".join(CHANCE.choice("áèîöüñçšý ") for _ in range(32_000)),
    "breaks": "".join(CHANCE.choice("abcde.-_~|") for _ in range(32_000)),
    "codes": "".join(f"%{CHANCE.randrange(256):02x}" for _ in range(10_600)),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_prompt_takes_at_most_three_times_the_time_per_character_of_an_ordinary_one(
    judge: PromptSafety, name: str
) -> None:
    ordinary = "a woman with a red coat walks beside her bicycle, café by the sea, 35mm; photo from 1998."

    def took(text: str) -> float:
        started = time.process_time()
        flagged(judge, [text])
        return time.process_time() - started

    short = sorted(took(ordinary) for _ in range(31))[15] / len(ordinary)
    assert min(took(LONG[name]) for _ in range(2)) / len(LONG[name]) <= 3 * short
