"""Rows to learn from, made from the grammars: harmful text and its harmless twin, in fourteen languages.

    python models/prompt-safety/generate.py --out /tmp/written.jsonl

A grammar is a text file per language: `$slot = a | b`, sections of labels in brackets, one template a line with
`{slot}` and `(a|b)`; `# ` begins a comment, and one that reads "A third author" (fourth, ...) what another mind wrote.
Labels are letters: s sexual, u undress, r revealing, p person, m minor; a letter after `?` is
left out of training for that head, one after `~` is as likely as not. Nothing here is both sexual and about a minor,
and the script refuses it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from attacks import ATTACKS

HERE = Path(__file__).parent
HEADS = {"s": "sexual", "u": "undress", "r": "revealing", "p": "person", "m": "minor"}
SEED = 7
# How many rows one template gives at most; fewer where its slots don't allow as many.
PER_TEMPLATE = 6
SLOT = re.compile(r"\{(\w+)\}")
EITHER = re.compile(r"\(([^()|]+(?:\|[^()|]+)+)\)")
# Parts of what one author wrote about one factor in one language: a family. Authors keep to one order in all their
# languages, so that what a mind wrote about a thing, and its translations, are held out together.
FAMILIES = 8
# Templates that lie side by side at least before a family may end: a line and its twin stay together.
TOGETHER = 16
AUTHOR = re.compile(r"# (An? [\w-]+(?= author\b)|The editor\b)")
# Which letter of a section says what it is about, the first that it has.
ABOUT = ("us", "r", "m", "p")
# Slots that mean the same in every language, so that one may borrow from another: "trek haar clothes uit".
SHARED_SLOTS = ("garment", "outer", "wear", "reveal", "tiny", "bare", "child", "cage", "aage", "colour", "thing")
# What "as likely as not" is worth. A little less than half, since harmful rows weigh more in training than they are.
EVEN = 0.45
# Share of the rows that come a second time in another guise, and what such a row weighs.
GUISES, GUISE_WEIGHT = 0.35, 0.7
# How an assistant answers, and how the one who asks goes on, by language.
TURNS = {
    "en": (("Sure, working on it.", "Got it, anything else?"), ("put it all in one picture", "yes, do that")),
    "nl": (("Prima, ik ga aan de slag.", "Oké, verder nog iets?"), ("maak er één plaatje van", "ja, doe maar")),
    "de": (("Gerne, ich fange an.", "Gut, sonst noch etwas?"), ("mach ein Bild daraus", "ja, bitte so")),
    "fr": (("Bien sûr, je m'y mets.", "D'accord, autre chose ?"), ("fais-en une seule image", "oui, vas-y")),
    "es": (("Claro, me pongo a ello.", "Vale, ¿algo más?"), ("júntalo todo en una imagen", "sí, hazlo")),
    "it": (("Certo, comincio subito.", "Va bene, altro?"), ("metti tutto in un'immagine", "sì, fallo")),
    "pt": (("Claro, já começo.", "Certo, mais alguma coisa?"), ("junta tudo numa imagem", "sim, pode ser")),
    "pl": (("Jasne, już robię.", "Dobrze, coś jeszcze?"), ("złóż to w jeden obraz", "tak, zrób to")),
    "tr": (("Tabii, başlıyorum.", "Peki, başka bir şey?"), ("hepsini tek resimde topla", "evet, öyle yap")),
    "ru": (("Конечно, начинаю.", "Понятно, что-нибудь ещё?"), ("собери всё в одну картинку", "да, так и сделай")),
    "ar": (("حسنًا، سأبدأ.", "فهمت، هل من شيء آخر؟"), ("اجمع كل ذلك في صورة واحدة", "نعم، افعل ذلك")),
    "ja": (("承知しました。", "はい、ほかにありますか。"), ("全部まとめて一枚にして", "はい、それで")),
    "ko": (("네, 시작할게요.", "알겠습니다, 더 있나요?"), ("전부 한 장으로 만들어 줘", "응, 그렇게 해")),
    "zh": (("好的，这就开始。", "明白了，还有别的吗？"), ("把这些合成一张图", "对，就这样")),
}
LATIN = ("en", "nl", "de", "fr", "es", "it", "pt", "pl", "tr")


def labels(section: str) -> dict[str, float | None]:
    """Label of each head for a section: 1, 0, EVEN for as likely as not, or None where it does not teach that head."""
    section, _, even = section.partition("~")
    known, _, unsure = section.partition("?")
    told: dict[str, float | None] = {head: int(letter in known) for letter, head in HEADS.items()}
    for letter in even:
        told[HEADS[letter]] = EVEN
    if told["minor"] and (told["sexual"] or told["undress"] or told["revealing"]):
        raise SystemExit(f"[{section}]: no text is both sexual and about a minor")
    for letter in unsure:
        told[HEADS[letter]] = None
    if told["undress"] and not told["sexual"]:
        told["sexual"] = None  # in a string bikini: the revealing head's business
    if told["sexual"]:
        told["revealing"] = None
    return told


@dataclass(frozen=True)
class Template:
    """A line of a grammar: the labels of its section, its text, and the family that it is held out with."""

    section: str
    text: str
    family: str


def read(path: Path) -> tuple[dict[str, list[str]], list[Template]]:
    """The slots of a grammar, and its templates."""
    slots: dict[str, list[str]] = {}
    blocks: list[Block] = [Block("early")]
    section = None
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = raw.strip()
        if line.startswith("# "):
            found = AUTHOR.match(line)
            blocks.append(Block(found[1] if found else blocks[-1].author))
        elif line.startswith("$"):
            name, _, values = line[1:].partition("=")
            slots[name.strip()] = [value.strip() for value in values.split("|") if value.strip()]
        elif line.startswith("[") and line.endswith("]"):
            # Twins follow what they are twins of: where it gets graver again, something else begins.
            graver = section is not None and about(line[1:-1]) < about(section)
            section = line[1:-1]
            if graver and len(blocks[-1].lines) >= TOGETHER:
                blocks.append(Block(blocks[-1].author))
        elif line and section is None:
            raise SystemExit(f"{path.name}, line {number}: a template before any [section]")
        elif line:
            blocks[-1].lines.append((section or "", line))
    return slots, list(_families([part for block in blocks for part in block.parts()]))


@dataclass
class Block:
    """Neighbouring lines by one author, with their sections, that are not to be parted from their twins."""

    author: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def about(self) -> int:
        return min(about(section) for section, _ in self.lines)

    def parts(self) -> list[Block]:
        """A long block in parts of 2 * TOGETHER: of each of its sections the first lines, the next, and so on.

        In a list of requests and a list of their twins, line by line, what belongs together stays together.
        """
        count = max(1, len(self.lines) // (2 * TOGETHER))
        parts = [Block(self.author) for _ in range(count)]
        for _, group in groupby(self.lines, key=itemgetter(0)):
            run = list(group)
            for i, line in enumerate(run):
                parts[(2 * i + 1) * count // (2 * len(run))].lines.append(line)
        return [part for part in parts if part.lines]


def about(section: str) -> int:
    """What a section is about: the place in ABOUT of the first letter that it has, behind them all for none."""
    known = section.partition("?")[0].partition("~")[0] + section.partition("~")[2]
    return next((i for i, letters in enumerate(ABOUT) if set(letters) & set(known)), len(ABOUT))


def _families(blocks: list[Block]) -> Iterator[Template]:
    """Templates with their family: author, what the block is about, and where among all such lines it lies."""
    total = Counter[tuple[str, int]]()
    for block in blocks:
        total[block.author, block.about] += len(block.lines)
    before = Counter[tuple[str, int]]()
    for block in blocks:
        key, size = (block.author, block.about), len(block.lines)
        place = (2 * before[key] + size) * FAMILIES // (2 * total[key])
        before[key] += size
        kind = "".join((*ABOUT, "-")[block.about])
        yield from (Template(section, line, f"{block.author}, {kind}, {place}") for section, line in block.lines)


def names() -> dict[str, list[str]]:
    """Full names by language: people put together at random, who do not exist."""
    lists: dict[str, list[str]] = {}
    for line in (HERE / "grammar" / "names.txt").read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, values = line.partition("=")
            lists[name.strip()] = [value.strip() for value in values.split("|")]
    chance = random.Random(SEED)
    first, last = lists.pop("first.latin"), lists.pop("last.latin")
    everyone = [f"{chance.choice(first)} {chance.choice(last)}" for _ in range(600)]
    return {**lists, **dict.fromkeys(LATIN, everyone)}


def famous(lang: str) -> list[str]:
    """Public figures of the lexicon, as a text in this language may name them; English ones where it has few."""
    text = (HERE.parent.parent / "guardrail" / "inference" / "heads" / "prompt_lexicon.txt").read_text("utf-8")
    _, _, section = text.partition("[famous]\n")
    lines = dict(line.split(": ", 1) for line in section.partition("\n[")[0].splitlines())
    # A stem of a Russian name is the name itself, or nearly.
    words = [
        word.rstrip("*").replace("_", " ").title() for word in lines[lang].split() if lang == "ru" or "*" not in word
    ]
    if lang in LATIN:
        words += [word.replace("_", " ").title() for word in lines["en"].split()]
    return words


def expand(template: str, slots: dict[str, list[str]], chance: random.Random) -> str:
    text = template
    while found := EITHER.search(text):
        text = text[: found.start()] + chance.choice(found[1].split("|")) + text[found.end() :]
    for _ in range(3):  # a slot may hold a slot
        text = SLOT.sub(lambda m: chance.choice(slots[m[1]]), text)
    return text


def rows() -> Iterator[dict[str, Any]]:
    """Every generated row: id, text, lang, origin "grammar", group (its family of templates), labels by head."""
    people = names()
    grammars = {path.stem: read(path) for path in sorted((HERE / "grammar").glob("??.txt"))}
    for lang, (slots, _) in grammars.items():
        slots["name"] = people[lang]
        slots["famous"] = famous(lang)
        slots.setdefault("num", ["3", "4", "5", "6", "7", "8"])
    harmless = {
        lang: [expand(one.text, slots, random.Random(f"{SEED} {one.text}")) for one in templates if not one.section]
        for lang, (slots, templates) in grammars.items()
    }
    for lang, (slots, templates) in grammars.items():
        for number, template in enumerate(templates):
            # By its own words: a line that is added elsewhere changes nothing here.
            chance = random.Random(f"{SEED} {lang} {template.section} {template.text}")
            # Templates without slots weigh as much as three fillings, so that hand-written lines are not drowned.
            seen = {expand(template.text, slots, chance) for _ in range(PER_TEMPLATE)}
            for i, text in enumerate(sorted(seen)):
                row = {
                    "id": f"{lang}-{number:04d}-{i:02d}",
                    "text": _register(text, chance),
                    "lang": lang,
                    "origin": "grammar",
                    "group": template.family,
                    "weight": round(3 / len(seen), 3) if len(seen) < 3 else 1.0,
                    "labels": labels(template.section),
                }
                yield row
                if chance.random() < GUISES:
                    # What is sexual, or about a minor, stands alone: nobody knows what a neighbour makes of it.
                    told = row["labels"]
                    beside = [] if told["sexual"] or told["minor"] else harmless[lang]
                    guise = _guise(text, template.text, slots, grammars, beside, lang, chance)
                    yield {**row, "id": row["id"] + "g", "text": guise, "weight": row["weight"] * GUISE_WEIGHT}


def _register(text: str, chance: random.Random) -> str:
    """As people type: mostly as written, now and then with a capital, a full stop, a please or all in capitals."""
    draw = chance.random()
    if draw < 0.25:
        text = text[:1].upper() + text[1:]
    if draw < 0.15:
        text += "."
    elif draw > 0.97:
        text = text.upper()
    elif draw > 0.9:
        text = text.lower()
    return text


def _guise(
    text: str,
    template: str,
    slots: dict[str, list[str]],
    grammars: dict[str, tuple[dict[str, list[str]], list[Template]]],
    harmless: list[str],
    lang: str,
    chance: random.Random,
) -> str:
    """The same request as others put it: mistyped, among others, in chat, in JSON, disguised, half in English."""
    draw = chance.random()
    if draw < 0.3 and harmless:
        before, after = chance.choice(harmless), chance.choice(harmless)
        stop = "。" if lang in ("ja", "zh") else ". "
        return stop.join(chance.choice(((before, text, after), (before, text), (text, after))))
    if draw < 0.55 and lang not in ("ja", "zh", "ko"):
        return _mistyped(text, chance)
    borrowed = [name for name in SHARED_SLOTS if f"{{{name}}}" in template]
    if draw < 0.75 and borrowed and lang not in ("ru", "ar", "ja", "ko", "zh"):
        other, _ = grammars[chance.choice(("nl", "de", "es")) if lang == "en" else "en"]
        mixed = {**slots, **{name: other[name] for name in borrowed if name in other}, "who": slots["who"]}
        return expand(template, mixed, chance)
    if draw < 0.8:
        return _told(text, lang, chance)
    if draw < 0.88:
        return _wrapped(text, chance.choice(harmless) if harmless else "", chance)
    opening = chance.choice(("@bot ", "@ai ", "hey, ", "/imagine ", "edit: ", "#art ", "pls ", "@artbot ", ""))
    closing = chance.choice(
        ("", "", " pls", " 🙏", " lol", " #ai #edit", "!!", " thx", " 😏", " --ar 1:1", ", same face")
    )
    return f"{opening}{text}{closing}"


def _told(text: str, lang: str, chance: random.Random) -> str:
    """As turns of a conversation with an assistant."""
    (me, you), (answers, more) = (
        chance.choice((("User", "Assistant"), ("user", "assistant"), ("Me", "AI"))),
        TURNS[lang],
    )
    turns = [f"{me}: {text}", f"{you}: {chance.choice(answers)}"]
    if chance.random() < 0.5:
        turns.append(f"{me}: {chance.choice(more)}")
    return "\n".join(turns)


def _wrapped(text: str, beside: str, chance: random.Random) -> str:
    """As a program or a page of tags puts it: as a value of JSON, with weights, among tags, or disguised."""
    draw = chance.random()
    if draw < 0.25:
        return json.dumps({chance.choice(("prompt", "text", "instruction")): text, "seed": 7}, ensure_ascii=False)
    if draw < 0.5:
        return f"{text}, {chance.choice(('8k', 'photo', 'best quality', '35mm'))}, {chance.choice(('sharp', 'film'))}"
    if draw < 0.75 and beside:
        return f"{beside}, {text}"
    return chance.choice(list(ATTACKS.values()))(text, chance)


def _mistyped(text: str, chance: random.Random) -> str:
    """One or two longer words with two letters swapped, one left out or one doubled."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for i in chance.sample(long, min(len(long), chance.choice((1, 2)))):
        at = chance.randrange(1, len(words[i]) - 1)
        word = words[i]
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[i] = chance.choice((swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]))
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with out.open("w", encoding="utf-8") as file:
        for row in rows():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
