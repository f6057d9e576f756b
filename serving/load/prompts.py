"""What one prompt costs the prompt check: CPU milliseconds, and how often its second encoder is asked.

    python serving/load/prompts.py [--file NAME=FILE ...] [--take 200] [--rounds 1]

Without `--file`, the lines of models/prompt-safety/probe.txt and probe_second.txt, harmful and harmless apart, and made
captions. A FILE of your own has a prompt a line, or JSON lines with a `text`. Each prompt is judged alone, in an order
that is the same every time; 20 are judged before the clock runs. The weights are those of GUARDRAIL_HOME.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from guardrail.checks.prompt import SECOND, TOKENIZER, WEIGHTS, PromptSafety
from guardrail.home import Home
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.gazetteer import Gazetteer, packaged_names
from guardrail.inference.text.prompts import PromptReader, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, packaged_second
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Check, Kind

PROBES = Path(__file__).parents[2] / "models" / "prompt-safety"
WARM = 20

_WHO = {
    "en": ("an old fisherman", "a red bicycle", "two dogs", "a lighthouse", "a woman with an umbrella"),
    "nl": ("een oude visser", "een rode fiets", "twee honden", "een vuurtoren", "een vrouw met een paraplu"),
    "de": ("ein alter Fischer", "ein rotes Fahrrad", "zwei Hunde", "ein Leuchtturm", "eine Frau mit Schirm"),
    "fr": ("un vieux pêcheur", "un vélo rouge", "deux chiens", "un phare", "une femme au parapluie"),
}
_WHERE = {
    "en": ("on a stone bridge", "in a quiet harbour", "under bare trees", "beside a tiled wall", "in heavy rain"),
    "nl": ("op een stenen brug", "in een stille haven", "onder kale bomen", "naast een betegelde muur", "in de regen"),
    "de": ("auf einer Steinbrücke", "in einem stillen Hafen", "unter kahlen Bäumen", "neben einer Wand", "im Regen"),
    "fr": ("sur un pont de pierre", "dans un port calme", "sous des arbres nus", "près d'un mur", "sous la pluie"),
}
_HOW = ("watercolour", "35 mm photograph", "oil on canvas", "isometric render", "charcoal sketch", "long exposure")
_LIGHT = ("soft morning light", "golden hour", "overcast", "neon reflections", "high detail", "muted colours")


def captions(seed: int) -> Iterator[str]:
    """Harmless captions in four languages without end, as people write them: who, where, how, in what light."""
    chance = random.Random(seed)
    while True:
        language = chance.choice(("en", "nl", "de", "fr"))
        scene = f"{chance.choice(_WHO[language])} {chance.choice(_WHERE[language])}"
        tail = chance.sample((*_HOW, *_LIGHT), chance.randrange(4))
        yield ", ".join([scene, *tail])


def probes() -> dict[str, list[str]]:
    """The lines of both probe files, those without a label apart."""
    found: dict[str, list[str]] = {"probe, harmless": [], "probe, harmful": []}
    for name in ("probe.txt", "probe_second.txt"):
        for line in (PROBES / name).read_text("utf-8").splitlines():
            parts = [part.strip() for part in line.split("|", 2)]
            if not line.startswith("#") and len(parts) == 3:
                found["probe, harmless" if parts[1] == "-" else "probe, harmful"].append(parts[2])
    return found


def texts_of(file: Path) -> list[str]:
    """A prompt a line, or the `text` of JSON lines."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [json.loads(line)["text"] for line in lines] if file.suffix == ".jsonl" else lines


class Counting(SecondEncoder):
    """The second encoder, and how often it was asked about something."""

    asked = 0

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += 1
        return super().embed(texts)


def opened(home: Path) -> tuple[PromptSafety, Counting | None]:
    """The prompt check as it is opened, with the packaged names, and its second encoder where its weights are there."""
    models = Models(home / "models")
    encoder = TextEncoder(models.session(WEIGHTS), models.path(WEIGHTS, "sp.model"))
    second = Counting(models.session(SECOND), models.path(SECOND, TOKENIZER)) if models.has(SECOND) else None
    check = PromptSafety(
        PromptReader(encoder, packaged_lexicon()),
        packaged_heads(),
        models.label(WEIGHTS),
        second=packaged_second(second) if second else None,
        names=Gazetteer(packaged_names()),
    )
    return check, second


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of each prompt of a group, and for how many the second encoder was asked."""

    group: str
    words: float
    cpu_ms: list[float]
    asked: int


def measure(check: Check, second: Counting | None, group: str, texts: Sequence[str], rounds: int = 1) -> Cost:
    """Judge each text alone, `rounds` times; the least of the rounds counts, since neighbours only ever add."""
    for text in texts[:WARM]:
        _judge(check, text)
    least: list[float] = []
    asked = 0
    for text in texts:
        before = second.asked if second else 0
        took = [_judge(check, text) for _ in range(rounds)]
        least.append(min(took))
        asked += bool(second and second.asked > before)
    return Cost(group, statistics.median(len(text.split()) for text in texts), least, asked)


def _judge(check: Check, text: str) -> float:
    began = time.process_time()
    check.score([Artifact(Kind.PROMPT, "prompt", text=text)])
    return (time.process_time() - began) * 1000.0


def line(cost: Cost) -> str:
    """A row of the table."""
    n = len(cost.cpu_ms)
    return (
        f"| {cost.group} | {n} | {cost.words:g} | {np.median(cost.cpu_ms):.1f} | {np.mean(cost.cpu_ms):.1f} "
        f"| {np.quantile(cost.cpu_ms, 0.95):.1f} | {100 * cost.asked / n:.0f} % |"
    )


def main() -> None:
    """Print a table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--file", action="append", default=[], metavar="NAME=FILE")
    asked.add_argument("--take", type=int, default=200)
    asked.add_argument("--rounds", type=int, default=1)
    told = asked.parse_args()
    if told.file:
        groups = {name: texts_of(Path(file)) for name, _, file in (one.partition("=") for one in told.file)}
    else:
        made = captions(7)
        groups = {"captions": [next(made) for _ in range(told.take)], **probes()}
    check, second = opened(Home.default().path)
    print("| prompts | n | words | median cpu-ms | mean | 95 % below | second encoder asked |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, texts in groups.items():
        chosen = random.Random(7).sample(texts, min(told.take, len(texts)))
        print(line(measure(check, second, name, chosen, told.rounds)), flush=True)


if __name__ == "__main__":
    main()
