"""The real comfy-api-simplified and comfykit against a running guard in front of a scripted ComfyUI."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from guardrail.upstream.comfy import Comfy
from tests.conformance.comfy_server import ComfyServer
from tests.conformance.guarded import MARK, Saw, drive, python_of
from tests.stand_ins import png

pytest.importorskip("websockets")
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

GOOD, OTHER, MADE, BAD, PREVIEW = png("good"), png("other"), png("made"), png(MARK.decode()), png("preview")
REFUSED = "Request failed with status code 400: Bad Request"


def sha(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    python = python_of("comfy")
    folder = tmp_path_factory.mktemp("comfy")
    for name, data in (("good", GOOD), ("other", OTHER), ("bad", BAD)):
        (folder / f"{name}.png").write_bytes(data)
    bad = dict.fromkeys(("bad-saved", "bad-sent", "bad-kit-socket"), BAD)
    with ComfyServer({"": MADE, **bad}, PREVIEW) as server:
        server.uploads |= {"there.png": OTHER, "planted.png": BAD}
        return drive(Comfy(), server, python, "comfy_client.py", folder, lambda heard: heard.scenario)


@pytest.mark.parametrize("scenario", ["saved", "sent", "edited", "swapped", "of-the-server", "guessed"])
def test_what_was_made_arrives_byte_for_byte_and_no_preview_does(saw, scenario):
    assert saw.results[scenario]["sha256"] == [sha(MADE)]
    assert saw.calls[scenario] == 1


@pytest.mark.parametrize("scenario", ["kit-http", "kit-socket"])
def test_a_kit_is_told_what_was_made(saw, scenario):
    result = saw.results[scenario]
    assert (result["status"], result["images"]) == ("completed", [f"/view?filename={scenario}_00001_.png&type=output"])


def test_lists_pass(saw):
    assert saw.results["queue"] == {"value": {"queue_running": [], "queue_pending": []}}


def test_a_picture_does_not_take_the_name_of_one_that_was_judged(saw):
    assert saw.results["swapped"]["names"] == ["good.png", "good (1).png"]


@pytest.mark.parametrize(
    "scenario",
    ["word-text", "word-joined", "word-sdxl", "word-flux", "word-qwen", "word-api-node", "word-unknown"],
)
def test_a_word_in_a_graph_is_refused_once_and_never_reaches_the_server(saw, scenario):
    assert saw.results[scenario] == {"error": {"class": "ComfyApiError", "text": REFUSED}}
    assert saw.calls[scenario] == 0


@pytest.mark.parametrize("scenario", ["word-kit-http", "word-kit-socket"])
def test_a_kit_shows_why(saw, scenario):
    result = saw.results[scenario]
    assert result["status"] == "error"
    assert "[400]" in result["msg"]
    assert "content_policy_violation" in result["msg"]
    assert "bad-words" in result["msg"]
    assert saw.calls[scenario] == 0


@pytest.mark.parametrize("scenario", ["picture-upload", "picture-of-the-server", "picture-missing"])
def test_a_picture_that_is_bad_or_cannot_be_seen_is_refused(saw, scenario):
    assert saw.results[scenario] == {"error": {"class": "ComfyApiError", "text": REFUSED}}
    assert saw.calls[scenario] == 0


def test_a_bad_picture_is_not_stored(saw):
    assert not any(BAD in heard.body for heard in saw.heard)


def test_a_bad_picture_is_not_handed_out(saw):
    error = saw.results["bad-saved"]["error"]
    assert (error["class"], error["text"]) == ("ComfyApiError", "Request failed with status code 403: Forbidden")
    assert saw.calls["bad-saved"] == 1


def test_a_picture_of_no_job_that_is_known_is_not_handed_out(saw):
    assert saw.results["of-no-job"]["error"]["text"] == "Request failed with status code 404: Not Found"


def test_a_bad_picture_is_not_sent(saw):
    assert saw.results["bad-sent"] == {"error": {"class": "ComfyApiError", "text": "Execution error occurred."}}
    assert saw.calls["bad-sent"] == 1


def test_the_callers_own_credentials_arrive(saw):
    basic = "Basic " + base64.b64encode(b"anna:s3cret").decode()
    told = {heard.headers.get("authorization") for heard in saw.heard if heard.scenario in ("saved", "upload")}
    assert told == {basic}
    sockets = [heard for heard in saw.heard if heard.scenario == "socket"]
    assert basic in {heard.headers.get("authorization") for heard in sockets}


def test_the_graph_goes_on_as_it_came(saw):
    (heard,) = [one for one in saw.heard if one.scenario == "saved"]
    assert heard.body == json.dumps(json.loads(heard.body)).encode()


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
