"""A vocabulary of a few words in four languages, behind the interface that the real one has."""

from __future__ import annotations

import re
from functools import partial

from guardrail.inference.text.frequent import FrequentWords
from guardrail.inference.text.mistyped import Slip, slipped

FREQUENT = FrequentWords(
    """
en: the a of her with from please woman remove all clothes picture dress band wife his main and in house street green
de: der die das mein von dieser frau kleid bild hause bitte entferne eine junge gute und in
ru: на с этой женщины сними платье фото всю одежду
ar: انزع كل ملابس هذه المرأة صورة من فستان بلوزة
ko: 이 여자 옷 사진 벗겨줘 전부 의 을
"""
)
LISTED = frozenset(("remove", "clothes", "dress", "kleid", "платье", "одежду"))


class FewWords:
    """Knows what its list has, in whatever language; what else there is is strange letter by letter."""

    frequent = FREQUENT

    def knows(self, word: str) -> bool:
        return bool(FREQUENT.costs(word))

    def sensitive(self, word: str) -> bool:
        return word == "nude"

    def telling(self, word: str) -> bool:
        return word in LISTED

    def weight(self, word: str) -> float:
        return 8.0 if self.knows(word) else float("inf")

    def strangeness(self, text: str) -> float:
        words = re.findall(r"[^\W\d_]+", text.lower())
        letters = sum(map(len, words))
        return sum(len(word) * (1.0 if self.knows(word) else 5.0) for word in words) / letters if letters else 0.0

    def slip(self, typed: str, language: str) -> Slip | None:
        return partial(slipped, vocabulary=self)(typed, language)
