"""The real fal-client against a running guard, over TLS, in front of a scripted fal."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from guardrail.upstream.dialect import Setup
from guardrail.upstream.fal import Fal
from tests.conformance.cases import case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, run_client, sha
from tests.over_tls import certificate
from tests.server import upstream as script
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.upstream.asking import Store

DOOR = "fal"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

CDN = "https://v3.fal.media/files/"
HOSTED = {
    f"{CDN}good.png": GOOD,
    f"{CDN}other.png": OTHER,
    f"{CDN}bad.png": BAD,
    f"{CDN}page": b"<html><body>no picture</body></html>",
}
WORDS = ["word-prompt", "word-negative", "word-unknown", "word-nested", "word-queue"]
PICTURES = [
    "picture-image",
    "picture-second",
    "picture-mask",
    "picture-nested",
    "picture-address",
    "picture-queue",
]
FLAGGED = "The content could not be processed because it contained material flagged by a content checker."


def inline(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def image(url: str) -> dict[str, Any]:
    return {"url": url, "content_type": "image/png", "file_name": "out.png", "width": 16, "height": 16}


def made(*urls: str, **more: Any) -> dict[str, Any]:
    return {
        "images": [image(url) for url in urls],
        "seed": 7,
        "has_nsfw_concepts": [False] * len(urls),
        "prompt": "a red bicycle",
        **more,
    }


MADE = {
    "run-two": made(f"{CDN}good.png", f"{CDN}other.png"),
    "run-data-url": made(inline(GOOD)),
    "run-one": {"image": image(f"{CDN}good.png"), "seed": 7},
    "output": made(f"{CDN}bad.png"),
    "output-data-url": made(inline(BAD)),
    "output-one": {"image": image(f"{CDN}bad.png"), "seed": 7},
    "output-elsewhere": made(f"{CDN}good.png", debug={"steps": [f"{CDN}bad.png"]}),
    "output-queue": made(f"{CDN}bad.png"),
    "output-one-of-two": made(f"{CDN}good.png", f"{CDN}bad.png"),
}


def told(*results: dict[str, Any]) -> list[script.Step]:
    return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in results]


STREAMS = {
    "stream": told(made(inline(GOOD)), made(inline(OTHER))),
    "stream-address": told(made(inline(GOOD)), made(f"{CDN}other.png")),
    "output-stream": told(made(inline(GOOD)), made(inline(BAD)), made(inline(OTHER))),
    "output-stream-address": told(made(inline(GOOD)), made(f"{CDN}bad.png")),
}


def name_of(heard: Any) -> str:
    return str(heard.headers.get("x-scenario", ""))


def job_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


class Vendor:
    """Answers as fal does, on its two hosts."""

    def __init__(self) -> None:
        self.polls: dict[str, int] = {}

    def __call__(self, heard: Heard) -> Script:
        path, name = heard.target.partition("?")[0], name_of(heard)
        if name == "invalid":
            detail = [{"loc": ["body", "image_size"], "msg": "unexpected value", "type": "value_error.const"}]
            return script.whole(json.dumps({"detail": detail}).encode(), "422 Unprocessable Entity")
        if path.endswith("/stream"):
            return script.events(STREAMS[name])
        if path.endswith("/cancel"):
            return script.whole(b'{"status":"CANCELLATION_REQUESTED"}', "202 Accepted")
        if path.endswith("/status"):
            return script.whole(json.dumps(self._status(name)).encode())
        if "/requests/" in path:
            return script.whole(json.dumps(self.made(name), indent=1).encode())
        if heard.headers.get("x-fal-queue") or name in QUEUED:
            return script.whole(json.dumps({**self._at(name), "status": "IN_QUEUE", "queue_position": 0}).encode())
        return script.whole(json.dumps(self.made(name), indent=1).encode())

    def made(self, name: str) -> dict[str, Any]:
        return MADE.get(name, made(f"{CDN}good.png"))

    def _at(self, name: str) -> dict[str, str]:
        base = f"https://queue.fal.run/fal-ai/flux/requests/{job_of(name)}"
        return {
            "request_id": job_of(name),
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def _status(self, name: str) -> dict[str, Any]:
        polls = self.polls[name] = self.polls.get(name, 0) + 1
        if polls == 1:
            return {**self._at(name), "status": "IN_QUEUE", "queue_position": 0}
        if polls == 2:
            return {**self._at(name), "status": "IN_PROGRESS", "logs": [{"message": "step 1", "level": "INFO"}]}
        return {**self._at(name), "status": "COMPLETED", "logs": [], "metrics": {"inference_time": 0.5}}


QUEUED = {"subscribe", "queued", "cancelled", "webhook", "word-queue", "picture-queue", "output-queue"}


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def saw(tmp_path_factory, port) -> Saw:
    folder: Path = tmp_path_factory.mktemp("fal")
    (folder / "site.pem").write_bytes(certificate())
    (folder / "tls.txt").write_text(str(port))
    with ScriptedUpstream() as queue:
        vendor = Vendor()
        queue.script = vendor
        dialect = Fal.open(Setup(public_url=f"https://127.0.0.1:{port}", options={"queue_url": queue.url}))
        saw = run_client(folder, "fal", "fal_client.py", dialect, vendor, name_of, fetch=Store(HOSTED).fetch)
        saw.heard.extend(queue.calls)
        return saw


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [
        ("run", [GOOD]),
        ("run-two", [GOOD, OTHER]),
        ("run-data-url", [GOOD]),
        ("run-one", [GOOD]),
        ("run-edit", [GOOD]),
        ("run-address", [GOOD]),
        ("run-again", [GOOD]),
        ("subscribe", [GOOD]),
        ("queued", [GOOD]),
    ],
)
def test_what_was_made_arrives_through_the_guard(saw, port, scenario, pictures):
    there = "data" if scenario == "run-data-url" else f"127.0.0.1:{port}"
    assert saw.results[scenario]["images"] == [{"sha256": sha(one), "at": there} for one in pictures]


@case("clean")
def test_a_request_is_queued_polled_fetched_and_cancelled_through_the_guard(saw, port):
    result = saw.results["queued"]
    assert (result["seen"], result["hosts"]) == (["Queued", "InProgress", "Completed"], [f"127.0.0.1:{port}"])
    assert result["again"]["images"] == result["images"]
    assert saw.results["cancelled"] == {"id": job_of("cancelled")}


@case("clean")
def test_a_clean_answer_arrives_byte_for_byte(saw):
    (asked,) = saw.tries("run-data-url")
    assert asked.answer == json.dumps(MADE["run-data-url"], indent=1).encode()


@case("stream")
@pytest.mark.parametrize("scenario", ["stream", "stream-address"])
def test_a_stream_arrives_with_its_pictures(saw, scenario):
    events = saw.results[scenario]["events"]
    assert [[one["sha256"] for one in event["images"]] for event in events] == [[sha(GOOD)], [sha(OTHER)]]


@case("words", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", WORDS)
def test_a_word_in_any_field_is_refused_once_and_never_reaches_the_generator(saw, scenario):
    _refused(saw, scenario, "bad-words")
    assert saw.sent(scenario) == []


@case("input", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", PICTURES)
def test_a_bad_picture_in_any_field_is_refused_once_and_never_reaches_the_generator(saw, scenario):
    _refused(saw, scenario, "bad-input")
    assert saw.sent(scenario) == []


@case("output", "refusal")
@pytest.mark.parametrize("scenario", ["output", "output-data-url", "output-one"])
def test_a_bad_picture_in_any_channel_is_refused_once(saw, scenario):
    _refused(saw, scenario, "bad-output")


@case("output", "refusal")
def test_a_bad_result_of_the_queue_is_refused_where_it_is_fetched(saw):
    result = saw.results["output-queue"]
    assert (result["class"], result["status"], result["type"]) == (
        "FalClientHTTPError",
        422,
        "content_policy_violation",
    )


@case("output")
def test_one_bad_picture_of_two_is_replaced_and_said_so(saw):
    result = saw.results["output-one-of-two"]
    assert result["images"][0]["sha256"] == sha(GOOD)
    assert result["images"][1]["sha256"] != sha(BAD)
    assert result["nsfw"] == [False, True]
    assert saw.results["output-elsewhere"]["images"][0]["sha256"] == sha(GOOD)


@case("output", "stream")
@pytest.mark.parametrize("scenario", ["output-stream", "output-stream-address"])
def test_a_bad_picture_ends_a_stream(saw, scenario):
    first, last = saw.results[scenario]["events"]
    assert [one["sha256"] for one in first["images"]] == [sha(GOOD)]
    assert last["images"] == []
    assert last["detail"][0]["type"] == "content_policy_violation"


@case("output")
def test_not_one_byte_of_a_bad_picture_arrives(saw):
    assert saw.leaked() == []


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    assert {heard.headers.get("authorization") for heard in saw.heard} == {"Key id:s3cret"}


@case("caller")
def test_switches_are_clamped(saw):
    (heard,) = saw.sent("switched-off")
    given = json.loads(heard.body)
    assert (given["enable_safety_checker"], given["safety_tolerance"]) == (True, "2")


@case("caller")
def test_a_picture_by_address_goes_on_as_what_was_judged(saw):
    (heard,) = saw.sent("run-address")
    assert json.loads(heard.body)["image_urls"] == [inline(GOOD)]


@case("caller")
def test_a_webhook_leads_to_the_guard(saw, port):
    (heard,) = saw.sent("webhook")
    (hook,) = parse_qs(urlsplit(heard.target).query)["fal_webhook"]
    assert hook.startswith(f"https://127.0.0.1:{port}/guardrail/hooks/")
    assert "client.example" not in heard.target


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "status", "kind"),
    [
        ("lora", 400, "unjudged_weights"),
        ("lora-name", 400, "unjudged_weights"),
        ("no-picture", 400, "invalid_image"),
        ("unknown", 404, "unknown_job"),
    ],
)
def test_what_nobody_can_judge_is_refused_with_a_reason(saw, scenario, status, kind):
    result = saw.results[scenario]
    assert (result["class"], result["status"], result["type"]) == ("FalClientHTTPError", status, kind)
    assert len(saw.tries(scenario)) == 1
    assert saw.sent(scenario) == []


@case("fault")
def test_an_error_of_the_generator_arrives_as_it_is(saw):
    result = saw.results["invalid"]
    assert (result["status"], result["detail"][0]["loc"]) == (422, ["body", "image_size"])


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []


def _refused(saw: Saw, scenario: str, rule: str) -> None:
    result = saw.results[scenario]
    assert (result["class"], result["status"]) == ("FalClientHTTPError", 422)
    assert result["type"] == "content_policy_violation"
    (detail,) = result["detail"]
    assert (detail["type"], detail["ctx"]["extra_info"]["rules"]) == ("content_policy_violation", [rule])
    assert detail["msg"].startswith(FLAGGED)
    assert result["headers"]["x-fal-retryable"] == "false"
    assert len(saw.tries(scenario)) == 1
