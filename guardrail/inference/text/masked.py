"""Masked letters: "cl*thes" read as the word that it must be, by what people write in its neighbours' language."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from guardrail.inference.text.disguise import DIGIT_LETTERS, HIDDEN_SENSITIVE, Evidence, Vocabulary, piecewise

_LONGEST_WORD = 40
_SIGNS = "*#•●_%\ufffd"
_STAR = re.compile("[*#•●_%\ufffd]")
_WORD = re.compile(r"(?:[^\W\d]|[*#•●%\ufffd])+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
# German: "Manager*innen", "jede*r", "ein*e".
_GENDERED = ("in", "innen")
_ENDINGS = ("r", "n", "s")
# Guesses that one text's masked letters may take, what one of the encoder's counts for, and masks of one word.
_MOST_GUESSES, _DEAR, _MOST_MASKED = 400_000, 25, 4
# With so many letters to try, syllables of Korean, only listed words are guessed.
_MANY = 200
_VOWELS = "aeiou"
# Nats: what a word of another language is behind one of the text's own, and one that no list has behind both.
_FOREIGN, _UNLISTED = 4.0, 5.0
_MATTERS = 2.0


def unmasked(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with letters where stars and other signs mask them."""
    if not _STAR.search(text):
        return text
    often = sum(map(_is_masked, _WORD.findall(text))) > 1
    reader = _Reader(vocabulary, evidence, often)
    return piecewise(text, reader.read) if often else reader.read(text)


def _is_masked(word: str) -> bool:
    return "_" not in word and _STAR.search(word.strip(_SIGNS)) is not None


@dataclass
class _Reader:
    """Reads the masked words of one text; `often`: it has several, so that a sign at the end of one is a letter too."""

    vocabulary: Vocabulary
    evidence: Evidence
    often: bool
    left: int = _MOST_GUESSES
    fits: dict[str, list[str]] = field(default_factory=dict)
    guessed: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def read(self, piece: str) -> str:
        if not _STAR.search(piece):
            return piece
        told = _LETTERS.findall(_WORD.sub(lambda m: " " if _STAR.search(m[0]) else m[0], piece).lower())
        for word in _WORD.findall(piece):
            if _is_masked(word):
                told += self._listed(word.strip(_SIGNS).lower())
        language = self.vocabulary.frequent.language(told)
        return _WORD.sub(lambda m: self._word(m[0], language), piece)

    def _word(self, word: str, language: str) -> str:
        """A word with letters masked, with those that make it a word; "**bold**" stays."""
        core = word.strip("_") if self.often else word.strip(_SIGNS)
        bare = core.strip(_SIGNS)
        if len(core) - len(bare) > 1:
            core = bare
        masks = len(_STAR.findall(core))
        if not 0 < masks < len(core) - 1 + self.often or len(core) > _LONGEST_WORD:
            return word
        if _is_honest(core, masks):
            return word
        start = word.index(core)
        return word[:start] + self._core(core, masks, language) + word[start + len(core) :]

    def _core(self, core: str, masks: int, language: str) -> str:
        parts = _STAR.split(core)
        lines = core.count("_")
        # An underscore between words is a space; in the midst of one it is a mask.
        if lines and (masks > lines or masks > 1 or all(map(self.vocabulary.knows, parts))):
            return " ".join(parts) if masks == lines else core
        guess = self._guess(core, masks, language)
        if guess is None:
            # What is left says less wrong with any vowel than with signs.
            return _STAR.sub("e", core) if masks > 1 or self.often else core
        self.evidence.add(HIDDEN_SENSITIVE if self.vocabulary.sensitive(guess) else DIGIT_LETTERS)
        return _in_case(guess, core)

    def _guess(self, core: str, masks: int, language: str) -> str | None:
        low = core.lower()
        if masks > _MOST_MASKED or len(low) != len(core):
            return None
        if (low, language) not in self.guessed:
            one = masks == 1
            self.guessed[low, language] = self._single(low, language) if one else self._several(low, masks, language)
        return self.guessed[low, language]

    def _several(self, low: str, masks: int, language: str) -> str | None:
        """The likeliest word with several letters masked: any letters for two, vowels for more."""
        alphabet = "aeiouybcdfghjklmnpqrstvwxz" if masks == 2 else _VOWELS
        self.left -= len(alphabet) ** masks
        if self.left < 0:
            return None
        parts = _STAR.split(low)
        form = "{}".join(parts)  # neither letters nor signs that mask are braces
        filled = [form.format(*letters) for letters in itertools.product(alphabet, repeat=masks)]
        vowels = (
            {form.format(*letters) for letters in itertools.product("aeiouy", repeat=2)} if masks == 2 else {*filled}
        )
        listed = {*self.vocabulary.frequent.listed(filled)}
        weight = self.vocabulary.weight
        guesses = [one for one in filled if one in listed or (one in vowels and weight(one) < float("inf"))]
        return min(guesses, key=lambda word: self._weight(word, language), default=None)

    def _single(self, low: str, language: str) -> str | None:
        """The likeliest word with one letter masked."""
        fits = self._listed(low)
        own = [word for word in fits if any(tongue == language for tongue, _ in self.vocabulary.frequent.costs(word))]
        if own:
            return min(own, key=lambda word: self._weight(word, language))
        if not self.often:
            return self._plainly(low, language)
        guesses = self._fillings(low)
        best = min(fits, key=lambda word: self._weight(word, language), default=None)
        self.left -= _DEAR * len(guesses)
        if self.left < 0 or len(guesses) > _MANY:
            return best
        known = [word for word in guesses if self.vocabulary.weight(word) < float("inf")]
        best = min({*fits, *known}, key=lambda word: (self._weight(word, language), word), default=None)
        cost = float("inf") if best is None else self._weight(best, language)
        strangeness = self.vocabulary.strangeness
        built = min(guesses, key=strangeness, default=None)
        return built if built is not None and strangeness(built) * len(built) + _UNLISTED < cost else best

    def _plainly(self, low: str, language: str) -> str | None:
        """A lone masked word of no list: a vowel is what people mask, a consonant only to hide a word that matters."""
        before, after = _STAR.split(low)
        guesses = [
            guess
            for letter in "aeiouybcdfghjklmnpqrstvwxz"
            if letter in "aeiouy" or self.vocabulary.telling(before + letter + after)
            for guess in [before + letter + after]
            if self.vocabulary.weight(guess) < float("inf")
        ]
        return min(guesses, key=lambda word: self._weight(word, language), default=None)

    def _listed(self, low: str) -> list[str]:
        """The listed words that a word in lower case with one letter masked may be."""
        if low not in self.fits:
            fillings = self._fillings(low) if len(_STAR.findall(low)) == 1 and len(low) <= _LONGEST_WORD else []
            self.fits[low] = self.vocabulary.frequent.listed(fillings)
        return self.fits[low]

    def _fillings(self, low: str) -> list[str]:
        before, after = _STAR.split(low)
        letters = self.vocabulary.frequent.letters((before + after)[:1] or "a")
        guesses = [before + letter + after for letter in letters]
        self.left -= len(guesses)
        return guesses if self.left >= 0 else []

    def _weight(self, word: str, language: str) -> float:
        costs = self.vocabulary.frequent.costs(word)
        listed = min((cost + (0.0 if tongue == language else _FOREIGN) for tongue, cost in costs), default=float("inf"))
        weight = min(listed, self.vocabulary.weight(word) + _UNLISTED)
        return weight - (_MATTERS if self.vocabulary.telling(word) else 0.0)


def _is_honest(core: str, masks: int) -> bool:
    """German words for all genders; "S*P*A"; lines and number signs in a script that masks with stars alone."""
    if not _LATIN.search(core) and not set("#_%").isdisjoint(core):
        return True
    if masks != 1:
        return masks == len(core) // 2 and all(len(part) == 1 for part in _STAR.split(core))
    stem, _, ending = core.partition("*")
    if ending in _GENDERED:
        return len(core) > 5
    return (ending in _ENDINGS and stem.endswith("e") and len(core) > 5) or (ending == "e" and stem.endswith("ein"))


def _in_case(guess: str, core: str) -> str:
    """A guess in the capitals of the word that it is for."""
    if core.isupper():
        return guess.upper() if len(guess.upper()) == len(guess) else guess
    return "".join(letter if _STAR.match(was) else was for letter, was in zip(guess, core, strict=True))
