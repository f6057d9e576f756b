"""Black-box search: how few changes, and how many questions, take a score below its threshold.

The searcher sees what somebody outside sees who gets the score: a harder test than a proxy, which says yes or no.
Greedy over words and whole texts, with a beam; like the searches of TextAttack (Morris et al. 2020,
arXiv 2005.05909), without a model of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardrail.evaluate.attacks import chance
from guardrail.evaluate.attacks.change import distance
from guardrail.evaluate.attacks.texts import CHANGES, Change

Ask = Callable[[Sequence[str]], Sequence[float | None]]
"""Scores of some texts; None for one that could not be told, which passes no guard."""

# What leaves little for a generator to read is left out: base64, a mirrored text, a text within four others.
STEPS: tuple[str, ...] = (
    "homoglyphs",
    "zero_width",
    "leet",
    "spacing",
    "dots",
    "typos",
    "full_width",
    "mathematical",
    "stars",
    "stretched",
    "joined",
    "padding_after",
    "json",
    "tags",
    "weights",
    "translation",
    "synonyms",
    "metaphors",
    "turns",
)
ON_WORDS = ("homoglyphs", "leet", "dots", "typos", "stars", "stretched", "synonyms", "metaphors", "translation")


@dataclass(frozen=True)
class Found:
    """What a search came to. `steps` are the attacks in order, `edits` the characters changed, inserted or lost."""

    worked: bool
    before: float
    after: float
    queries: int
    edits: int
    steps: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class _Candidate:
    text: str
    steps: tuple[str, ...]
    score: float


def search(ask: Ask, text: str, threshold: float, *, budget: int = 100, beam: int = 2, seed: int = 0) -> Found:
    """Look for a text that scores under `threshold` with at most `budget` questions.

    Each round changes every candidate in every way that there is budget for: one attack on the whole text, or one
    on a single word, in an order that the seed shuffles. The `beam` lowest go on. Ends where one is low enough, no
    change lowers anything, or the budget is spent. The same for the same seed.
    """
    first = ask([text])[0]
    before = 1.0 if first is None else first
    front = [_Candidate(text, (), before)]
    best, queries, round_ = front[0], 1, 0
    seen = {text}
    while best.score >= threshold and queries < budget and front:
        tried = _changes(front, seen, f"{seed}:{round_}", budget - queries)
        if not tried:
            break
        scores = ask([changed for changed, _ in tried])
        queries += len(tried)
        scored = [
            _Candidate(changed, steps, 1.0 if score is None else score)
            for (changed, steps), score in zip(tried, scores, strict=True)
        ]
        scored.sort(key=lambda one: (one.score, distance(text, one.text)))
        if scored[0].score >= best.score:
            break
        best = scored[0]
        front = scored[:beam]
        round_ += 1
    return Found(best.score < threshold, before, best.score, queries, distance(text, best.text), best.steps, best.text)


def _changes(front: Sequence[_Candidate], seen: set[str], seed: str, most: int) -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    for number, candidate in enumerate(front):
        source = chance(f"{seed}:{number}")
        options: list[tuple[str, str]] = [
            (name, CHANGES[name](candidate.text, source)) for name in STEPS if name not in candidate.steps
        ]
        words = candidate.text.split(" ")
        places = source.sample(range(len(words)), min(len(words), 12))
        options += [
            (f"{name} on a word", _on_word(words, at, CHANGES[name], source)) for name in ON_WORDS for at in places
        ]
        source.shuffle(options)
        for name, changed in options:
            if changed not in seen:
                seen.add(changed)
                found.append((changed, (*candidate.steps, name)))
    share = max(1, most // max(1, 2 if len(front) > 1 or not front[0].steps else 1))
    return found[: min(most, share)]


def _on_word(words: Sequence[str], at: int, change: Change, source: object) -> str:
    return " ".join([*words[:at], change(words[at], source), *words[at + 1 :]])  # type: ignore[arg-type]
