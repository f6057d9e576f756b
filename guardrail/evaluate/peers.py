"""Peers: other people's filters, each in a process and an environment of its own, on the same rows.

Nothing of a peer is imported here: licences and dependencies stay apart. What goes over is JSON lines.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import queue
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from blake3 import blake3
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.evaluate.judging import DIGITS, About, Seen, content
from guardrail.evaluate.rows import Row
from guardrail.policy.nodes import OnceLoader

OPEN_S = 300.0
ANSWER_S = 120.0
INSTALL_S = 1800.0
LARGEST_YAML = 1 << 16
_ADDRESSES = ("http://", "https://")
# fmt: off
_KEYS = frozenset({
    "name", "about", "licence", "accept", "looks_at", "decode", "install", "command", "options", "signals", "claims",
    "thresholds",
})
# fmt: on


@dataclass(frozen=True)
class Peer:
    """What a `peer.yaml` says. `looks_at` is "prompt" or "image"; `accept` is a licence that must be accepted."""

    name: str
    folder: Path
    about: str
    licence: str
    looks_at: str
    command: tuple[str, ...]
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    accept: str = ""
    decode: str = ""
    options: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def place(self, home: Path) -> Path:
        """Where its environment lies."""
        return home / "peers" / self.name

    def installed(self, home: Path) -> bool:
        """Whether what it needs is there; an environment of an older `peer.yaml` is not."""
        try:
            there = json.loads((self.place(home) / "installed.json").read_text("utf-8"))
        except (OSError, ValueError):
            there = None
        return not (self.pip or self.npm) or there == self.packages

    @property
    def packages(self) -> dict[str, list[str]]:
        return {"pip": list(self.pip), "npm": list(self.npm)}


def read_peer(folder: Path) -> Peer:
    """Read the `peer.yaml` of a folder. Raises ConfigError that says what is wrong."""
    file = folder / "peer.yaml"
    try:
        if file.stat().st_size > LARGEST_YAML:
            raise ConfigError(f"{file}: over {LARGEST_YAML} bytes, which no peer.yaml is")
        told = yaml.load(file.read_text("utf-8"), OnceLoader)  # noqa: S506 - a safe one, see there
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {type(error).__name__}") from None
    if not isinstance(told, dict) or set(told) - _KEYS:
        raise ConfigError(f"{file}: a mapping with the keys {', '.join(sorted(_KEYS))} is expected")
    for key in ("name", "command", "signals", "claims", "looks_at"):
        if not told.get(key):
            raise ConfigError(f"{file}: `{key}` is missing")
    if told["looks_at"] not in {"prompt", "image"}:
        raise ConfigError(f"{file}: looks_at: prompt or image is expected")
    stray = sorted({*told["claims"].values(), *(told.get("thresholds") or {})} - set(told["signals"]))
    if stray:
        raise ConfigError(f"{file}: {stray[0]!r} is claimed or has a threshold, and is not in `signals`")
    install = told.get("install") or {}
    return Peer(
        name=str(told["name"]),
        folder=folder.absolute(),
        about=str(told.get("about") or ""),
        licence=str(told.get("licence") or "none stated"),
        looks_at=told["looks_at"],
        command=tuple(map(str, told["command"])),
        pip=tuple(install.get("pip") or ()),
        npm=tuple(install.get("npm") or ()),
        accept=str(told.get("accept") or ""),
        decode=str(told.get("decode") or ""),
        options=tuple(told.get("options") or ()),
        signals=tuple(told["signals"]),
        claims=dict(told["claims"]),
        thresholds=dict(told.get("thresholds") or {}),
    )


def find_peers(folders: Sequence[Path]) -> dict[str, Peer]:
    """Every peer in these folders, by name; the first folder that has a name keeps it."""
    found: dict[str, Peer] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/peer.yaml")):
            peer = read_peer(file.parent)
            found.setdefault(peer.name, peer)
    return found


def install(peer: Peer, home: Path, *, accepted: str = "") -> None:
    """Make the peer's environment from the package indexes that pip and npm are set up for.

    Raises ConfigError where its licence was not accepted, and where the install fails.
    """
    if peer.accept and accepted != peer.accept:
        raise ConfigError(f"peer {peer.name}: its licence is {peer.licence}; say --accept {peer.accept} to install it")
    place = peer.place(home)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if peer.pip:
        venv.create(place / "venv", with_pip=True, clear=True)
        _run(peer, [_python(place), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.pip], place)
    if peer.npm:
        _run(peer, ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", *peer.npm], place)
    (place / "installed.json").write_text(json.dumps(peer.packages) + "\n", "utf-8")


def _run(peer: Peer, command: Sequence[str], place: Path) -> None:
    try:
        done = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"peer {peer.name}: {command[0]} can't be run: {type(error).__name__}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise ConfigError(f"peer {peer.name}: the install failed: {last}")


def _python(place: Path) -> str:
    own = place / "venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _adapter_digest(peer: Peer, arguments: Sequence[str]) -> str:
    """Digest of what a peer is run with: its folder, the files that its command names, and its packages."""
    digest = blake3(json.dumps(peer.packages, sort_keys=True).encode())
    named = {path for path in map(Path, arguments) if path.is_file()}
    for file in sorted({*named, *(path for path in peer.folder.rglob("*") if path.is_file())}):
        if "__pycache__" not in file.parts:
            digest.update(file.read_bytes())
    return digest.hexdigest(8)


def _options_digest(options: Mapping[str, str]) -> str:
    """Digest of a peer's options; of one that names a file, as a list of words, what the file holds counts."""
    digest = blake3()
    for name, value in sorted(options.items()):
        digest.update(json.dumps([name, value]).encode())
        if Path(value).is_file():
            digest.update(Path(value).read_bytes())
    return digest.hexdigest(8)


class PeerJudge:
    """A peer that runs. What it doesn't answer in time, or answers wrongly, could not be told, and isn't clean.

    One with an option that is an address asks a service, which may be another from one day to the next.
    """

    def __init__(self, peer: Peer, home: Path, options: Mapping[str, str] | None = None) -> None:
        """Start it. Raises ConfigError where it isn't installed, an option is missing, or it doesn't start."""
        if not peer.installed(home):
            raise ConfigError(f"peer {peer.name} is not installed: guardrail eval peers install {peer.name}")
        missing = [name for name in peer.options if name not in (options or {})]
        if missing:
            raise ConfigError(f"peer {peer.name}: --peer-option {peer.name}.{missing[0]}=VALUE is expected")
        self.peer = peer
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        place = peer.place(home)
        program, *rest = peer.command
        arguments = [str(peer.folder / one) if (peer.folder / one).is_file() else one for one in rest]
        try:
            self._process = subprocess.Popen(
                [_python(place) if program == "python" else program, *arguments],
                cwd=place if place.is_dir() else peer.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise ConfigError(f"peer {peer.name}: {program} can't be run: {error.strerror}") from None
        threading.Thread(target=self._listen, name=f"guardrail-peer-{peer.name}", daemon=True).start()
        self._send({"options": dict(options or {})})
        hello = self._receive(OPEN_S)
        if hello is None:
            self.close()
            raise ConfigError(f"peer {peer.name} did not start; run its adapter by hand to see why: {peer.folder}")
        self.about = About(
            models=tuple(map(str, hello.get("models") or ())),
            signals=frozenset(f"peer.{name}" for name in peer.signals),
            claims={factor: f"peer.{name}" for factor, name in peer.claims.items()},
            thresholds={f"peer.{name}": (float(value),) for name, value in peer.thresholds.items()},
            settings={"adapter": _adapter_digest(peer, arguments), "options": _options_digest(options or {})},
            settled=not any(value.startswith(_ADDRESSES) for value in (options or {}).values()),
        )
        self._count = 0
        self._ended = False

    def judge(self, rows: Sequence[Row]) -> list[Seen]:
        with self._lock:
            return [self._judge(row) for row in rows]

    def _judge(self, row: Row) -> Seen:
        began = time.perf_counter()
        if self.peer.looks_at == "prompt":
            asked: list[dict[str, str]] = [{"text": text} for text in row.texts]
        else:
            try:
                pictures = [self._decoded(content(one)) for one in row.outputs or row.inputs]
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                return self._blind("the picture can't be decoded", began)
            asked = [{"image": base64.b64encode(one).decode()} for one in pictures]
        if not asked:
            return self._blind(f"the row has nothing that this peer looks at ({self.peer.looks_at})", began)
        highest: dict[str, float] = {}
        untold: dict[str, str] = {}
        for one in asked:
            told = self._ask(one)
            if isinstance(told, str):
                return self._blind(told, began)
            for name, score in told.items():
                if score is None:
                    untold[name] = "the peer could not tell"
                else:
                    highest[name] = max(score, highest.get(name, 0.0))
        scores = {name: score for name, score in highest.items() if name not in untold}
        return Seen(scores, untold, (time.perf_counter() - began) * 1000.0, action="")

    def _ask(self, asked: Mapping[str, str]) -> dict[str, float | None] | str:
        self._count += 1
        if self._ended or not self._send({"id": self._count, **asked}):
            return "the peer ended"
        told = self._receive(ANSWER_S)
        if told is None or told.get("id") != self._count:
            self._ended = True
            self._process.kill()  # a late answer would be taken for that of the next row
            return "the peer gave no answer"
        if "error" in told:
            return f"the peer failed: {str(told['error'])[:100]}"
        try:
            given = {f"peer.{name}": told["scores"][name] for name in self.peer.signals}
            scores = {name: None if one is None else round(float(one), DIGITS) for name, one in given.items()}
        except (KeyError, TypeError, ValueError):
            return "the peer's answer has no score"
        if not all(score is None or 0.0 <= score <= 1.0 for score in scores.values()):
            return "the peer's score is not in [0, 1]"
        return scores

    def _blind(self, why: str, began: float) -> Seen:
        errors = dict.fromkeys(sorted(self.about.signals), why)
        return Seen({}, errors, (time.perf_counter() - began) * 1000.0, action="unscored")

    def _decoded(self, encoded: bytes) -> bytes:
        if self.peer.decode != "png":
            return encoded
        out = io.BytesIO()
        with Image.open(io.BytesIO(encoded)) as opened:
            opened.convert("RGB").save(out, "PNG", compress_level=1)
        return out.getvalue()

    def _send(self, message: Mapping[str, Any]) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def _receive(self, patience_s: float) -> dict[str, Any] | None:
        try:
            line = self._answers.get(timeout=patience_s)
            told = json.loads(line) if line else None
        except (queue.Empty, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def close(self) -> None:
        """End the peer."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
