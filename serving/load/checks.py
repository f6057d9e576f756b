"""What each check costs: CPU milliseconds on sample prompts and pictures. `serving/load/checks.py --help`.

Every figure is the CPU time of this process, all its threads, for one call of one check on one subject that nobody has
looked at before. `alone` is the check on its own, the picture decoded: it pays for the faces it asks for. `in turn` is
the same check after those before it, as a request runs them (a pair after all that look at its two pictures): what two
checks need is paid by the first. The median of all rounds is given, with the least and the most; checks are taken in
another order in every round of `alone`, so that a drift of the machine falls on all of them.

The registry holds one person and the bank one picture, neither of them shown, so that both are really searched.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from guardrail.checks.bank import Bank, Entry
from guardrail.checks.likeness import FOLDER as REGISTRY
from guardrail.checks.likeness import KEY_PURPOSE
from guardrail.checks.person import WIDTH, Template
from guardrail.checks.registry import Registry
from guardrail.cli.generator import paint
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.weights import Models
from guardrail.pipeline import DEFAULT_CHECKS
from guardrail.pipeline.guard import open_checks
from guardrail.types import Artifact, Check, Kind, Pair

PICTURES = Path(__file__).parents[2] / "tests" / "pictures"
DECODE = "(decode)"
ALL = "all in turn"
WORDS = "a red bicycle on a stone bridge in the rain, painted "

Make = Callable[[], Artifact | Pair]


@dataclass
class Row:
    """CPU milliseconds of one check on one sample, one figure per round."""

    sample: str
    check: str
    alone: list[float] = field(default_factory=list)
    in_turn: list[float] = field(default_factory=list)


def samples(images: Sequence[tuple[str, bytes]]) -> list[tuple[str, Make]]:
    """Name and maker of each sample; a maker gives a subject that nobody has looked at.

    Each of `images` is one sample as an output; the last of them is also a pair, with itself in a warmer tint.
    """
    found: list[tuple[str, Make]] = [(f"prompt of {words} words", partial(_text, words)) for words in (10, 60)]
    for name, data in images:
        found.append((name, partial(Artifact, Kind.OUTPUT, "data[0]", data=data)))
    if images:
        name, data = images[-1]
        after = _warmer(data)
        found.append((f"pair of {name}", lambda: _pair(data, after)))
    return found


def measure(checks: Sequence[Check], subjects: Sequence[tuple[str, Make]], rounds: int) -> list[Row]:
    """One row for each sample and check that looks at it, with `rounds` figures each."""
    chance = random.Random(7)
    rows: list[Row] = []
    for name, make in subjects:
        mine = [check for check in checks if make().kind in check.kinds]
        by = {check.name: Row(name, check.name) for check in mine}
        decode, everything = Row(name, DECODE), Row(name, ALL)

        def before(subject: Artifact | Pair) -> None:
            """Of a pair, both pictures were looked at before: in a request that has happened by then."""
            for artifact in (subject.input, subject.output) if isinstance(subject, Pair) else ():
                for check in checks:
                    if artifact.kind in check.kinds:
                        check.score([artifact])

        _in_turn(mine, before, make(), None)  # the first call of a check is not its cost
        for _ in range(rounds):
            _in_turn(mine, before, make(), (by, decode, everything))
            for check in chance.sample(mine, len(mine)):
                subject = make()
                _decode(subject)
                by[check.name].alone.append(_cpu_ms(partial(check.score, [subject])))
        if make().kind is not Kind.PROMPT:
            rows.append(decode)
        rows += [*by.values(), everything]
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as a Markdown table."""
    lines = [
        "| sample | check | alone, cpu-ms (min-max) | in turn, cpu-ms (min-max) |",
        "|---|---|--:|--:|",
    ]
    return lines + [f"| {row.sample} | {row.check} | {_said(row.alone)} | {_said(row.in_turn)} |" for row in rows]


def _in_turn(
    checks: Sequence[Check],
    before: Callable[[Artifact | Pair], None],
    subject: Artifact | Pair,
    rows: tuple[dict[str, Row], Row, Row] | None,
) -> None:
    """Ask every check about one subject; `rows` are those of the checks, of decoding and of all, None to keep none."""
    before(subject)
    took = [_cpu_ms(lambda: _decode(subject)), *(_cpu_ms(partial(check.score, [subject])) for check in checks)]
    if rows is not None:
        by, decode, everything = rows
        decode.in_turn.append(took[0])
        for check, one in zip(checks, took[1:], strict=True):
            by[check.name].in_turn.append(one)
        everything.in_turn.append(sum(took))


def _cpu_ms(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000.0


def _decode(subject: Artifact | Pair) -> None:
    for artifact in (subject.input, subject.output) if isinstance(subject, Pair) else (subject,):
        if artifact.data is not None:
            try:
                picture(artifact)
            except CheckError as error:
                raise SystemExit(f"{artifact.slot}: {error}; a picture that can be read is expected") from None


def _said(figures: Sequence[float]) -> str:
    if not figures:
        return ""
    return f"{statistics.median(figures):.2f} ({min(figures):.2f}-{max(figures):.2f})"


def _text(words: int) -> Artifact:
    return Artifact(Kind.PROMPT, "prompt", text=" ".join((WORDS * words).split()[:words]))


def _pair(before: bytes, after: bytes) -> Pair:
    return Pair(Artifact(Kind.INPUT, "image[0]", data=before), Artifact(Kind.OUTPUT, "data[0]", data=after))


def _warmer(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    out = io.BytesIO()
    Image.fromarray((np.asarray(image) * np.array([1.0, 0.97, 0.9])).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def default_checks(home: Home, models: Models) -> list[Check]:
    """Every default check, over a registry and a bank that are not empty."""
    chance = np.random.default_rng(7)
    registry = Registry(home.folder() / REGISTRY, home.key(KEY_PURPOSE), model=FaceFinder(models).template_model)
    registry.enrol([Template.of(chance.normal(size=WIDTH))], label="nobody", now=datetime.now(UTC))
    Bank(home.folder() / "bank").add([Entry(pdq=chance.bytes(32).hex())], now=datetime.now(UTC))
    return open_checks(DEFAULT_CHECKS, models, home, {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--weights", type=Path, help="folder of the model weights; else those under GUARDRAIL_HOME")
    parser.add_argument("--image", action="append", default=[], metavar="NAME=FILE", help="a picture of your own")
    parser.add_argument("--md", type=Path, help="write the table here")
    options = parser.parse_args()
    images = [("painted, no face", paint("hills"))]
    images += [(f"{path.stem}, one face", path.read_bytes()) for path in sorted(PICTURES.glob("*.jpg"))]
    for name, _, file in (given.partition("=") for given in options.image):
        images.append((name, Path(file).read_bytes()))
    models = Models(options.weights or Home.default().folder("models"))
    with tempfile.TemporaryDirectory(prefix="guardrail-checks-") as folder:
        checks = default_checks(Home(Path(folder)), models)
        text = "\n".join(table(measure(checks, samples(images), options.rounds))) + "\n"
    sys.stdout.write(text)
    if options.md:
        options.md.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
