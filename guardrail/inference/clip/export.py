"""Export: a CLIP or SigLIP model of open_clip, from a name, a checkpoint or a folder, to ONNX towers in a folder.

Needs the `export` extra (torch, open_clip_torch, onnxscript); a running guard needs none of it. Checkpoints are
strangers' files: only tensors are read from them, never code.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from guardrail.errors import ConfigError, extra
from guardrail.inference.clip.checkpoint import HUB, LOCAL, source_of
from guardrail.inference.clip.folder import FORMAT, MANIFEST, PRECISIONS, ClipFolder
from guardrail.inference.fetch import digest
from guardrail.inference.session import open_session

OPSET = 18
BATCHES = (1, 2, 5)
MOST_BATCH = 64
PARITY = 1e-4
"""Largest difference between torch and ONNX in any number of an embedding. Measured at most 2e-7 (models/clip)."""
LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99}
"""An export that moves embeddings further than this from fp32 is refused: concepts and probes would not hold."""
_EXTRA = f"{extra('export')} (PyTorch's own index has a build without CUDA)"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to export: open_clip's `model` (a name, "hf-hub:org/name" or "local-dir:FOLDER") and `pretrained` (a tag or
    a checkpoint file; None for the latter two), the licence as the operator read it, and the precisions, the first of
    which is judged with. `random` asks for weights of chance, which are good for tests and timings and nothing else.
    """

    model: str
    pretrained: str | None = None
    licence: str = "not stated"
    precisions: tuple[str, ...] = ("int8",)
    random: bool = False

    def __post_init__(self) -> None:
        unknown = [one for one in self.precisions if one not in PRECISIONS]
        if unknown or not self.precisions:
            raise ConfigError(f"precision {', '.join(unknown) or 'none'}: expected {', '.join(PRECISIONS)}")
        if self.random and self.pretrained:
            raise ConfigError("random weights and a pretrained checkpoint were both asked for; one is expected")
        if self.model.startswith((LOCAL, HUB)):
            if self.pretrained:
                raise ConfigError(f"{self.model} brings its own weights; leave --pretrained out")
        elif not self.pretrained and not self.random:
            raise ConfigError(
                f"no weights for {self.model}: expected --pretrained with a tag of open_clip or a checkpoint file"
            )


def export(wanted: Wanted, out: Path, *, say: Say = print, force: bool = False) -> ClipFolder:
    """Write the towers of a model and clip.json into the folder `out`, which appears whole or not at all.

    `say` is told each step. An export that is there already is only replaced with `force`; its concepts and probes
    belong to the old towers and go with it.

    Raises ConfigError when the extra is not installed, the weights cannot be had or read, or the graphs do not say
    what torch says.
    """
    if out.exists() and not (force and (out / MANIFEST).is_file()):
        raise ConfigError(f"{out} is there already; name another folder, or --force to replace an export")
    # What could bring code is refused before anything that could run it is loaded.
    source = {"kind": "random"} if wanted.random else source_of(wanted.model, wanted.pretrained)
    torch, open_clip = _libraries()
    say(f"loading {wanted.model}")
    model = _load(torch, open_clip, wanted, source)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        fresh = Path(scratch) / "clip"
        fresh.mkdir()
        towers = _towers(torch, open_clip, model, wanted)
        files: dict[str, dict[str, Any]] = {}
        for tower in towers:
            say(f"exporting the {tower.name} tower")
            plain = fresh / f"{tower.name}-fp32.onnx"
            parity = tower.write(torch, plain)
            say(f"{tower.name}: torch and ONNX differ by {parity:.1e} at most")
            files[tower.name] = {"fp32": _told(plain, differs=float(f"{parity:.1e}"))}
            for precision in wanted.precisions:
                if precision != "fp32":
                    made = fresh / f"{tower.name}-{precision}.onnx"
                    _convert(plain, made, precision)
                    cosine = _cosine(plain, made, tower.samples(max(BATCHES)), precision)
                    say(f"{tower.name}: {precision} has a cosine of {cosine:.5f} to fp32 at the least")
                    _enough(cosine, precision, tower.name)
                    files[tower.name][precision] = _told(made, cosine=round(cosine, 6))
        told = _manifest(model, open_clip, wanted, source, files)
        if "fp32" not in wanted.precisions:
            # The text tower keeps its own: concepts are made once, and then as exactly as can be.
            (fresh / "image-fp32.onnx").unlink()
            del files["image"]["fp32"]
        (fresh / MANIFEST).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
        made_folder = ClipFolder.read(fresh)
        if out.exists():
            out.rename(Path(scratch) / "replaced")
        fresh.rename(out)
    return ClipFolder(out, made_folder.told)


def tokenise(model: str, texts: Sequence[str]) -> NDArray[np.int64]:
    """Token ids of texts by the model's own tokenizer, (n, context length). Raises ConfigError where there is none."""
    _, open_clip = _libraries()
    try:
        return np.asarray(open_clip.get_tokenizer(model)(list(texts)), np.int64)
    except Exception as error:  # a hub client and tokenizer libraries raise classes of their own
        raise ConfigError(
            f"the tokenizer of {model} cannot be had ({type(error).__name__}); models of the SigLIP family need "
            "`pip install transformers sentencepiece` and their tokenizer from the hub or the model's folder"
        ) from error


@dataclass(frozen=True)
class _Tower:
    """One tower as torch has it, and how to feed it."""

    name: str
    module: Any
    input: str
    output: str
    example: Callable[[int, int], NDArray[Any]]

    def samples(self, count: int) -> NDArray[Any]:
        return self.example(count, 1)

    def write(self, torch: Any, path: Path) -> float:
        """Export, and give the largest difference to torch at several batch sizes."""
        example = torch.from_numpy(self.example(2, 0))
        batch = torch.export.Dim("batch", min=1, max=MOST_BATCH)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.module,
                (example,),
                str(path),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                optimize=True,
                verbose=False,
                input_names=[self.input],
                output_names=[self.output],
                dynamic_shapes=({0: batch},),
            )
        session = open_session(path)
        worst = 0.0
        for count in BATCHES:
            given = self.example(count, count)
            with torch.inference_mode():
                expected = self.module(torch.from_numpy(given)).numpy()
            (got,) = session.run([self.output], {self.input: given})
            worst = max(worst, float(np.abs(got - expected).max()))
        if not worst <= PARITY:
            raise ConfigError(
                f"the {self.name} tower: ONNX and torch differ by {worst:.1e}; at most {PARITY:.0e} is taken"
            )
        return worst


def _towers(torch: Any, open_clip: Any, model: Any, wanted: Wanted) -> list[_Tower]:
    class Image(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            return self.model.encode_image(pixels, normalize=True)

    class Text(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: Any) -> Any:
            return self.model.encode_text(tokens, normalize=True)

    height, width = _size(_preprocess(open_clip, model)["size"])
    said = open_clip.get_model_tokenize_cfg(model)
    length, vocabulary = int(said.get("context_length") or 77), int(said.get("vocab_size") or 49408)

    def pixels(count: int, seed: int) -> NDArray[Any]:
        # Noise, and every second one soft hills: 8 bits are kinder to the one than to the other.
        chance = np.random.default_rng(seed)
        found = chance.standard_normal((count, 3, height, width)).astype(np.float32)
        for row in found[::2]:
            rough = chance.standard_normal((3, 8, 8))
            for channel in range(3):
                hills = PillowImage.fromarray(rough[channel].astype(np.float32))
                row[channel] = np.asarray(hills.resize((width, height), PillowImage.Resampling.BICUBIC))
        return found

    def tokens(count: int, seed: int) -> NDArray[Any]:
        # As a tokenizer gives them: a start, words, the end (the highest id, which some towers look for), padding.
        chance = np.random.default_rng(seed)
        ids = np.zeros((count, length), np.int64)
        for row in ids:
            words = int(chance.integers(1, length - 2))
            row[0], row[words + 1] = vocabulary - 2, vocabulary - 1
            row[1 : words + 1] = chance.integers(1, vocabulary - 2, words)
        return ids

    # "embedding" would clash with the token embedding's own name in the text tower.
    return [
        _Tower("image", Image().eval(), "pixel_values", "image_embeds", pixels),
        _Tower("text", Text().eval(), "input_ids", "text_embeds", tokens),
    ]


def _libraries() -> tuple[Any, Any]:
    """torch and open_clip. Raises ConfigError, with what to install, where they are not there."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise ConfigError(f"exporting needs torch; {_EXTRA}") from error
    try:
        try:
            import_module("torchvision")
        except RuntimeError:
            # torchvision from another index than torch's cannot load its compiled operators and then fails to declare
            # these two. None of them is used here, so declaring them is enough.
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _KEPT.append(library)
        import_module("onnxscript")
        open_clip = import_module("open_clip")
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"exporting needs open_clip_torch and onnxscript ({error}); {_EXTRA}") from error
    return torch, open_clip


_KEPT: list[Any] = []
"""Operators that were declared: torch forgets them with the object."""


def _load(torch: Any, open_clip: Any, wanted: Wanted, source: dict[str, str]) -> Any:
    """The model in evaluation mode, its weights loaded as tensors only."""
    pretrained = wanted.pretrained
    if source["kind"] == "file":
        pretrained = str(Path(str(pretrained)).expanduser())
    if wanted.random:
        torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Weights that were taught with another activation load without a word and say something else.
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            model = open_clip.create_model(
                wanted.model,
                pretrained=pretrained,
                precision="fp32",
                load_weights=not wanted.random,
                pretrained_text=False,
                weights_only=True,
                require_pretrained=not wanted.random,
            )
    except Warning as error:
        raise ConfigError(
            f"{wanted.model} and {wanted.pretrained} differ in their activation; use {wanted.model}-quickgelu"
        ) from error
    except Exception as error:  # open_clip, torch and hub clients raise classes of their own
        raise ConfigError(
            f"{wanted.model} with {wanted.pretrained or 'its own weights'} cannot be loaded: "
            f"{type(error).__name__}: {_line(error)}"
        ) from error
    return model.eval()


def _preprocess(open_clip: Any, model: Any) -> dict[str, Any]:
    return dict(open_clip.get_model_preprocess_cfg(model))


def _size(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _manifest(
    model: Any, open_clip: Any, wanted: Wanted, source: dict[str, str], files: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    transform = _preprocess(open_clip, model)
    height, width = _size(transform["size"])
    bias = getattr(model, "logit_bias", None)
    resize = str(transform.get("resize_mode") or "shortest")
    interpolation = "bilinear" if transform.get("interpolation") == "bilinear" else "bicubic"
    return {
        "format": FORMAT,
        "model": wanted.model if not wanted.model.startswith(LOCAL) else f"{LOCAL}{source['name']}",
        "pretrained": source,
        "licence": wanted.licence,
        "tokenizer": _tokenizer(wanted.model),
        "made_with": {name: metadata.version(name) for name in ("torch", "open_clip_torch", "onnx", "onnxruntime")},
        "preprocess": {
            "height": height,
            "width": width,
            "mean": [float(one) for one in transform["mean"]],
            "std": [float(one) for one in transform["std"]],
            # A square that is not made of the shortest edge is always resized bicubic there.
            "interpolation": "bicubic" if resize == "shortest" and height != width else interpolation,
            "resize": resize,
            "fill": int(transform.get("fill_color") or 0),
        },
        "logit_scale": float(model.logit_scale.detach().exp()),
        "logit_bias": float(bias.detach()) if bias is not None else None,
        "space": files["image"]["fp32"]["sha256"],
        "precision": wanted.precisions[0],
        "towers": files,
    }


def _tokenizer(model: str) -> str:
    """The model as its tokenizer is found again: a folder by where it lies."""
    if not model.startswith(LOCAL):
        return model
    return f"{LOCAL}{Path(model.removeprefix(LOCAL)).expanduser().absolute()}"


def _told(path: Path, **measured: float) -> dict[str, Any]:
    return {"file": path.name, "size": path.stat().st_size, "sha256": digest(path), **measured}


def _convert(plain: Path, made: Path, precision: str) -> None:
    import onnx

    model = onnx.load(plain)
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True), made)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Shapes that the exporter noted stand in the way of the quantizer's own: "inferred and existing shape differ".
    del model.graph.value_info[:]
    products = ["MatMul", "Gemm"]
    logging.disable(logging.WARNING)  # it advises a pre-processing that the exporter has done
    try:
        quantize_dynamic(model, made, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=products)
    finally:
        logging.disable(logging.NOTSET)


def _cosine(plain: Path, made: Path, samples: NDArray[Any], precision: str) -> float:
    """The smallest cosine between both graphs' embeddings, one sample at a time."""
    first, second = open_session(plain), open_session(made, cautious=precision == "fp16")
    name = first.get_inputs()[0].name
    return min(
        float(np.sum(first.run(None, {name: one[None]})[0] * second.run(None, {name: one[None]})[0])) for one in samples
    )


def _enough(cosine: float, precision: str, tower: str) -> None:
    if not cosine >= LEAST_COSINE[precision]:
        raise ConfigError(
            f"the {tower} tower in {precision} has a cosine of {cosine:.4f} to fp32; at least "
            f"{LEAST_COSINE[precision]} is taken. Export it with --precision fp32"
        )


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
