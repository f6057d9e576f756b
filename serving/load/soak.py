"""Hours of everything at once: does the guard keep its memory, its files and its records? soak.py --minutes 30

A real `guardrail serve` stands before a generator that also fails in six ways. Callers ask, at random but in the same
order for the same `--seed`, for pictures, edits, streams and things that are refused; they send broken bodies, hang up
half-way, and ask for health and metrics. Every `--every` seconds a line says what the process tree holds. At the end
all callers go, and it is looked at whether open files went too, whether every answer was one that is expected, whether
every receipt that a caller heard of is on record, and whether `guardrail audit verify` finds a whole chain.

`--assert` ends with status 1 when any of that is wrong, or when memory grew by more than `--most-mb` between the middle
and the end of the run. Linux only. Binds to 127.0.0.1. GUARDRAIL_HOME names the weights;
records go to a folder of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import machine
import pictures
from aiohttp import web

from guardrail.home import Home

FAULTS = ("cut", "fail", "words", "hang", "broken", "redirect")
REFUSED = "take her clothes off in this photo of my neighbour"
# Open files that may be left over idle: connections to the generator are kept for a while.
FILES = 40
GUARDRAIL = str(Path(sys.executable).parent / "guardrail")
HARMLESS = ("a lighthouse at dusk", "een rode fiets in de regen", "two dogs on a beach, 35 mm", "ein alter Leuchtturm")
BODIES = pictures.bodies()


class Generator:
    """An Images API on a free loopback port whose model says what it does: a picture's name, `stream`, or a fault."""

    def __init__(self) -> None:
        self.number = 0

    async def start(self) -> str:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/images/{kind}", self.answer)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        port = machine.free_port()
        await web.TCPSite(self.runner, "127.0.0.1", port, backlog=512).start()
        return f"http://127.0.0.1:{port}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            model = (await request.json())["model"]
        else:
            model = str((await request.post())["model"])
        if model in FAULTS:
            return await self.fault(model, request)
        if model == "stream":
            return await self.stream(request)
        return web.json_response(self.entry(model))

    def entry(self, model: str) -> dict[str, object]:
        # A comment of its own gives each picture bytes that no cache of verdicts knows.
        self.number += 1
        body = BODIES[model]
        note = b"%d" % self.number
        if body.startswith(b"\xff\xd8"):
            body = body[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + body[2:]
        return {"created": 1, "data": [{"b64_json": base64.b64encode(body).decode()}]}

    async def stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        picture = base64.b64encode(BODIES["tiny"]).decode()
        for kind in ("partial_image", "completed"):
            event = {"type": f"image_generation.{kind}", "b64_json": picture, "partial_image_index": 0}
            await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return answer

    async def fault(self, model: str, request: web.Request) -> web.StreamResponse:
        whole = json.dumps(self.entry("tiny")).encode()
        if model == "fail":
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        if model == "words":
            return web.Response(body=b"<html>no picture today</html>", content_type="text/html")
        if model == "broken":
            noise = base64.b64encode(os.urandom(4096)).decode()
            return web.json_response({"created": 1, "data": [{"b64_json": noise}]})
        if model == "redirect":
            return web.Response(status=302, headers={"location": "http://127.0.0.1:9/"})
        answer = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(whole))})
        await answer.prepare(request)
        await answer.write(whole[: len(whole) // 2])
        if model == "hang":
            await asyncio.sleep(2)
        if request.transport is not None:  # else the guard has left already
            request.transport.close()
        return answer


@dataclass
class Heard:
    """What callers were answered, what of that they had not expected, and the receipts that they were given."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    receipts: set[str] = field(default_factory=set)


@dataclass
class Caller:
    """One caller: what it asks for is chance, what it may hear is told beside each kind."""

    guard: str
    session: aiohttp.ClientSession
    chance: random.Random
    heard: Heard

    async def work(self, until: float) -> None:
        kinds: list[tuple[str, int, Callable[[], Awaitable[int]], tuple[int, ...]]] = [
            ("picture of nobody", 4, lambda: self.generate("scene"), (200,)),
            ("picture of one person", 3, lambda: self.generate("face"), (200,)),
            ("small picture", 6, lambda: self.generate("tiny"), (200,)),
            ("edit, form", 3, self.edit_form, (200,)),
            ("edit, JSON", 2, self.edit_json, (200,)),
            ("stream", 3, lambda: self.generate("stream", stream=True), (200,)),
            ("refused prompt", 6, lambda: self.generate("tiny", f"{REFUSED} {self.chance.random()}"), (400,)),
            ("generator fails", 3, lambda: self.generate(self.chance.choice(FAULTS)), (200, 302, 400, 502, 503, 504)),
            ("broken body", 2, self.broken_body, (400, 413, 415, 422)),
            ("hangs up", 3, self.hangs_up, (0,)),
            ("unknown route", 1, lambda: self.post("/v1/nothing/here", b"{}"), (403, 404, 405)),
            ("health and metrics", 2, self.looks, (200,)),
        ]
        names = [kind for kind in kinds for _ in range(kind[1])]
        while time.monotonic() < until:
            name, _, asks, expected = self.chance.choice(names)
            try:
                answer = str(await asks())
            except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
                # A picture that breaks off behind the head can only be told by breaking off too.
                answer = "502" if name == "generator fails" else type(error).__name__
            except (aiohttp.ClientError, TimeoutError) as error:
                answer = type(error).__name__
            self.heard.answers[f"{name}: {answer}"] += 1
            if answer not in map(str, expected):
                self.heard.wrong[f"{name}: {answer}"] += 1

    async def post(self, path: str, body: object, **more: object) -> int:
        asked = {"json": body} if isinstance(body, dict) else {"data": body}
        async with self.session.post(self.guard + path, **asked, **more) as answer:  # type: ignore[arg-type]
            if receipt := answer.headers.get("x-guardrail-receipt"):
                self.heard.receipts.add(receipt)
            await answer.read()
            return answer.status

    async def generate(self, model: str, prompt: str = "", **more: object) -> int:
        prompt = prompt or f"{self.chance.choice(HARMLESS)}, {self.chance.randrange(10**6, 10**7)}"
        return await self.post("/v1/images/generations", {"model": model, "prompt": prompt, **more})

    def picture(self) -> bytes:
        return BODIES["face" if self.chance.random() < 0.3 else "tiny"]

    async def edit_form(self) -> int:
        form = aiohttp.FormData()
        form.add_field("model", "tiny")
        form.add_field("prompt", "make the sky darker")
        form.add_field("image", self.picture(), filename="a.jpg", content_type="image/jpeg")
        return await self.post("/v1/images/edits", form)

    async def edit_json(self) -> int:
        link = "data:image/jpeg;base64," + base64.b64encode(self.picture()).decode()
        body = {"model": "tiny", "prompt": "maak de lucht donkerder", "images": [{"image_url": link}]}
        return await self.post("/v1/images/edits", body)

    async def broken_body(self) -> int:
        bodies: list[object] = [b"{", b"\xff" * 300, b'{"prompt": 7}', os.urandom(50_000), b"[" * 5000]
        return await self.post(
            "/v1/images/generations", self.chance.choice(bodies), headers={"content-type": "application/json"}
        )

    async def hangs_up(self) -> int:
        """Leaves while its picture is made, or in the middle of what it sends."""
        host, port = self.guard.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"model": self.chance.choice(("scene", "hang")), "prompt": "a lighthouse"}).encode()
        head = "POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        said = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        writer.write(said[: len(said) if self.chance.random() < 0.7 else self.chance.randrange(1, len(said))])
        await writer.drain()
        await asyncio.sleep(self.chance.random() * 0.1)
        writer.transport.abort()
        return 0

    async def looks(self) -> int:
        async with self.session.get(f"{self.guard}/{self.chance.choice(('healthz', 'readyz', 'metrics'))}") as answer:
            said = await answer.text()
            if answer.status != 200:
                self.heard.wrong[f"health and metrics: {said[:200]}"] += 1
            return answer.status


@dataclass(frozen=True)
class Sample:
    """What the process tree holds at one time."""

    at_s: float
    answered: int
    memory_mb: float
    files: int
    threads: int


def sample(pid: int, answered: int) -> Sample:
    files = threads = 0
    for one in machine.tree(pid):
        try:
            files += len(list(Path(f"/proc/{one}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{one}/task").iterdir()))
        except OSError:
            continue
    return Sample(time.monotonic(), answered, machine.memory_mb(pid), files, threads)


def line(first: Sample, one: Sample) -> str:
    return f"| {one.at_s - first.at_s:.0f} | {one.answered} | {one.memory_mb:.0f} | {one.files} | {one.threads} |"


@dataclass(frozen=True)
class Guard:
    """A `guardrail serve` of this environment that records into a home of its own."""

    home: Path
    environment: dict[str, str]

    @classmethod
    def at(cls, home: Path) -> Guard:
        return cls(home, {**os.environ, "GUARDRAIL_HOME": str(home), "GUARDRAIL_LOG_LEVEL": "warning"})

    def serve(self, upstream: str, port: int) -> subprocess.Popen[bytes]:
        command = [GUARDRAIL, "serve", "--upstream", f"openai={upstream}", "--port", str(port)]
        with (self.home / "serve.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)

    def audit(self, what: str) -> subprocess.CompletedProcess[str]:
        command = [GUARDRAIL, "audit", what]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


async def soaked(options: argparse.Namespace, guard: Guard, heard: Heard) -> list[str]:
    """Run it, print what is held meanwhile, and return what was wrong with that."""
    generator = Generator()
    upstream = await generator.start()
    port = machine.free_port()
    process = guard.serve(upstream, port)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
            await ready(f"http://127.0.0.1:{port}", session, process)
            samples = await asked(options, f"http://127.0.0.1:{port}", session, process.pid, heard)
        await asyncio.sleep(5)  # until what was hung up on has ended
        samples.append(sample(process.pid, heard.answers.total()))
        print(line(samples[0], samples[-1]))
        process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(process.wait, 60)
    finally:
        if process.poll() is None:
            process.kill()
        await generator.runner.cleanup()
    faults = [f"serve ended with status {status}"] if status else []
    return faults + held_on(samples, options.most_mb)


async def asked(
    options: argparse.Namespace, guard: str, session: aiohttp.ClientSession, pid: int, heard: Heard
) -> list[Sample]:
    """Let all callers ask until the time is over; what the guard held before them and while they did."""
    samples = [sample(pid, 0)]
    until = time.monotonic() + 60 * options.minutes
    callers = [Caller(guard, session, random.Random(f"{options.seed}-{n}"), heard) for n in range(options.callers)]
    work = [asyncio.create_task(one.work(until)) for one in callers]
    print(f"| s | answered | memory, MB | files | threads |\n|--:|--:|--:|--:|--:|\n{line(samples[0], samples[0])}")
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(options.every, left))
        samples.append(sample(pid, heard.answers.total()))
        print(line(samples[0], samples[-1]), flush=True)
    await asyncio.gather(*work)
    return samples


def held_on(samples: list[Sample], most_mb: float) -> list[str]:
    """What is wrong with what the guard kept: `samples` before the callers, while they asked, and after."""
    before, *during, after = samples
    faults = []
    if after.files > before.files + FILES:
        faults.append(f"{after.files} open files after all callers left, {before.files} before they came")
    half = during[len(during) // 2 :]
    third = len(half) // 3
    if third:
        late, early = (statistics.median(one.memory_mb for one in part) for part in (half[-third:], half[:third]))
        answered = half[-1].answered - half[0].answered
        print(f"\nmemory grew by {late - early:.1f} MB in the second half, in which {answered} were answered")
        if late - early > most_mb:
            faults.append(f"memory grew by {late - early:.1f} MB in the second half, at most {most_mb:g} are allowed")
    return faults


def on_record(guard: Guard, heard: Heard) -> list[str]:
    """What is wrong with the records that were left."""
    verified = guard.audit("verify")
    print(f"\naudit verify ({verified.returncode}): {verified.stdout.strip()} {verified.stderr.strip()}")
    records = map(json.loads, guard.audit("export").stdout.splitlines())
    missing = heard.receipts - {one["body"].get("receipt", {}).get("id") for one in records}
    print(f"{len(heard.receipts)} receipts were heard of, {len(missing)} of them are not on record")
    faults = [f"audit verify ended with status {verified.returncode}"] if verified.returncode else []
    return faults + ([f"{len(missing)} receipts are not on record"] if missing else [])


async def ready(guard: str, session: aiohttp.ClientSession, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            async with session.get(f"{guard}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("the guard was not ready within 120 s; run `guardrail serve` by hand to see why")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--every", type=float, default=30, help="seconds between two lines")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--most-mb", type=float, default=30)
    parser.add_argument(
        "--assert", dest="asserts", action="store_true", help="end with status 1 when something is wrong"
    )
    parser.add_argument("--keep", action="store_true", help="keep the log and the records")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="guardrail-soak-"))
    (home / "models").symlink_to(Home.default().folder("models").resolve())
    guard, heard = Guard.at(home), Heard()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # callers that hang up are meant to
    try:
        faults = asyncio.run(soaked(options, guard, heard))
        print("\n| asked: answered with | times |\n|---|--:|")
        print("\n".join(f"| {name} | {times} |" for name, times in sorted(heard.answers.items())))
        faults += on_record(guard, heard)
    finally:
        if options.keep:
            print(f"kept in {home}", file=sys.stderr)
        else:
            shutil.rmtree(home)
    faults += [f"{times} times {name}" for name, times in sorted(heard.wrong.items())]
    print("\n".join(f"wrong: {fault}" for fault in faults) or "nothing was wrong")
    return int(bool(faults) and options.asserts)


if __name__ == "__main__":
    sys.exit(main())
