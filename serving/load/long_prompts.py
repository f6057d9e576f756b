"""What a long prompt costs the prompt check for each character of it, beside ordinary English prose of the same length.

    python serving/load/long_prompts.py [--characters 32000] [--rounds 2] [--only NAME ...]

Every content is drawn anew, the same every time. Its CPU time is the least of the rounds, and the ordinary text is
judged beside each content again, so that a busy machine weighs on both. `first` and `second` are the tokens that each
encoder reads for a character, padding and marks included.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardrail.checks.prompt import SECOND, TOKENIZER, WEIGHTS, PromptSafety
from guardrail.home import Home
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.gazetteer import Gazetteer, packaged_names
from guardrail.inference.text.prompts import PromptReader, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, packaged_second
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Unknown

PROSE = Path(__file__).parent / "prose.txt"
CHARACTERS = 32_000
ORDINARY = "English prose"

_TAGS = (
    "masterpiece", "best quality", "highly detailed", "sharp focus", "8k", "watercolour", "oil painting", "soft light",
    "golden hour", "bokeh", "35mm", "wide angle", "harbour", "lighthouse", "red bicycle", "stone bridge", "rain", "fog",
    "mountains", "autumn leaves", "portrait of a sailor", "film grain", "muted colours", "symmetry", "volumetric light",
)  # fmt: skip
_ASKED = (
    "remove the coat of guest {}", "take off her jacket {}", "put {} in a red dress", "make the shirt of {} blue",
    "undress mannequin {}", "swap the skirt of figure {}", "a nude statue, number {}", "take the shoes off {}",
)  # fmt: skip
_CLOTHES = "👙👗👚👕👖🩳👘🥻🧥🧦👔🩰👠👢🩲🩱"
_EMOJI = [chr(point) for first, last in ((0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x1F90C, 0x1F9FF))
          for point in range(first, last + 1)]  # fmt: skip
_KANA = [chr(point) for point in range(0x3042, 0x3094)]
_SYLLABLES = [chr(point) for point in range(0xAC00, 0xD7A4)]
_IDEOGRAPHS = [chr(point) for point in range(0x4E00, 0x9FA6)]
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_INVISIBLE = "\u200b\u2060\u00ad\u200c"

Drawn = Iterator[str]
Content = Callable[[random.Random], Drawn]


def prose(language: str) -> Content:
    """Sentences in one of the languages of prose.txt, without end."""
    said = PROSE.read_text("utf-8").partition(f"[{language}]\n")[2].partition("\n\n")[0]
    parts = [line.split("|") for line in said.split("\n") if line]

    def drawn(chance: random.Random) -> Drawn:
        while True:
            yield "".join(chance.choice(part) for part in parts)

    return drawn


def of(choices: Sequence[str], joint: str = "") -> Content:
    """One of the choices after the other, by chance."""
    return lambda chance: (chance.choice(choices) + joint for _ in itertools.repeat(None))


def repeated(text: str) -> Content:
    """The same text again and again."""
    return lambda chance: itertools.repeat(text)


def changed(content: Content, change: Callable[[str, random.Random], str]) -> Content:
    """Every piece of a content, changed."""
    return lambda chance: (change(piece, chance) for piece in content(chance))


def words(lengths: range, letters: Sequence[str], joint: str) -> Content:
    """Words of chance letters."""

    def drawn(chance: random.Random) -> Drawn:
        while True:
            yield "".join(chance.choices(letters, k=chance.choice(lengths))) + joint

    return drawn


def numbered(lines: Sequence[str], joint: str) -> Content:
    """One of the lines after the other, each with a number of its own."""
    return lambda chance: (chance.choice(lines).format(at) + joint for at in itertools.count())


def _leet(text: str, chance: random.Random) -> str:
    return text.translate(str.maketrans("aeiost", "43105$"))


def _weighted(text: str, chance: random.Random) -> str:
    return " ".join(f"({word}:{chance.randrange(1, 20) / 10})" for word in text.split()) + " "


def _hidden(text: str, chance: random.Random) -> str:
    return "".join(letter + chance.choice(_INVISIBLE) for letter in text)


def _marked(text: str, chance: random.Random) -> str:
    return "".join(letter + "".join(chr(0x300 + chance.randrange(0x50)) for _ in range(4)) for letter in text)


def _full_width(text: str, chance: random.Random) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def _overridden(text: str, chance: random.Random) -> str:
    return "\u202e" + text[::-1] + "\u202c"


def _many_ways(text: str, chance: random.Random) -> str:
    ways: tuple[Callable[[str, random.Random], str], ...] = (
        _leet,
        _hidden,
        _marked,
        _full_width,
        _overridden,
        _rot13,
        _spelled,
        _odd_case,
        _base64,
        _hex,
        _stars,
        _typed,
    )
    first, second = chance.sample(ways, 2)
    return first(second(text, chance), chance) + " "


def _rot13(text: str, chance: random.Random) -> str:
    return codecs.encode(text, "rot13")


def _spelled(text: str, chance: random.Random) -> str:
    return "  ".join(" ".join(word) for word in text.split()) + "  "


def _odd_case(text: str, chance: random.Random) -> str:
    return "".join(chance.choice((letter, letter.upper())) for letter in text)


def _base64(text: str, chance: random.Random) -> str:
    return base64.b64encode(text.encode()).decode() + " "


def _hex(text: str, chance: random.Random) -> str:
    return text.encode().hex() + " "


def _stars(text: str, chance: random.Random) -> str:
    return " ".join(word[0] + "*" + word[2:] if len(word) > 3 else word for word in text.split()) + " "


def _typed(text: str, chance: random.Random) -> str:
    swapped = (word[0] + word[2] + word[1] + word[3:] if len(word) > 3 else word for word in text.split())
    return " ".join(swapped) + " "


def _upper(text: str, chance: random.Random) -> str:
    return text.upper()


def _turns(chance: random.Random) -> Drawn:
    sentences = prose("en")(chance)
    while True:
        yield f"User: {next(sentences)}\nAssistant: {next(sentences)}\n"


def _no(chance: random.Random) -> Drawn:
    while True:
        yield f"{chance.choice(('no', 'without', 'not a', '--no'))} {chance.choice(_TAGS)} "


def _fields(chance: random.Random) -> Drawn:
    tags, sentences = of(_TAGS)(chance), prose("en")(chance)
    yield "["
    while True:
        inside: Any = {next(tags): next(sentences).strip(), "note": next(tags), "size": chance.randrange(2000)}
        for _ in range(chance.randrange(1, 12)):
            inside = {next(tags): inside} if chance.random() < 0.7 else [inside, next(tags)]
        yield json.dumps(inside) + ",\n"


def _deep(chance: random.Random) -> Drawn:
    tags = of(_TAGS)(chance)
    while True:
        yield '{"' + next(tags) + '": [{"a": "' + next(tags) + '"}, '


def _closed(text: str) -> str:
    """JSON that was cut off, as JSON."""
    return text[: max(text.rfind(",\n"), 1)] + "]"


CONTENTS: dict[str, Content] = {
    ORDINARY: prose("en"),
    "Dutch": prose("nl"),
    "German": prose("de"),
    "Chinese": prose("zh"),
    "Japanese": prose("ja"),
    "Korean": prose("ko"),
    "Korean without spaces": changed(prose("ko"), lambda text, chance: text.replace(" ", "").replace(".", "")),
    "Thai": prose("th"),
    "Arabic": prose("ar"),
    "English without signs": changed(prose("en"), lambda text, chance: text.replace(".", "").replace(",", "").lower()),
    "English without spaces": changed(prose("en"), lambda text, chance: text.replace(" ", "")),
    "capitals": changed(prose("en"), _upper),
    "tags": of(_TAGS, ", "),
    "weights": changed(prose("en"), _weighted),
    "JSON": _fields,
    "JSON, nested without end": _deep,
    "turns": _turns,
    "negations": _no,
    "requests, numbered": numbered(_ASKED, ". "),
    "requests, one sentence": numbered(_ASKED, " "),
    "requests, tags": numbered(_ASKED, ", "),
    "clothes and removal": of(("remove", "clothes", "her", "dress", "naked", "off", "take", "skirt", "shirt"), " "),
    "clothes and removal, Chinese": of(("脱", "衣服", "裙子", "裸体", "去掉", "她的", "内裤", "照片")),
    "clothes and removal, Korean": of(("옷", "벗겨", "치마", "알몸", "제거", "그녀의", "속옷"), " "),
    "emoji of clothes": of(_CLOTHES),
    "emoji": of(_EMOJI),
    "kana by chance": of(_KANA),
    "Korean syllables by chance": of(_SYLLABLES),
    "Chinese characters by chance": of(_IDEOGRAPHS),
    "letters by chance": of(_LATIN),
    "letters and spaces by chance": of(_LATIN + "  "),
    "Russian letters by chance": of("абвгдежзийклмнопрстуфхцчшщыьэюя     "),
    "capitals and digits by chance": of(_LATIN + _LATIN.upper() + "0123456789"),
    "base64 of bytes": lambda chance: (base64.b64encode(chance.randbytes(24)).decode() for _ in itertools.repeat(0)),
    "base64 of prose": changed(prose("en"), _base64),
    "hexadecimal of bytes": lambda chance: (chance.randbytes(16).hex() for _ in itertools.repeat(0)),
    "hexadecimal of prose": changed(prose("en"), _hex),
    "digits": of("0123456789"),
    "digits and spaces": of("0123456789 "),
    "signs": of(".,;!?-_~|*()[]{}<>:'\"/\\@#$%^&+="),
    "one letter": repeated("a"),
    "one letter and space": repeated("a "),
    "letters, spaced": of(_LATIN, " "),
    "commas": repeated(","),
    "lines": repeated("\n"),
    "lines of two letters": words(range(2, 3), _LATIN, "\n"),
    "lines of one character": of(_IDEOGRAPHS, "。"),
    "tags of three letters": words(range(3, 4), _LATIN, ","),
    "full-width letters": changed(prose("en"), _full_width),
    "combining marks": changed(prose("en"), _marked),
    "zero-width characters": changed(prose("en"), _hidden),
    "overrides of direction": changed(prose("en"), _overridden),
    "digits for letters": changed(prose("en"), _leet),
    "rot13": changed(prose("en"), _rot13),
    "spelled out": changed(prose("en"), _spelled),
    "odd case": changed(prose("en"), _odd_case),
    "stars": changed(prose("en"), _stars),
    "mistyped": changed(prose("en"), _typed),
    "disguises, two at a time": changed(prose("en"), _many_ways),
    "mixed scripts": of("абвгдежзaeop "),
    "accents": of("áèîöüñçšý "),
    "percent codes": lambda chance: (f"%{chance.randrange(256):02x}" for _ in itertools.repeat(0)),
    "signs of several letters": of("㏘㏂㎨⨌⁗🉈🄪㌸㈞﷼㎧㍈"),
    "signs of several letters, and one": of("㏘㏂㎨⨌⁗🉈🄪㌸㈞﷼㎧㍈abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
    "signs of two letters": of("½⅓⅔⅛⑽⑾⑿№℀℁℅㏒㏑㎏㎎…"),
    "ligatures": repeated("\ufdfa"),
}


def content(name: str, characters: int = CHARACTERS, seed: int = 7) -> str:
    """So many characters of a content, the same every time (JSON may have fewer)."""
    parts: list[str] = []
    length = 0
    for part in CONTENTS[name](random.Random(seed)):
        parts.append(part)
        length += len(part)
        if length >= characters:
            break
    text = "".join(parts)[:characters]
    return _closed(text) if name == "JSON" else text


class First:
    """The graph of the first encoder, and the tokens that it was given, padding included."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.tokens = self.rows = 0

    def run(self, outputs: Sequence[str], feed: dict[str, Any]) -> Any:
        """As `session.run`."""
        self.tokens += feed["input_ids"].size
        self.rows += len(feed["input_ids"])
        return self._session.run(outputs, feed)


class Second(First):
    """The graph of the second encoder, and the tokens that it was given."""


@dataclass
class Opened:
    """The prompt check as it is opened, with the graphs of its encoders."""

    check: PromptSafety
    first: First
    second: First

    def judge(self, text: str) -> dict[str, float | Unknown]:
        """The scores of one prompt."""
        return dict(self.check.score([Artifact(Kind.PROMPT, "prompt", text=text)])[0])

    def counted(self, text: str) -> tuple[int, int]:
        """Tokens that the first and the second encoder read for one prompt."""
        before = self.first.tokens, self.second.tokens
        self.judge(text)
        return self.first.tokens - before[0], self.second.tokens - before[1]


def opened(models: Models) -> Opened:
    """The check with the packaged heads, lexicon and names. Both encoders' weights must be there."""
    first, second = First(models.session(WEIGHTS)), Second(models.session(SECOND))
    encoder = TextEncoder(first, models.path(WEIGHTS, "sp.model"))
    again = SecondEncoder(second, models.path(SECOND, TOKENIZER))
    check = PromptSafety(
        PromptReader(encoder, packaged_lexicon()),
        packaged_heads(),
        models.label(WEIGHTS),
        second=packaged_second(again),
        names=Gazetteer(packaged_names()),
    )
    return Opened(check, first, second)


def _took(check: Opened, text: str) -> tuple[float, bool]:
    """CPU seconds, and whether all was told."""
    began = time.process_time()
    scores = check.judge(text)
    return time.process_time() - began, not any(isinstance(score, Unknown) for score in scores.values())


def main() -> None:
    """Print a table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--characters", type=int, default=CHARACTERS)
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--only", nargs="*", choices=CONTENTS, metavar="NAME")
    given = asked.parse_args()
    check = opened(Models(Home.default().path / "models"))
    ordinary = content(ORDINARY, given.characters)
    units = [_took(check, ordinary)[0] for _ in range(2)]
    print("| content | µs a character | beside prose | first: tokens a character | second | |")
    print("|---|--:|--:|--:|--:|---|")
    for name in given.only or CONTENTS:
        text = content(name, given.characters)
        took = []
        before = check.first.tokens, check.second.tokens
        for _ in range(given.rounds):
            took.append(_took(check, text))
        read = [
            (now - then) / given.rounds / len(text)
            for now, then in zip((check.first.tokens, check.second.tokens), before, strict=True)
        ]
        unit = [_took(check, ordinary)[0] for _ in range(given.rounds)]
        units += unit
        seconds, told = min(took)
        print(
            f"| {name} | {1e6 * seconds / len(text):.0f} | {seconds / len(text) / min(unit) * len(ordinary):.1f} "
            f"| {read[0]:.2f} | {read[1]:.3f} | {'' if told else 'not told'} |",
            flush=True,
        )
    print(f"\n{len(ordinary)} characters of {ORDINARY}: {statistics.median(units):.2f} s in the median")


if __name__ == "__main__":
    main()
