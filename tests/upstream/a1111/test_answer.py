"""Answers: every picture, every prompt that was used, and what is left of an answer when one is refused."""

import io
import json

import pybase64
import pytest
from PIL import Image

from guardrail.errors import UpstreamError
from guardrail.upstream.a1111 import A1111
from tests.upstream.a1111.asking import IMG2IMG, TXT2IMG, answer, answered, asked, read
from tests.upstream.asking import JSON, b64, decision, png

GOOD, BAD, MINE, OTHER = png(1), png(2, side=6), png(3), png(4)


def generated(body, **fields):
    return answered(read(TXT2IMG, asked(**fields)), body)


def test_a_picture_outside_the_list_is_judged_and_belongs_to_no_entry():
    found = generated(answer(GOOD, extra={"deep": [b64(OTHER)]}))
    assert [one.data for one in found.images] == [GOOD, OTHER]
    assert found.entries == (0, -1)
    reply = A1111().without(found, {-1: decision()}, "replace")
    assert reply.status == 400
    assert b64(GOOD).encode() not in reply.body


@pytest.mark.parametrize("text", ["see {b64}", "<img src='https://a.example/x'>", "![x](https://a.example/x)"])
@pytest.mark.parametrize("inside", [False, True], ids=["beside", "in info"])
def test_a_text_that_shows_a_picture_is_no_answer(text, inside):
    said = {"note": text.format(b64=b64(OTHER))}
    with pytest.raises(UpstreamError):
        generated(answer(GOOD, **({"info": json.dumps(said)} if inside else said)))


def test_the_callers_own_picture_may_come_back_but_not_another_in_its_place():
    call = read(IMG2IMG, asked(init_images=[b64(MINE)]))
    assert len(answered(call, answer(GOOD, init_images=[b64(MINE)])).images) == 1
    assert len(answered(call, answer(GOOD, init_images=[b64(OTHER)])).images) == 2
    assert len(answered(call, answer(MINE)).images) == 1


def test_a_refused_picture_is_replaced_by_a_grey_one_of_its_size_and_its_neighbour_stays():
    body = answer(GOOD, BAD)
    found = generated(body)
    reply = A1111().without(found, {1: decision()}, "replace")
    first, second = json.loads(reply.body)["images"]
    assert pybase64.b64decode(first) == GOOD
    with Image.open(io.BytesIO(pybase64.b64decode(second))) as grey:
        assert grey.size == (6, 6)
        assert grey.getextrema() == (128, 128)
    assert reply.body.split(b'"parameters"')[1] == body.split(b'"parameters"')[1]


def test_a_refused_thing_that_is_no_picture_is_replaced_as_well():
    found = generated(answer(GOOD, b"no picture at all"))
    reply = A1111().without(found, {1: decision()}, "replace")
    assert len(json.loads(reply.body)["images"]) == 2


def test_a_refused_picture_can_be_dropped():
    reply = A1111().without(generated(answer(GOOD, BAD)), {0: decision()}, "drop")
    assert json.loads(reply.body)["images"] == [b64(BAD)]


@pytest.mark.parametrize("one_bad", ["replace", "drop", "refuse-all"])
def test_nothing_is_left_where_all_are_refused(one_bad):
    reply = A1111().without(generated(answer(GOOD, BAD)), {0: decision(), 1: decision()}, one_bad)
    assert (reply.status, json.loads(reply.body)["error"]) == (400, "ContentPolicyViolation")


def test_a_prompt_that_the_server_changed_is_judged():
    found = generated(answer(GOOD, prompt="a red bicycle, forbidden"))
    assert [one.text for one in found.texts] == ["a red bicycle, forbidden"]


def test_the_prompt_that_was_sent_is_not_judged_twice():
    assert generated(answer(GOOD)).texts == ()


def test_an_interrupted_job_has_no_pictures_and_passes():
    assert generated(answer()).images == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"images": "x"}',
        b'{"images": [null]}',
        b'{"images": [{"data": "x"}]}',
        b'{"images": ["!!!"]}',
        b'{"image": 3}',
        b'{"images": [], "image": "QUJD"}',
        b'{"images": [], "info": "{broken"}',
        b'{"images": [], "info": "{\\"a\\": \\"data:image/png;base64,AAAA\\"}"}',
        json.dumps({"images": ["QUJD"] * 33}).encode(),
    ],
)
def test_what_is_no_answer_is_the_generators_fault(body):
    with pytest.raises(UpstreamError):
        generated(body)


@pytest.mark.parametrize(("status", "body"), [(302, b""), (200, b"<html>")])
def test_redirects_and_pages_are_no_answers(status, body):
    with pytest.raises(UpstreamError):
        answered(read(TXT2IMG, asked()), body, status)


def test_an_error_of_the_server_passes_and_one_with_a_picture_does_not():
    call = read(TXT2IMG, asked())
    said = b'{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory"}'
    assert answered(call, said, 500).body == said
    with pytest.raises(UpstreamError):
        answered(call, f'{{"detail":[{{"input":"{b64(GOOD)}"}}]}}'.encode(), 422)


PROGRESS = '{{"progress":0.5,"state":{{"job":"x","sampling_step":3}}, "{name}":{picture},"textinfo":null}}'


@pytest.mark.parametrize("name", ["current_image", "live_preview", "anything"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_the_picture_in_the_making_does_not_leave(name, prefix):
    call = read("/sdapi/v1/progress", b"", method="GET")
    body = PROGRESS.format(name=name, picture=json.dumps(prefix + b64(BAD))).encode()
    found = answered(call, body, headers=[*JSON, ("etag", "x")])
    assert found.body == PROGRESS.format(name=name, picture="null").encode()
    assert found.images == ()
    assert "etag" not in [key for key, _ in found.headers]


def test_progress_without_a_picture_leaves_as_it_came():
    call = read("/sdapi/v1/progress", b"", method="GET")
    body = PROGRESS.format(name="current_image", picture="null").encode()
    assert answered(call, body).body == body


def test_what_interrogating_tells_is_judged():
    call = read("/sdapi/v1/interrogate", json.dumps({"image": b64(MINE)}).encode())
    assert [one.text for one in answered(call, b'{"caption":"a cat"}').texts] == ["a cat"]


def test_changed_settings_are_answered_with_next_to_nothing():
    call = read("/sdapi/v1/options", b"{}")
    assert answered(call, b"null").body == b"null"
    for body in (b"x" * 10, b'"' + b64(GOOD).encode() + b'"', b"[" + b"1," * 40_000 + b"1]"):
        with pytest.raises(UpstreamError):
            answered(call, body)
