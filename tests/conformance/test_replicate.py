"""The real replicate package against a running guard in front of a scripted Replicate."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from guardrail.types import Request
from guardrail.upstream.dialect import Call, Forward, News, Reply, Setup
from guardrail.upstream.replicate import Replicate, hooks
from tests.conformance.cases import case
from tests.conformance.guarded import BAD, GOOD, OTHER, Saw, program_of, run_client, sha
from tests.server import upstream as script
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.upstream.asking import Store

DOOR = "replicate"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

HOSTED = {
    "https://replicate.delivery/good.png": GOOD,
    "https://replicate.delivery/other.png": OTHER,
    "https://replicate.delivery/bad.png": BAD,
    "https://a.example/good.png": GOOD,
    "https://a.example/bad.png": BAD,
    "https://a.example/page": b"<html><body>no picture</body></html>",
}
FLAGGED = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
WORDS = ["word-prompt", "word-negative", "word-unknown", "word-nested"]
PICTURES = [
    "picture-image",
    "picture-second",
    "picture-mask",
    "picture-nested",
    "picture-address",
    "picture-encoded",
]
OUTPUTS = ["output", "output-data-url", "output-poll", "output-object"]
STREAM = "https://stream.replicate.com"


def at(name: str) -> str:
    return f"https://replicate.delivery/{name}.png"


def inline(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


MADE: dict[str, Any] = {
    "run-two": [at("good"), at("other")],
    "run-data-url": inline(GOOD),
    "run-object": {"image": at("good"), "note": "done"},
    "run-words": ["a ", "red ", "bicycle"],
    "output": [at("bad")],
    "output-data-url": inline(BAD),
    "output-poll": [at("bad")],
    "output-growing": [at("good"), at("bad")],
    "output-one-of-two": [at("good"), at("bad")],
    "output-object": {"deep": [{"image": at("bad")}]},
}


def name_of(heard: Any) -> str:
    return str(heard.headers.get("x-scenario", ""))


class Vendor:
    """Answers as Replicate does: predictions that start, go on and are done, by the id that is their scenario."""

    def __init__(self) -> None:
        self.polls: dict[str, int] = {}

    def __call__(self, heard: Heard) -> Script:
        path, name = heard.target.partition("?")[0], name_of(heard)
        if path.startswith("/v1/files"):
            return self._file(heard)
        if path.endswith("/versions/" + "a1" * 32):
            return script.whole(json.dumps(VERSION).encode())
        if path == "/v1/predictions" and heard.method == "GET":
            return script.whole(json.dumps({"previous": None, "next": None, "results": [self._done("run")]}).encode())
        if path.startswith("/streams/"):
            return script.events(STREAMS[name])
        if name == "busy":
            return script.whole(
                b'{"title":"Too Many Requests","detail":"slow down","status":429}', "429 Too Many Requests"
            )
        if path.endswith("/cancel"):
            return script.whole(json.dumps(self._told(name, "canceled")).encode())
        if heard.method == "POST":
            done = "wait" in heard.headers.get("prefer", "")
            said = self._done(name) if done else self._told(name, "starting")
            return script.whole(json.dumps(said, indent=1).encode(), "201 Created")
        polls = self.polls[name] = self.polls.get(name, 0) + 1
        if polls < 3:
            some = MADE[name][:1] if name == "output-growing" and polls > 1 else None
            return script.whole(json.dumps(self._told(name, "processing", some)).encode())
        return script.whole(json.dumps(self._done(name)).encode())

    def _done(self, name: str) -> dict[str, Any]:
        return self._told(name, "succeeded", MADE.get(name, [at("good")]))

    def _told(self, name: str, status: str, output: Any = None) -> dict[str, Any]:
        base = f"https://api.replicate.com/v1/predictions/{name}"
        return {
            "id": name,
            "model": "black-forest-labs/flux-schnell",
            "version": "a1" * 32,
            "input": {"prompt": "a red bicycle"},
            "logs": "Using seed: 7",
            "output": output,
            "error": None,
            "status": status,
            "created_at": "2026-11-22T05:00:00Z",
            "urls": {"get": base, "cancel": base + "/cancel", "stream": f"{self.stream}/streams/{name}"},
        }

    stream = STREAM

    def _file(self, heard: Heard) -> Script:
        if heard.method == "DELETE":
            return Script([b"HTTP/1.1 204 No Content\r\n\r\n"])
        said = {
            "id": "f1",
            "name": "good.png",
            "content_type": "image/png",
            "size": 1,
            "etag": "e",
            "checksums": {},
            "metadata": {},
            "created_at": "2026-11-22T05:00:00Z",
            "expires_at": None,
            "urls": {"get": "https://api.replicate.com/v1/files/f1"},
        }
        return script.whole(json.dumps(said).encode(), "201 Created")


VERSION = {
    "id": "a1" * 32,
    "created_at": "2026-11-22T05:00:00Z",
    "cog_version": "0.9",
    "openapi_schema": {"components": {"schemas": {"Output": {"type": "array"}}}},
}


VALIDATE = """
import json, sys
from replicate.webhook import Webhooks, WebhookSigningSecret
said = json.load(sys.stdin)
secret = WebhookSigningSecret(key=said["secret"])
Webhooks.validate(headers=said["headers"], body=said["body"], secret=secret, tolerance=60)
"""


def sse(*events: tuple[str, str]) -> list[script.Step]:
    return [f"event: {name}\nid: {at}:0\ndata: {data}\n\n".encode() for at, (name, data) in enumerate(events)]


DONE = ("done", "{}")
STREAMS = {
    "streamed": sse(("logs", "go"), ("output", inline(GOOD)), ("output", inline(OTHER)), DONE),
    "streamed-address": sse(("output", at("good")), DONE),
    "output-stream": sse(("output", inline(GOOD)), ("output", inline(BAD)), DONE),
    "output-stream-address": sse(("output", at("bad")), DONE),
}


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    with ScriptedUpstream() as streams:
        vendor = Vendor()
        vendor.stream = streams.url
        streams.script = vendor
        dialect = Replicate.open(Setup(options={"streams": [streams.url]}))
        folder = tmp_path_factory.mktemp("replicate")
        store = Store(HOSTED)
        return run_client(folder, "replicate", "replicate_client.py", dialect, vendor, name_of, fetch=store.fetch)


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "output"),
    [
        ("run", [{"sha256": sha(GOOD)}]),
        ("run-version", [{"sha256": sha(GOOD)}]),
        ("run-async", [{"sha256": sha(GOOD)}]),
        ("run-wait", [{"sha256": sha(GOOD)}]),
        ("run-poll", [{"sha256": sha(GOOD)}]),
        ("run-two", [{"sha256": sha(GOOD)}, {"sha256": sha(OTHER)}]),
        ("run-data-url", {"sha256": sha(GOOD)}),
        ("run-object", {"image": {"sha256": sha(GOOD)}, "note": "done"}),
        ("run-words", ["a ", "red ", "bicycle"]),
        ("run-edit", [{"sha256": sha(GOOD)}]),
        ("run-upload", [{"sha256": sha(GOOD)}]),
        ("run-encoded", [{"sha256": sha(GOOD)}]),
        ("run-address", [{"sha256": sha(GOOD)}]),
    ],
)
def test_what_was_made_arrives(saw, scenario, output):
    assert saw.results[scenario] == {"output": output}


@case("clean")
def test_a_picture_in_an_answer_is_all_that_is_told_otherwise(saw):
    """Byte for byte: what the generator said, but for its addresses."""
    (told,) = saw.tries("run-data-url")
    port = told.headers["host"]
    vendor = Vendor()
    said = json.dumps(vendor._done("run-data-url"), indent=1)
    there = json.loads(told.answer)["urls"]
    assert there["get"] == f"http://{port}/v1/predictions/run-data-url"
    assert there["stream"].startswith(f"http://{port}/guardrail/streams/")
    for key, address in vendor._done("run-data-url")["urls"].items():
        said = said.replace(f'"{key}": "{address}"', f'"{key}": "{there[key]}"')
    assert told.answer.decode() == said


@case("clean")
def test_a_job_is_created_polled_and_cancelled_through_the_guard(saw):
    assert saw.results["create"] == {"status": "starting"}
    assert saw.results["polled"]["seen"] == ["starting", "processing", "processing", "succeeded"]
    assert saw.results["polled"]["output"][0].startswith("data:image/png;base64,")
    assert saw.results["cancelled"] == {"status": "canceled"}
    assert all("replicate.com" not in address for address in saw.results["polled"]["urls"].values())


@case("clean")
def test_a_list_says_which_there_are_and_not_what_they_made(saw):
    assert saw.results["listed"] == {"ids": ["run"], "outputs": [None], "next": None}


@case("clean")
def test_files_are_kept_and_deleted(saw):
    assert saw.results["files"] == {"id": "f1", "again": "f1", "deleted": True}


@case("stream")
@pytest.mark.parametrize(
    ("scenario", "events"),
    [
        ("streamed", [["logs", "go"], ["output", sha(GOOD)], ["output", sha(OTHER)], ["done", "{}"]]),
        ("streamed-address", [["output", sha(GOOD)], ["done", "{}"]]),
    ],
)
def test_a_stream_arrives_with_its_pictures(saw, scenario, events):
    assert saw.results[scenario] == {"events": events}


@case("words", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", WORDS)
def test_a_word_in_any_field_is_refused_once_and_never_reaches_the_generator(saw, scenario):
    result = saw.results[scenario]
    assert (result["class"], result["output"]) == ("ModelError", None)
    assert result["error"].startswith(FLAGGED)
    assert "Rules: bad-words." in result["error"]
    assert len(saw.tries(scenario)) == 1
    assert saw.sent(scenario) == []


@case("refusal")
def test_a_refused_prediction_has_failed_and_stays_so(saw):
    assert saw.results["word-create"]["status"] == "failed"
    assert saw.results["word-again"] == {"same": True, "status": "failed"}
    assert saw.sent("word-again") == []


@case("refusal", "stream")
def test_a_refused_prediction_has_no_stream(saw):
    result = saw.results["word-stream"]
    assert result["class"] == "ReplicateError"
    assert saw.sent("word-stream") == []


@case("input", "refusal", "uncalled")
@pytest.mark.parametrize("scenario", PICTURES)
def test_a_bad_picture_in_any_field_is_refused_once_and_never_reaches_the_generator(saw, scenario):
    result = saw.results[scenario]
    assert result["class"] == "ModelError"
    assert "Rules: bad-input." in result["error"]
    assert len(saw.tries(scenario)) == 1
    assert saw.sent(scenario) == []


@case("input", "refusal", "uncalled")
def test_a_bad_picture_is_not_uploaded(saw):
    result = saw.results["picture-upload"]
    assert (result["class"], result["status"]) == ("ReplicateError", 422)
    assert "bad-input" in result["detail"]
    assert saw.sent("picture-upload") == []


@case("output", "refusal")
@pytest.mark.parametrize("scenario", OUTPUTS)
def test_a_bad_picture_in_any_channel_fails_the_prediction(saw, scenario):
    result = saw.results[scenario]
    assert (result["class"], result["output"]) == ("ModelError", None)
    assert "Rules: bad-output." in result["error"]


@case("output")
def test_what_is_made_so_far_is_judged_too(saw):
    result = saw.results["output-growing"]
    assert result["seen"] == ["starting", "processing", "processing", "succeeded"]
    assert len(result["output"]) == 2
    assert BAD not in base64.b64decode(result["output"][1].partition(",")[2])


@case("output")
def test_one_bad_picture_of_two_is_replaced(saw):
    good, grey = saw.results["output-one-of-two"]["output"]
    assert good == {"sha256": sha(GOOD)}
    assert grey["sha256"] != sha(BAD)


@case("output", "stream")
@pytest.mark.parametrize(
    ("scenario", "before"), [("output-stream", [["output", sha(GOOD)]]), ("output-stream-address", [])]
)
def test_a_bad_picture_ends_a_stream(saw, scenario, before):
    result = saw.results[scenario]
    assert result["events"] == before
    assert result["raised"].startswith(FLAGGED)


@case("output")
def test_not_one_byte_of_a_bad_picture_arrives(saw):
    assert saw.leaked() == []


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    assert {heard.headers.get("authorization") for heard in saw.heard} == {"Bearer r8_test"}


@case("caller")
def test_switches_are_clamped_and_the_generator_is_asked_to_answer_sooner(saw):
    (heard,) = saw.sent("switched-off")
    given = json.loads(heard.body)["input"]
    assert (given["disable_safety_checker"], given["safety_tolerance"]) == (False, 2)
    assert heard.headers["prefer"] == "wait=55"
    (heard,) = saw.sent("run-wait")
    assert heard.headers["prefer"] == "wait=15"


@case("caller")
def test_a_picture_by_address_goes_on_as_what_was_judged(saw):
    (heard,) = saw.sent("run-address")
    assert json.loads(heard.body)["input"]["image"] == inline(GOOD)


@case("caller")
def test_a_file_that_was_uploaded_goes_on_by_its_own_address(saw):
    heard = saw.sent("run-upload")[-1]
    assert json.loads(heard.body)["input"]["image"] == "https://api.replicate.com/v1/files/f1"


@case("fault")
@pytest.mark.parametrize(
    ("scenario", "status", "words"),
    [
        ("webhook", 422, "public_url"),
        ("weights", 400, "weights"),
        ("no-picture", 400, "no picture"),
        ("private-address", 400, "could not be fetched"),
        ("training", 404, "closed"),
    ],
)
def test_what_nobody_can_judge_is_refused_with_a_reason(saw, scenario, status, words):
    result = saw.results[scenario]
    assert (result["class"], result["status"]) == ("ReplicateError", status)
    assert words in result["detail"]
    assert saw.sent(scenario) == []


@case("fault")
def test_an_error_of_the_generator_arrives_as_it_is(saw):
    assert saw.results["busy"] == {"class": "ReplicateError", "status": 429, "detail": "slow down"}


@case("clean")
def test_the_clients_own_check_takes_what_a_webhook_is_told(saw):
    """`replicate.webhooks.validate`, with the secret that the account reads at the guard."""
    dialect = Replicate.open(Setup(public_url="https://guard.example"))
    secret = "whsec_" + base64.b64encode(b"the account's own secret").decode()
    state = {"event": "msg_1", "signed": secret}
    news = News(
        Call(Request((), ()), Forward("POST", "", (), b""), "webhook", state), (), b"", "https://client.example"
    )
    headers, body = dialect.handed_on(news, Reply(200, (), b'{"id": "p1", "output": null}'))
    said = {"headers": dict(headers), "body": body.decode(), "secret": hooks.derived(dialect._state, secret)}
    for given, valid in ((said, True), ({**said, "body": "{}"}, False), ({**said, "secret": secret}, False)):
        done = subprocess.run(
            [program_of("replicate"), "-c", VALIDATE],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is valid, done.stderr


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
