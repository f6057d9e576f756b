"""The real webuiapi against a running guard in front of a scripted AUTOMATIC1111 server."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import pytest
from PIL import Image

from guardrail.upstream.a1111 import A1111
from tests.conformance.cases import case
from tests.conformance.guarded import MARK, Saw, drive, program_of
from tests.server import upstream as script
from tests.server.upstream import Heard, Script, ScriptedUpstream
from tests.stand_ins import png

DOOR = "a1111"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

GOOD, OTHER, BAD = png("good"), png("other", side=12), png(MARK.decode(), side=16)
PROGRESS = b'{"progress":0.5, "eta_relative":1.0,"state":{"job":"x"},"current_image":%s,"textinfo":null}'
REFUSED = {
    "bad-words": [
        "word-prompt",
        "word-weighted",
        "word-negative",
        "word-hr",
        "word-hr-negative",
        "word-edit",
        "word-adetailer",
        "word-script",
        "word-extension",
        "word-edit-negative",
        "word-adetailer-negative",
        "word-edit-script",
        "word-unknown",
    ],
    "bad-input": [
        "picture-init",
        "picture-second",
        "picture-mask",
        "picture-controlnet",
        "picture-controlnet-mask",
        "picture-reactor",
        "picture-roop",
        "picture-extra",
        "picture-extras",
        "picture-png-info",
        "picture-interrogate",
        "picture-detect",
        "picture-edit-controlnet",
        "picture-edit-reactor",
        "picture-script",
        "picture-extension",
    ],
}
CLEAN = [
    "generate",
    "generate-two",
    "edit",
    "controlnet",
    "adetailer",
    "animatediff",
    "reactor",
    "roop",
    "extra",
    "extras",
    "png-info",
    "interrogate",
    "detect",
    "progress",
    "samplers",
    "set-model",
    "interrupt",
]


def b64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def generated(heard: Heard, *pictures: bytes, prompt: str | None = None, **more: object) -> bytes:
    asked = json.loads(heard.body)
    said = prompt or asked["prompt"]
    info = json.dumps({"prompt": said, "all_prompts": [said], "seed": 1})
    # The server echoes what it was sent, pictures of scripts included.
    body = {"images": [b64(one) for one in pictures], "parameters": {**asked, **more}, "info": info}
    return json.dumps(body, indent=1).encode()


def body_of(heard: Heard) -> bytes:
    """What the generator answers in each scenario."""
    name, path = heard.headers.get("x-scenario", ""), heard.target.partition("?")[0].rpartition("/")[2]
    bodies = {
        "scripts": lambda: b'{"txt2img":[], "img2img":[]}',
        "samplers": lambda: b'[{"name":"Euler a", "aliases":[],"options":{}}]',
        "progress": lambda: PROGRESS % (b'"%s"' % b64(BAD).encode() if name == "output-progress" else b"null"),
        "options": lambda: b"null",
        "interrupt": lambda: b"null",
        "png-info": lambda: b'{"info":"a cat", "items":{"parameters":"a cat"}}',
        "interrogate": lambda: b'{"caption" : "a cat"}',
        "detect": lambda: json.dumps(
            {"images": [b64(BAD if name == "output-detect" else GOOD)], "info": "Success"}
        ).encode(),
        "extra-single-image": lambda: json.dumps(
            {"html_info": "<p></p>", "image": b64(BAD if name == "output-extra" else GOOD)}
        ).encode(),
        "extra-batch-images": lambda: json.dumps(
            {"html_info": "", "images": [b64(BAD)] * 2 if name == "output-extras" else [b64(GOOD), b64(OTHER)]}
        ).encode(),
    }
    if path in bodies:
        return bodies[path]()
    scripts = {
        "generate-two": lambda: generated(heard, GOOD, OTHER),
        "controlnet": lambda: generated(heard, GOOD, OTHER),
        "output": lambda: generated(heard, BAD),
        "output-edit": lambda: generated(heard, BAD),
        "output-elsewhere": lambda: generated(heard, GOOD, debug={"map": b64(BAD)}),
        "output-prompt": lambda: generated(heard, GOOD, prompt="a wildcard that is forbidden"),
        "output-one-of-two": lambda: generated(heard, GOOD, BAD),
    }
    return scripts.get(name, lambda: generated(heard, GOOD))()


def play(heard: Heard) -> Script:
    if scenario_of(heard) == "busy":
        return script.whole(b'{"error":"OutOfMemoryError","detail":"","body":"","errors":"full"}', "500 Error")
    return script.html() if scenario_of(heard) == "html" else script.whole(body_of(heard))


def scenario_of(heard: Heard) -> str:
    return heard.headers.get("x-scenario", "")


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    program = program_of("webuiapi")
    folder = tmp_path_factory.mktemp("webuiapi")
    (folder / "good.png").write_bytes(GOOD)
    (folder / "bad.png").write_bytes(BAD)
    with ScriptedUpstream() as generator:
        generator.script = play
        return drive(
            A1111(controls=frozenset({"interrupt"})), generator, program, "a1111_client.py", folder, scenario_of
        )


@case("clean")
@pytest.mark.parametrize("scenario", CLEAN)
def test_a_clean_answer_arrives_byte_for_byte(saw, scenario):
    (heard,) = saw.sent(scenario)
    assert "error" not in saw.results[scenario]
    assert [asked.answer for asked in saw.tries(scenario)] == [body_of(heard)]
    assert [base64.b64decode(one) for one in saw.results[scenario]["raw"]] == [body_of(heard)]


@case("clean")
def test_pictures_arrive(saw):
    assert saw.results["generate-two"]["sizes"] == [[8, 8], [12, 12]]
    with Image.open(io.BytesIO(GOOD)) as picture:
        assert saw.results["generate"]["sha256"] == [hashlib.sha256(picture.tobytes()).hexdigest()]


@case("caller")
def test_nothing_is_saved_on_the_server_unseen(saw):
    (heard,) = [one for one in saw.heard if scenario_of(one) == "generate"]
    asked = json.loads(heard.body)
    assert (asked["save_images"], asked["send_images"]) == (False, True)


@pytest.mark.parametrize(
    ("rule", "scenario"),
    [
        pytest.param(rule, one, marks=case("words" if rule == "bad-words" else "input", "refusal", "uncalled"))
        for rule, names in REFUSED.items()
        for one in names
    ],
)
def test_a_refused_request_raises_once_and_never_reaches_the_generator(saw, rule, scenario):
    error = saw.results[scenario]["error"]
    assert (error["status"], error["body"]["error"], error["body"]["errors"]) == (400, "ContentPolicyViolation", rule)
    assert len(saw.results[scenario]["raw"]) == 1
    assert saw.calls[scenario] == 0


@case("output", "refusal")
@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        ("output", "bad-output"),
        ("output-edit", "bad-output"),
        ("output-extra", "bad-output"),
        ("output-extras", "bad-output"),
        ("output-detect", "bad-output"),
        ("output-elsewhere", "bad-output"),
        ("output-prompt", "bad-words"),
    ],
)
def test_a_refused_answer_raises_and_is_asked_for_once(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert (error["status"], error["body"]["errors"]) == (400, rule)
    assert "Receipt: " in error["body"]["detail"]
    assert saw.calls[scenario] == 1


@case("output")
def test_one_bad_picture_of_two_becomes_grey_and_its_neighbour_stays(saw):
    result = saw.results["output-one-of-two"]
    assert result["sizes"] == [[8, 8], [16, 16]]
    with Image.open(io.BytesIO(GOOD)) as picture:
        assert result["sha256"][0] == hashlib.sha256(picture.tobytes()).hexdigest()
    assert result["sha256"][1] == hashlib.sha256(bytes([128]) * 256).hexdigest()


@case("output", "stream")
def test_a_preview_is_not_asked_for_and_does_not_leave(saw):
    assert saw.results["output-progress"]["value"]["current_image"] is None
    (heard,) = [one for one in saw.heard if scenario_of(one) == "output-progress"]
    assert heard.target == "/sdapi/v1/progress?skip_current_image=true"


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(saw):
    assert saw.leaked() == []
    assert any(b64(BAD).encode() in body_of(heard) for heard in saw.heard)


@case("input")
def test_no_bad_picture_and_no_forbidden_word_reaches_the_generator(saw):
    assert not any(b64(BAD).encode() in heard.body or b"forbidden" in heard.body for heard in saw.heard)


@case("fault")
@pytest.mark.parametrize(("scenario", "status"), [("busy", 500), ("html", 502)])
def test_a_fault_of_the_generator_is_raised(saw, scenario, status):
    assert saw.results[scenario]["error"]["status"] == status
    assert saw.calls[scenario] == len(saw.tries(scenario)) == 1


@case("words")
def test_a_style_whose_text_is_not_known_is_refused(saw):
    assert saw.results["style"]["error"]["body"]["errors"] == "unknown_style"
    assert saw.calls["style"] == 0


@case("fault")
@pytest.mark.parametrize("scenario", ["closed", "closed-old-controlnet"])
def test_what_is_closed_is_not_passed_on(saw, scenario):
    (raw,) = saw.results[scenario]["raw"]
    assert json.loads(base64.b64decode(raw))["errors"] == "route_not_guarded"
    assert saw.calls[scenario] == 0


@case("caller")
def test_the_callers_own_credentials_arrive(saw):
    basic = "Basic " + base64.b64encode(b"anna:s3cret").decode()
    assert {one.headers.get("authorization") for one in saw.heard if scenario_of(one)} == {basic}


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
