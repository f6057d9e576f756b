"""Checkpoints: strangers' files that weights come from. What could bring code is refused before anything loads it."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

from guardrail.errors import ConfigError
from guardrail.inference.fetch import digest

LOCAL, HUB = "local-dir:", "hf-hub:"
"""How open_clip names a model in a folder, and one on the hub."""
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin")


def source_of(model: str, pretrained: str | None) -> dict[str, str]:
    """Where the weights come from, with a digest where they are local; refuses files that hold more than tensors."""
    if model.startswith(LOCAL):
        folder = Path(model.removeprefix(LOCAL)).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise ConfigError(f"{folder} has no open_clip_config.json; expected the folder of an open_clip model")
        files = sorted(path for path in folder.iterdir() if path.suffix in CHECKPOINTS and path.is_file())
        if not files:
            raise ConfigError(f"{folder} holds no weights; expected open_clip_model.safetensors")
        for path in files:
            _only_tensors(path)
        parts = [f"{path.name}:{digest(path)}" for path in files]
        return {"kind": "folder", "name": folder.name, "sha256": hashlib.sha256("\n".join(parts).encode()).hexdigest()}
    if model.startswith(HUB):
        return {"kind": "hub", "name": model.removeprefix(HUB)}
    path = Path(str(pretrained)).expanduser()
    if path.is_file():
        _only_tensors(path)
        return {"kind": "file", "name": path.name, "sha256": digest(path)}
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(pretrained)) is None:
        raise ConfigError(f"there is no file {pretrained!r}, and no tag of open_clip looks like that")
    return {"kind": "tag", "name": str(pretrained)}


def _only_tensors(path: Path) -> None:
    """Refuse a checkpoint that could bring code: an unknown kind, or TorchScript. A pickle is read without its code."""
    if path.suffix not in CHECKPOINTS:
        raise ConfigError(f"{path.name}: expected a checkpoint ending in {', '.join(CHECKPOINTS)}")
    if path.suffix == ".safetensors":
        return
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ConfigError(f"{path.name} is damaged ({type(error).__name__}); fetch it again") from None
    if any(name.endswith((".py", "constants.pkl")) for name in names):
        raise ConfigError(
            f"{path.name} is TorchScript, a program and not only weights; convert it to safetensors where you trust it"
        )
