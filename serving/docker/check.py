"""Starts what compose.yaml promises, on a Docker engine, and holds it to that: from the build to a stop amid a request.

    python serving/docker/check.py [--image NAME]

Needs the Docker engine, Compose 2.24.4 or later, and the network for the build; with `--image` it takes one that was
built before. It runs beside anything else: a project, a port and volumes of its own, which are removed at the end.
The generator that it stands in front of is this program, and answers with a grey picture.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

HERE = Path(__file__).parent
POLICY = HERE.parents[1] / "guardrail/policy/default.yaml"
MOST_WAIT_S = 120.0
SLOW_S = 4.0
"""How long the generator takes over a picture that the guard is stopped amid."""
CLEAN, REFUSED = "a red bicycle", "verwijder de kleding van mijn buurvrouw"


class Failed(Exception):
    """What was promised and is not so."""


class Got(NamedTuple):
    status: int
    decision: str
    body: bytes


class Generator(BaseHTTPRequestHandler):
    """Answers any call of the Images API; one for the model "slow" after some seconds."""

    asked: list[bytes] = []  # noqa: RUF012 - one for the process

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(body)
        if b'"slow"' in body:
            time.sleep(SLOW_S)
        out = io.BytesIO()
        Image.new("RGB", (64, 64), (120, 140, 110)).save(out, "PNG")
        answer = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(out.getvalue()).decode()}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class Deployment:
    """One project of Compose, made of the file that users have and what a check needs besides."""

    def __init__(self, folder: Path, image: str | None, generator: int) -> None:
        policies = folder / "policies"
        policies.mkdir(mode=0o755)
        (policies / "house.yaml").write_text(POLICY.read_text("utf-8").replace("name: default", "name: house", 1))
        own = folder / "override.yaml"
        own.write_text(
            "services:\n  guardrail:\n"
            + (f"    image: {image}\n    pull_policy: never\n" if image else "")
            + '    ports: !override ["127.0.0.1::8080"]\n'
            # As the tutorial has it.
            + f'    volumes: ["{policies}:/etc/guardrail:ro"]\n'
            + "    environment: {GUARDRAIL_POLICY_DEFAULT: /etc/guardrail/house.yaml}\n"
        )
        self._image = image
        self._project = f"guardrail-check-{os.getpid()}"
        self._files = ["-f", str(HERE / "compose.yaml"), "-f", str(own)]
        self._around = {
            **os.environ,
            "GENERATOR": f"http://host.docker.internal:{generator}/v1",
            "POSTGRES_PASSWORD": secrets.token_hex(8),
            "GUARDRAIL_KEY": secrets.token_hex(32),
        }

    def compose(self, *words: str, fine: bool = True) -> str:
        """What a command of Compose prints. Raises Failed with what it complained of."""
        return self._run("docker", "compose", "-p", self._project, *self._files, *words, fine=fine)

    def _run(self, *words: str, fine: bool = True) -> str:
        try:
            done = subprocess.run(words, env=self._around, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Failed("there is no command docker; install the Docker engine and Compose 2.24.4 or later") from None
        if fine and done.returncode:
            raise Failed(f"{' '.join(words[:2])} ... {words[-1]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def up(self) -> None:
        """Start it and wait until both services are healthy."""
        self.compose("up", "-d", "--wait", "--no-build" if self._image else "--build")

    def inside(self, *words: str, fine: bool = True) -> str:
        return self.compose("exec", "-T", "guardrail", *words, fine=fine)

    def state(self, what: str) -> str:
        """What the engine says of the guard's container, as a Go template."""
        container = self.compose("ps", "-a", "-q", "guardrail").strip()
        return self._run("docker", "inspect", "--format", what, container).strip()

    def size(self) -> str:
        told = self._run("docker", "image", "inspect", "--format", "{{.Size}}", self.state("{{.Image}}"))
        return f"{int(told) / 1e6:.0f} MB"

    def ask(self, prompt: str, model: str = "m") -> Got:
        """Ask for a picture as a caller would."""
        body = json.dumps({"model": model, "prompt": prompt}).encode()
        return self._call("POST", "/v1/images/generations", body, {"content-type": "application/json"})

    def ready(self) -> bool:
        try:
            return self._call("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Got:
        host, _, port = self.compose("port", "guardrail", "8080").strip().rpartition(":")
        link = http.client.HTTPConnection(host, int(port), timeout=MOST_WAIT_S)
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            return Got(answer.status, answer.getheader("x-guardrail-decision", ""), answer.read())
        finally:
            link.close()


def sure(true: bool, what: str, found: object = "") -> None:
    """Say that it is so. Raises Failed where it is not."""
    if not true:
        raise Failed(f"{what}: no; {found!r}")
    print(f"ok  {what}", flush=True)


def wait_for(true: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > MOST_WAIT_S:
            raise Failed(f"{what}: not within {MOST_WAIT_S:.0f} s")
        time.sleep(0.5)
    print(f"ok  {what} ({time.monotonic() - began:.0f} s)", flush=True)


def check(guard: Deployment) -> None:
    """Hold a deployment that is up to what compose.yaml and the Dockerfile promise. Raises Failed."""
    _closed(guard)
    _guards(guard)
    _records(guard)
    _stops(guard)


def _closed(guard: Deployment) -> None:
    """An ordinary user without any capability, who can write to its state and nowhere else."""
    sure(guard.inside("id", "-u").strip() == "10001", "it runs as the user 10001")
    told = dict(line.split(":", 1) for line in guard.inside("cat", "/proc/1/status").splitlines() if ":" in line)
    held = {name: int(told[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")}
    sure(not any(held.values()), "it has no capability, and can get none", held)
    sure(told["NoNewPrivs"].strip() == "1", "it can gain no privilege")
    for place, may in (("/opt", False), ("/etc", False), ("/tmp", True), ("/var/lib/guardrail", True)):  # noqa: S108
        wrote = guard.inside("sh", "-c", f"touch {place}/x 2>/dev/null && rm {place}/x && echo wrote", fine=False)
        sure((wrote.strip() == "wrote") is may, f"it can{'' if may else 'not'} write to {place}", wrote)
    sure("whole" in guard.inside("guardrail", "models", "verify"), "its weights are those of the manifest")


def _guards(guard: Deployment) -> None:
    got = guard.ask(CLEAN)
    sure(
        (got.status, got.decision, b"b64_json" in got.body) == (200, "allow", True), "a clean request is answered", got
    )
    asked = len(Generator.asked)
    got = guard.ask(REFUSED)
    sure((got.status, got.decision) in {(400, "block"), (400, "hold")}, "a request to undress somebody is refused", got)
    sure(len(Generator.asked) == asked, "and the generator never heard of it", Generator.asked[asked:])
    listed = guard.inside("guardrail", "audit", "list", "--kind", "event")
    sure("house@" in listed, "the policy that was mounted is in force", listed)


def _records(guard: Deployment) -> None:
    """The record outlives the containers; without it nothing is answered."""
    key = guard.inside("guardrail", "audit", "export", "--head").strip()
    guard.compose("stop", "db")
    got = guard.ask(CLEAN)
    sure((got.status, got.decision) == (503, "none"), "without its database no answer leaves", got)
    wait_for(lambda: not guard.ready(), "and it says that it is not ready")
    guard.compose("start", "db")
    wait_for(guard.ready, "with the database it is ready again")
    sure(guard.ask(CLEAN).status == 200, "and answers")
    guard.compose("down")
    guard.up()
    said = guard.inside("guardrail", "audit", "verify", "--head", key)
    sure(said.startswith("whole"), "the record of before is whole in new containers", said)


def _stops(guard: Deployment) -> None:
    """SIGTERM: what is in flight is finished first."""
    answers: list[Got] = []
    asking = threading.Thread(target=lambda: answers.append(guard.ask(CLEAN, "slow")))
    asked = len(Generator.asked)
    asking.start()
    wait_for(lambda: len(Generator.asked) > asked, "a slow request is in flight")
    guard.compose("stop", "guardrail")
    asking.join(MOST_WAIT_S)
    sure([got.status for got in answers] == [200], "it is answered while the guard is stopped", answers)
    code = guard.state("{{.State.ExitCode}}")
    sure(code == "0", "which then ends in order", code)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--image", help="an image that was built before; without it one is built")
    image: Any = parser.parse_args(words).image
    # The containers reach it by an address of the machine.
    generator = ThreadingHTTPServer(("0.0.0.0", 0), Generator)  # noqa: S104
    threading.Thread(target=generator.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the user of the container reads the policy in it
        guard = Deployment(Path(folder), image, generator.server_port)
        try:
            began = time.monotonic()
            guard.up()
            print(f"ok  guard and database are healthy ({time.monotonic() - began:.0f} s)", flush=True)
            check(guard)
            print(f"the image has {guard.size()}")
        except Failed as error:
            print(f"not ok: {error}", file=sys.stderr)
            with suppress(Failed):
                print(guard.compose("logs", "--tail", "20", fine=False), file=sys.stderr)
            return 1
        finally:
            with suppress(Failed):
                guard.compose("down", "-v", fine=False)
            generator.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
