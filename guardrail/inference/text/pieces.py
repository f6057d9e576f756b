"""Pieces: the parts of a text that are judged each for itself, so that a wish among other words is not averaged away.

Windows over all of it, every sentence, and, inside long sentences, what stands around words that matter: once up to
the nearest comma or "and", once some words further, and once, where clothes come off, these words alone, which count
less; and a phrase whose words stand as tags, one by one. Without a word that matters a text has no such parts, so
ordinary text costs what it did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.wordlist import Span

# A dot between single letters ends nothing: words spelled out with dots would fall apart.
_SENTENCE_END = re.compile(r"[!?;\n\u3002\uff01\uff1f\uff1b]+|\.+(?=\s|$|[^\W\d_]{2})")
# Where one part of a sentence ends and another begins.
_CLAUSE_END = re.compile(
    r"[,:\u2013\u2014\u3001\uff0c\u060c|]|(?<![^\W_])(?:and|then|but|while|en|dan|daarna|maar|terwijl|und|dann|aber|et|puis|mais|"
    r"y|luego|pero|e|poi|ma|depois|mas|i|potem|ale|ve|sonra|ama|и|потом|затем|но|و|ثم|그리고|다음)(?![^\W_])",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s")
# A sentence of so many words is judged as a whole; with more, the words that matter are sought in it.
_SHORT_WORDS, _SHORT_UNSPACED = 9, 14
# Characters between two words that belong to one wish, around it, and of the whole of it: about 6, 8 and 14 words.
# In scripts without spaces between words a character is worth three. With 3 words around it "the stain on her apron"
# was read as "her apron": of held-out lines that are cut, 0.85 of undressing was found at 5 % of twins, now 0.92.
_APART, _AROUND, _LONGEST = 36, 48, 96
# Nats by which words of taking clothes off count less where nothing is left around them. A wish among words of
# anything is found by these alone. Of the held-out twins that are cut 48 are flagged with 2, 46 without such pieces, 57
# with 1 (the card of models/prompt-safety).
BARE = 2.0
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# A wish of three words at least, told as tags: "8k, remove, her, clothes".
_TAG_END = re.compile(r"[,;|\n\u3001\uff0c\u060c]")
_FEWEST_TAGS = 3
# What a cluster must speak of: one of these alone, or both of a pair.
_ALONE = frozenset(("nude", "explicit", "reveal", "through"))
_PAIR = ("remove", "clothes")
CONCEPTS = (*sorted(_ALONE), *_PAIR, "body")


def sentences(text: str) -> list[str]:
    """The sentences of a text, each once, in order; a text of one sentence is that one."""
    return list(dict.fromkeys(part for part in _SENTENCE_END.split(text) if part.strip()))


def parted(text: str) -> list[str]:
    """The sentences of a text with what ends each: joined, they are the text."""
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if start < end]


def tagged(text: str, lexicon: Lexicon) -> dict[str, float]:
    """The phrases whose words stand one by one between commas, where they speak of what matters; see `clauses`."""
    found: dict[str, float] = {}
    run: list[str] = []
    for tag in [*(part.strip() for part in _TAG_END.split(text)), ""]:
        if tag and not _SPACE.search(tag):
            run.append(tag)
            continue
        if len(run) >= _FEWEST_TAGS:
            phrase = " ".join(run)
            if any(_clusters(lexicon.spans(phrase, CONCEPTS), _APART, _LONGEST)):
                found |= {**clauses(phrase, lexicon), phrase: 0.0}
        run = []
    return found


def clauses(sentence: str, lexicon: Lexicon) -> dict[str, float]:
    """The parts of a long sentence around words that matter; none for a short one. Linear in the text.

    Each with the nats by which it counts less than the whole, 0 or BARE.
    """
    unspaced = _UNSPACED.search(sentence) is not None
    if unspaced:
        if len(sentence) <= _SHORT_UNSPACED:
            return {}
    elif sentence.count(" ") < _SHORT_WORDS:
        return {}
    spans = lexicon.spans(sentence, CONCEPTS)
    if not spans:
        return {}
    scale = 3 if unspaced else 1
    ends = [0, *(match.start() for match in _CLAUSE_END.finditer(sentence)), len(sentence)]
    starts = [0, *(match.end() for match in _CLAUSE_END.finditer(sentence)), len(sentence)]
    found: dict[str, float] = {}
    bare: dict[str, float] = {}
    place = 0
    for first, last, taken_off in _clusters(spans, _APART // scale, _LONGEST // scale):
        while place + 1 < len(starts) and starts[place + 1] <= first:
            place += 1
        close = place
        while close + 1 < len(ends) and ends[close] < last:
            close += 1
        limit = _LONGEST // scale
        found[sentence[max(starts[place], first - limit) : min(max(ends[close], last), last + limit)].strip()] = 0.0
        found[_widened(sentence, first, last, _AROUND // scale, unspaced)] = 0.0
        if taken_off:
            bare[sentence[first:last].strip()] = BARE
    for alike in ("", sentence.strip()):
        found.pop(alike, None)
    return {**bare, **found}


def _clusters(spans: Sequence[Span], apart: int, longest: int) -> Iterator[tuple[int, int, bool]]:
    """Runs of words that matter, near each other, that speak of enough to be judged: first and last character, and
    whether clothes are taken off in them."""
    run: list[Span] = []
    for span in [*spans, Span(-1, -1, "")]:
        if run and (not span.concept or span.start - run[-1].end > apart or span.end - run[0].start > longest):
            told = {one.concept for one in run}
            taken_off = told.issuperset(_PAIR)
            if told & _ALONE or taken_off:
                yield run[0].start, max(one.end for one in run), taken_off
            # A run that was only cut for its length goes on with its last words.
            run = (
                [one for one in run if one.start > run[0].start and span.start - one.end <= apart]
                if span.concept
                else []
            )
        if span.concept:
            run.append(span)


def _widened(text: str, first: int, last: int, around: int, unspaced: bool) -> str:
    start, end = max(0, first - around), min(len(text), last + around)
    if not unspaced:
        # To whole words: the first that begins, and the last that ends, within the margin.
        if start:
            gap = _SPACE.search(text, start, first)
            start = gap.end() if gap else first
        if end < len(text):
            gaps = [match.start() for match in _SPACE.finditer(text, last, end)]
            end = gaps[-1] if gaps else last
    return text[start:end].strip()
