"""Train the photo-or-drawn head, and say how well it does on sources it never saw.

    python models/medium/train.py PICTURES_FOLDER [--write]

PICTURES_FOLDER is what fetch.sh made: one folder per package. pictures.tsv says which files of it are used, by label
and source. Every figure in the card is printed by this script. Needs the `train` extra (scikit-learn).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from guardrail.inference.image.frame import Frame
from guardrail.inference.image.medium import HEAD, features

HERE = Path(__file__).parent
LABEL = "medium@1"
PHOTO_VARIANTS, DRAWN_VARIANTS = 12, 3
HIDDEN, ALPHA = 12, 1.0


def variants(image: Image.Image, count: int, chance: np.random.Generator) -> list[Frame]:
    """The picture as it is, and cropped, resized, turned grey and re-encoded alike for both labels."""
    frames = []
    for index in range(count):
        view = image
        if index:
            share = chance.uniform(0.4, 1.0, 2)
            width, height = max(96, int(view.width * share[0])), max(96, int(view.height * share[1]))
            left, top = (int(chance.uniform(0, max(1, limit))) for limit in (view.width - width, view.height - height))
            view = view.crop((left, top, min(view.width, left + width), min(view.height, top + height)))
        side = int(chance.uniform(384, 1280)) if index else 1280
        scale = min(side / max(view.size), 2.0)
        if scale < 1 or index:
            size = max(64, round(view.width * scale)), max(64, round(view.height * scale))
            view = view.resize(size, Image.Resampling.BICUBIC)
        if index and chance.random() < 0.1:
            view = view.convert("L").convert("RGB")
        if index == 0 or chance.random() < 0.75:
            written = io.BytesIO()
            view.save(written, "JPEG", quality=int(chance.integers(60, 96)) if index else 90)
            view = Image.open(written)
        frames.append(Frame(np.array(view.convert("RGBX")), scale=1.0))
    return frames


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, sources, and the picture that each row came from."""
    chance = np.random.default_rng(0)
    rows, labels, sources, pictures = [], [], [], []
    with (HERE / "pictures.tsv").open(encoding="utf-8") as listed:
        for number, (label, source, package, path) in enumerate(csv.reader(listed, delimiter="\t")):
            try:
                opened = Image.open(folder / package / path)
                opened.draft("RGB", (1600, 1600))
                image = opened.convert("RGBA")
            except (OSError, Image.DecompressionBombError) as error:
                print(f"left out {path}: {error}", file=sys.stderr)
                continue
            image.thumbnail((1600, 1600))
            shade = int(chance.choice([255, 255, 0, 128]))
            canvas = Image.new("RGB", image.size, (shade, shade, shade))
            canvas.paste(image, mask=image.getchannel("A"))
            for frame in variants(canvas, PHOTO_VARIANTS if label == "photo" else DRAWN_VARIANTS, chance):
                rows.append(features(frame))
                labels.append(label == "photo")
                sources.append(source)
                pictures.append(number)
    return np.stack(rows), np.array(labels), np.array(sources), np.array(pictures)


def fit(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[StandardScaler, MLPClassifier]:
    """Both labels weigh the same: the rarer one is repeated."""
    few, many = sorted((np.flatnonzero(labels), np.flatnonzero(~labels)), key=len)
    chance = np.random.default_rng(seed)
    taken = np.concatenate([many, chance.choice(few, len(many))])
    scaler = StandardScaler().fit(rows[taken])
    net = MLPClassifier((HIDDEN,), activation="tanh", alpha=ALPHA, max_iter=400, random_state=seed)
    return scaler, net.fit(np.clip(scaler.transform(rows[taken]), -4, 4), labels[taken])


def judge(fitted: tuple[StandardScaler, MLPClassifier], rows: np.ndarray) -> np.ndarray:
    scaler, net = fitted
    return np.asarray(net.predict_proba(np.clip(scaler.transform(rows), -4, 4))[:, 1])


def calibrate(said: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and shift of the log-odds that make held-out answers honest (Platt), both labels weighed alike."""
    odds = np.log(np.clip(said, 1e-6, 1 - 1e-6) / np.clip(1 - said, 1e-6, 1))
    fitted = LogisticRegression(class_weight="balanced", C=1e6).fit(odds[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--write", action="store_true", help="write the head into guardrail/inference/heads")
    told = asked.parse_args()
    rows, labels, sources, pictures = load(told.folder)
    out = np.full(len(rows), np.nan)
    for source in np.unique(sources):
        held = sources == source
        out[held] = judge(fit(rows[~held], labels[~held]), rows[held])
    print(f"{len(rows)} views of {len(np.unique(pictures))} pictures; each source judged by a head that never saw it")
    slope, shift = calibrate(out, labels)
    odds = np.log(np.clip(out, 1e-6, 1 - 1e-6) / np.clip(1 - out, 1e-6, 1))
    out = 1 / (1 + np.exp(-(slope * odds + shift)))
    print(f"calibrated on those answers: slope {slope:.2f}, shift {shift:.2f}")
    print(f"AUC {roc_auc_score(labels, out):.3f}")
    for source in np.unique(sources):
        for photo in (True, False):
            held = (sources == source) & (labels == photo)
            if held.any():
                right = np.mean((out[held] >= 0.5) == photo)
                count = len(np.unique(pictures[held]))
                print(f"{source:12s} {'photo' if photo else 'drawn'} {count:4d} pictures  right {right:.3f}")
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        band = (out >= low) & (out < high)
        weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
        share = (weight * labels)[band].sum() / max(weight[band].sum(), 1e-9)
        print(f"said {low:.1f}-{min(high, 1):.1f}: photographed {share:.2f} of {band.sum()} (labels weighed alike)")
    if told.write:
        scaler, net = fit(rows, labels)
        net.coefs_[-1], net.intercepts_[-1] = net.coefs_[-1] * slope, net.intercepts_[-1] * slope + shift
        layers = [[w.round(4).tolist(), b.round(4).tolist()] for w, b in zip(net.coefs_, net.intercepts_, strict=True)]
        head = {"label": LABEL, "mean": scaler.mean_.round(5).tolist(), "scale": scaler.scale_.round(5).tolist()}
        target = HERE.parents[1] / "guardrail" / "inference" / "heads" / HEAD
        target.write_text(json.dumps({**head, "layers": layers}) + "\n", encoding="utf-8")
        print(f"wrote {target}")


if __name__ == "__main__":
    main()
