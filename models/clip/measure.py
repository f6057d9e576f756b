"""What an export costs, and how far 8 bits move it: time beside fp32, cosine, and memory with the default checks.

    guardrail models export clip --model ViT-B-32 --random-weights --precision int8 --precision fp32 --out FOLDER
    python models/clip/measure.py FOLDER [--pictures FOLDER] [--memory]

fp32 and int8 take turns, so that what else the machine does meets both. Time is CPU time of one thread. `--memory`
opens every default check beside CLIP, judges one picture of 1024 pixels, and prints the resident memory (needs the
weights, `guardrail models pull`). Every figure in the card is printed by this script.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from guardrail.checks import Tools, open_check
from guardrail.home import Home
from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.image.frame import Frame
from guardrail.inference.session import open_session
from guardrail.inference.weights import Models
from guardrail.pipeline import DEFAULT_CHECKS
from guardrail.types import Artifact, Kind

ROOT = Path(__file__).parents[2]
RUNS = 40
MB = 1e6


def frames(folder: Path) -> list[Frame]:
    """The pictures of a folder at 1024 pixels, whole and in four quarters."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        whole = Image.open(path).convert("RGBX").resize((1024, 1024), Image.Resampling.BICUBIC)
        found.append(whole)
        found += [whole.crop((x, y, x + 512, y + 512)) for x in (0, 512) for y in (0, 512)]
    return [Frame(np.array(one), scale=1.0) for one in found]


def spent(run: object) -> float:
    """Milliseconds of CPU that a call takes."""
    began = time.process_time()
    run()  # type: ignore[operator]
    return (time.process_time() - began) * 1000


def costs(folder: ClipFolder, looked: list[Frame]) -> None:
    prepared = [one for frame in looked for one in folder.preprocess.inputs(frame)]
    sessions = {p: open_session(folder.graph("image", p), cautious=p == "fp16") for p in folder.precisions()}
    said: dict[str, np.ndarray] = {}
    for precision, session in sessions.items():
        name = session.get_inputs()[0].name
        rows = np.concatenate([session.run(None, {name: one})[0] for one in prepared])
        said[precision] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    taken: dict[str, list[float]] = {precision: [] for precision in sessions}
    for number in range(RUNS):
        for precision, session in sessions.items():
            name, one = session.get_inputs()[0].name, prepared[number % len(prepared)]
            taken[precision].append(spent(lambda s=session, n=name, o=one: s.run(None, {n: o})))
    ready = [spent(lambda f=frame: folder.preprocess.inputs(f)) for frame in looked[::5] for _ in range(5)]
    print(f"{folder.label()}: {len(looked)} frames")
    print(f"prepare 1024 px: {median(ready):.1f} ms median, {min(ready):.1f} least (CPU)")
    for precision, times in taken.items():
        told = f"{precision}: {median(times):.1f} ms median, {min(times):.1f} least (CPU, 1 thread, batch 1)"
        if "fp32" in said and precision != "fp32":
            cosine = (said[precision] * said["fp32"]).sum(axis=1)
            ratio, least = median(times) / median(taken["fp32"]), min(times) / min(taken["fp32"])
            told += f"; {ratio:.2f} of fp32 by median, {least:.2f} by least; cosine {cosine.min():.5f} at least"
        print(told)


def memory(folder: ClipFolder, home: Home) -> None:
    tools = Tools(Models(home.folder("models")), home.folder(), home.key)
    body = io.BytesIO()
    Image.open(ROOT / "tests/pictures/collins.jpg").resize((1024, 1024)).save(body, "JPEG")
    given = Artifact(Kind.INPUT, "image[0]", data=body.getvalue())
    opened = [open_check(name, tools) for name in DEFAULT_CHECKS]
    for check in opened:
        if Kind.INPUT in check.kinds:
            check.score([given])
        if Kind.PROMPT in check.kinds:
            check.score([Artifact(Kind.PROMPT, "prompt", text="a boat on a lake")])
    print(f"resident with {', '.join(DEFAULT_CHECKS)}: {resident():.0f} MB")
    ClipModel.open(folder.path).views(given)
    print(f"resident with CLIP {folder.precision} beside them: {resident():.0f} MB; peak {peak():.0f} MB")


def resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * resource.getpagesize() / MB


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--pictures", type=Path, default=ROOT / "tests/pictures")
    asked.add_argument("--memory", action="store_true")
    told = asked.parse_args()
    folder = ClipFolder.read(told.folder)
    if told.memory:
        memory(folder, Home.default())
    else:
        costs(folder, frames(told.pictures))


if __name__ == "__main__":
    main()
