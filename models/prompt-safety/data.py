"""Rows to train and measure on: those written here, and public prompt sets that stay outside the repository.

The public sets are read from `--shared FOLDER`: dev.jsonl.xz with fields set, text, lang, labels and kind, and
dev_names.jsonl.xz. Their labels are weak; `public` says which of them are believed.
"""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import generate

from guardrail.inference.text.lexicon import Lexicon

HERE = Path(__file__).parent
FACTORS = ("sexual", "undress", "revealing", "person", "minor")
MOST_OF_A_SET = 3000
Labels = dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """A text, its language, where it comes from, the group that is held out together, and a label per factor.

    `template` names the line of a grammar that it was made from.
    """

    text: str
    lang: str
    origin: str
    group: str
    labels: Labels
    weight: float = 1.0
    kind: str = field(default="generate")
    template: str = ""


def written(lexicon: Lexicon) -> Iterator[Row]:
    """The grammars' rows. An edit that points at nobody in words teaches the person head that, or nothing."""
    index = {name: i for i, name in enumerate(lexicon.names)}
    pointing = [index[name] for name in ("has.pronoun", "has.relation", "name.pair")]
    for row in generate.rows():
        labels: Labels = dict(row["labels"])
        if labels["undress"] and not lexicon.features(row["text"])[pointing].any():
            # Left open by its author, it is about nobody: "remove the clothes" is not about a person for that alone.
            labels["person"] = 0 if labels["person"] is None else None
        line = row["id"].rpartition("-")[0]
        yield Row(row["text"], row["lang"], "grammar", row["group"], labels, row["weight"], template=line)


PROBES = ("probe", "probe_second")


def probe() -> Iterator[Row]:
    """Rows that are measured on and never trained on."""
    for name in PROBES:
        for line in (HERE / f"{name}.txt").read_text("utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                lang, section, text = (part.strip() for part in line.split("|", 2))
                labels = generate.labels(section.replace("-", ""))
                yield Row(text, lang, name, name, labels)


def public(shared: Path, lexicon: Lexicon) -> list[Row]:
    """The public sets, at most MOST_OF_A_SET rows of each, drawn at random."""
    sets: dict[str, list[Row]] = {}
    for row in _public(shared, lexicon):
        sets.setdefault(row.origin, []).append(row)
    chance = random.Random(generate.SEED)
    return [row for rows in sets.values() for row in chance.sample(rows, min(len(rows), MOST_OF_A_SET))]


def _public(shared: Path, lexicon: Lexicon) -> Iterator[Row]:
    """The public sets, with only those labels that their texts bear out.

    A text of a harmless set that has a word of nudity, sex or revealing dress teaches nothing (None); of the harmful
    sets only rows whose text says it. Whether a child is named is read off the lexicon, in harmless sets alone.
    """
    index = {name: i for i, name in enumerate(lexicon.names)}

    def has(features: object, *names: str) -> bool:
        return any(features[index[name]] for name in names)  # type: ignore[index]

    with lzma.open(shared / "dev.jsonl.xz", "rt", encoding="utf-8") as file:
        for i, line in enumerate(file):
            raw = json.loads(line)
            name, text = raw["set"], raw["text"]
            f = lexicon.features(text)
            bare = has(f, "has.nude", "has.explicit")
            body = has(f, "has.body")
            reveal = has(f, "has.reveal", "has.through")
            labels: Labels = dict.fromkeys(FACTORS)
            group = f"{name}-{i % 997}"
            if name == "civitai_nsfw":
                if not raw["labels"].get("text_explicit"):
                    continue
                labels.update(sexual=1)
                if not has(f, "has.minor", "has.youngish", "age.minor", "age.young_word"):
                    labels["minor"] = 0
            elif name == "six_cd" and raw["labels"].get("nudity"):
                if not (bare or body):
                    continue
                labels.update(sexual=1)
            else:
                noisy = name in ("i2p", "diffusiondb_harm", "six_cd")
                if noisy and (bare or body or reveal):
                    continue
                labels["sexual"] = None if bare else 0
                labels["undress"] = None if reveal or (noisy and has(f, "has.remove")) else 0
                labels["revealing"] = None if reveal or bare else 0
                if not noisy:
                    labels["minor"] = _minor(has(f, "has.minor", "age.minor"), has(f, "has.youngish", "age.young_word"))
                someone = has(f, "has.pronoun", "has.relation", "name.pair", "name.loose", "name.style")
                if name in ("captions_nl_de_fr_dev", "coco_captions", "fashioniq_dev", "geneval", "magbig"):
                    labels["person"] = None if has(f, "name.pair") else 0
                elif name in ("i2ebench", "diffusiondb_benign", "dpg_bench"):
                    labels["person"] = None if someone else 0
            yield Row(text, raw["lang"], name, group, labels, 1.0, raw["kind"])


def _minor(named: bool, perhaps: bool) -> float | None:
    if named:
        return 1
    return None if perhaps else 0


def public_names(shared: Path, count: int = 3200) -> Iterator[Row]:
    """Public figures in short prompts; every other name is for measuring ("names_test")."""
    templates = (
        "{}", "photo of {}", "{} in a garden", "a portrait of {}, oil painting", "{} riding a bike", "foto van {}",
        "{} op het strand", "een portret van {}", "Foto von {}", "{} im Café", "photo de {}", "{} en costume",
        "foto de {}", "{} giving a speech", "put {} in a spacesuit", "{}, cinematic lighting, 4k",
        "maak een cartoon van {}",
    )  # fmt: skip
    chance = random.Random(generate.SEED)
    with lzma.open(shared / "dev_names.jsonl.xz", "rt", encoding="utf-8") as file:
        everyone = [name for line in file if " " in (name := json.loads(line)["text"])]
    chance.shuffle(everyone)
    for i, name in enumerate(everyone[:count]):
        labels: Labels = dict.fromkeys(FACTORS)
        labels.update(person=1)
        text = chance.choice(templates).format(name)
        if chance.random() < 0.25:
            text = text.lower()
        yield Row(text, "en", "names_test" if i % 2 else "names", f"name-{i}", labels, 1.5)


def everything(shared: Path, lexicon: Lexicon) -> list[list[Row]]:
    """All rows, in the order that training and verifying draw from: written here, public, the probe."""
    return [
        list(written(lexicon)),
        [*public(shared, lexicon), *public_names(shared)],
        list(probe()),
    ]
