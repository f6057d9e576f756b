"""The real openai packages against a running guard: real dialect, policy and audit log, scripted generator.

Checks are the only stand-ins: "forbidden" in a text and the bytes BAD in a picture are what they find.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from guardrail.audit import AuditLog
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings, Upstream, build_app
from guardrail.server.process import Server, listen
from guardrail.types import Kind
from guardrail.upstream.openai import OpenAIImages
from tests.server import upstream as script
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.stand_ins import Asks

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
POLICY = """
version: 1
name: conformance
on_unknown: hold
rules:
  - id: bad-words
    when: {prompt.sexual: 0.5}
    action: block
    says: a word that is refused
  - id: bad-input
    when: {input.known: 0.5}
    action: block
    says: a picture that is refused
  - id: bad-output
    when: {output.known: 0.5}
    action: block
    says: a picture that is refused
"""


def png(colour: int, tail: bytes = b"") -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (16, 16), (colour, 80, 120, 255)).save(out, "PNG")
    return out.getvalue() + tail


GOOD, OTHER, BAD, MASK = png(10), png(20), png(30, b"BAD"), png(40)


def sha(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def play(heard: Heard) -> Script:
    """What the generator answers in each scenario; the scenario is the model that was asked for."""
    if heard.target == "/v1/models":
        return script.whole(b'{"object":"list","data":[{"id":"m-1","object":"model","created":1,"owned_by":"x"}]}')
    name = scenario_of(heard)
    kind = "image_edit" if "edit" in name else "image_generation"
    partial = script.event(f"{kind}.partial_image", OTHER, partial_image_index=0)
    done = script.event(f"{kind}.completed", GOOD)
    scripts = {
        "output-refused": script.images(BAD),
        "output-one-of-two": script.images(GOOD, BAD),
        "generate": script.images(GOOD, OTHER),
        "generate-async": script.images(GOOD, OTHER),
        "stream": script.events([partial[:100], partial[100:], done]),
        "edit-stream": script.events([partial + done]),
        "stream-refused": script.events(
            [partial, script.event(f"{kind}.partial_image", BAD, partial_image_index=1), done]
        ),
        "stream-cut": script.events([partial, 0.3], finish=False),
        "busy": script.too_many(),
        "html": script.html(),
    }
    return scripts.get(name, script.images(GOOD))


def scenario_of(heard: Heard) -> str:
    if heard.headers.get("content-type", "").startswith("application/json"):
        return str(json.loads(heard.body)["model"])
    head = heard.body.partition(b'name="model"\r\n\r\n')[2]
    return head.partition(b"\r\n")[0].decode()


@dataclass
class Saw:
    """What one client saw, what the generator heard, and what stands in the record."""

    version: str
    results: dict[str, Any]
    heard: list[Heard]
    calls: Counter[str]
    refusals: int
    faults: list[Any]


@pytest.fixture(scope="module", params=["openai3", "openai2"])
def saw(request, tmp_path_factory) -> Saw:
    python = ROOT / f".venv-{request.param}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no {python.parent.parent.name}; `make clients` makes it")
    folder = tmp_path_factory.mktemp(request.param)
    for name, data in (("good", GOOD), ("other", OTHER), ("bad", BAD), ("mask", MASK)):
        (folder / f"{name}.png").write_bytes(data)
    (folder / "policy.yaml").write_text(POLICY)
    words = Asks(lambda text: {"sexual": float("forbidden" in text.text)}, ["sexual"], [Kind.PROMPT], "words")
    bytes_seen = Asks(lambda one: {"known": float(b"BAD" in one.data)}, ["known"], [Kind.INPUT, Kind.OUTPUT], "marks")
    metrics = Metrics()
    url, key = f"sqlite:///{folder / 'audit.db'}", b"k" * 32
    audit = AuditLog.open(url, key)
    guard = Guard(
        [words, bytes_seen],
        PolicyBook.open(folder / "policy.yaml"),
        digest_key=b"d" * 32,
        audit=audit,
        observer=metrics,
    )
    with ScriptedUpstream() as generator:
        generator.script = play
        app = build_app(guard, {"openai": Upstream(OpenAIImages(), generator.url + "/v1")}, ServerSettings(), metrics)
        server = Server(app, listen("127.0.0.1", 0), drain_s=5)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            done = subprocess.run(
                [python, Path(__file__).parent / "client.py", f"http://127.0.0.1:{server.address[1]}/v1", folder],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        finally:
            server.stop()
            thread.join(20)
        said = json.loads(done.stdout)
        calls = Counter(scenario_of(heard) for heard in generator.calls if heard.method == "POST")
        refused = metrics.registry.get_sample_value(
            "guardrail_requests_total", {"route": "generations", "decision": "block", "status": "400"}
        )
        from guardrail.audit import verify

        faults = list(verify(url, key))
        return Saw(said["version"], said["results"], generator.calls, calls, int(refused or 0), faults)


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw.version in {"3.54.0", "2.54.0"}


@pytest.mark.parametrize("scenario", ["generate", "generate-async"])
def test_generate_brings_every_picture_with_one_call(saw, scenario):
    entries = saw.results[scenario]["entries"]
    assert [entry["sha256"] for entry in entries] == [sha(GOOD), sha(OTHER)]
    assert saw.calls[scenario] == 1


@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [("edit-one", [GOOD]), ("edit-several", [GOOD, OTHER]), ("edit-mask", [GOOD, MASK]), ("variation", [GOOD])],
)
def test_edits_and_variations_reach_the_generator_whole(saw, scenario, pictures):
    assert [entry["sha256"] for entry in saw.results[scenario]["entries"]] == [sha(GOOD)]
    assert saw.calls[scenario] == 1
    body = next(heard.body for heard in saw.heard if heard.method == "POST" and scenario_of(heard) == scenario)
    assert all(picture in body for picture in pictures)


def test_a_clean_answer_carries_the_receipt(saw):
    headers = saw.results["generate-headers"]["headers"]
    assert headers["x-guardrail-decision"] == "allow"
    assert headers["x-guardrail-checked"] == "prompt=1/1, output=1/1"
    assert headers["x-guardrail-policy"].startswith("conformance@")
    assert headers["x-guardrail-receipt"]


@pytest.mark.parametrize(("scenario", "kind"), [("stream", "image_generation"), ("edit-stream", "image_edit")])
def test_a_stream_brings_previews_and_the_picture(saw, scenario, kind):
    assert saw.results[scenario]["events"] == [
        {"type": f"{kind}.partial_image", "sha256": sha(OTHER)},
        {"type": f"{kind}.completed", "sha256": sha(GOOD)},
    ]
    assert saw.calls[scenario] == 1


@pytest.mark.parametrize(
    ("scenario", "rule", "calls"),
    [
        ("prompt-refused", "bad-words", 0),
        ("prompt-refused-stream", "bad-words", 0),
        ("prompt-refused-edit", "bad-words", 0),
        ("input-refused", "bad-input", 0),
        ("input-refused-second", "bad-input", 0),
        ("mask-refused", "bad-input", 0),
        ("output-refused", "bad-output", 1),
    ],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(saw, scenario, rule, calls):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert "request was rejected as a result of the safety system" in error["message"]
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert error["request_id"]
    assert error["request_id"] in error["message"]
    assert saw.calls[scenario] == calls


def test_refused_generations_were_asked_for_once_each(saw):
    # prompt-refused, prompt-refused-stream, output-refused: a client that retries would be seen here.
    assert saw.refusals == 3


def test_one_bad_picture_of_two_leaves_its_neighbour(saw):
    good, bad = saw.results["output-one-of-two"]["entries"]
    assert good["sha256"] == sha(GOOD)
    assert bad["sha256"] is None
    assert bad["error"]["code"] == "moderation_blocked"
    assert saw.calls["output-one-of-two"] == 1


def test_a_refusal_in_the_middle_of_a_stream_is_raised(saw):
    result = saw.results["stream-refused"]
    assert [event["sha256"] for event in result["events"]] == [sha(OTHER)]
    assert (result["error"]["class"], result["error"]["code"]) == ("APIError", "moderation_blocked")


def test_a_stream_that_is_cut_is_raised(saw):
    result = saw.results["stream-cut"]
    assert len(result["events"]) == 1
    assert result["error"]["class"] == "APIError"
    assert result["error"]["code"] == "upstream_error"


@pytest.mark.parametrize(
    ("scenario", "name", "status"),
    [("busy", "RateLimitError", 429), ("html", "InternalServerError", 502), ("closed", "NotFoundError", 404)],
)
def test_faults_arrive_as_the_class_that_callers_handle(saw, scenario, name, status):
    error = saw.results[scenario]["error"]
    assert (error["class"], error["status"]) == (name, status)
    assert saw.calls[scenario] == (scenario != "closed")


def test_routes_without_pictures_pass(saw):
    assert saw.results["models"] == {"models": ["m-1"]}


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
