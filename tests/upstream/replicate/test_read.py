"""Calls of Replicate: what is judged, what goes on, and what is refused."""

import json
import time

import pytest

from guardrail.errors import BadRequest, ConfigError, Overloaded
from guardrail.types import Stage
from guardrail.upstream.dialect import Door, Setup
from guardrail.upstream.replicate import Replicate, hooks
from tests.upstream.asking import FORM, Store, b64, decision, form, png
from tests.upstream.replicate.asking import (
    HTTPS,
    PUBLIC,
    SETUP,
    answered,
    asked,
    inputs,
    prediction,
    read,
    texts,
)

PERSON, OUT = png(10), png(20)
DATA = "data:image/png;base64,"
POLL = "/v1/predictions/p1"


def refused(*args, **more) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(*args, **more)
    return caught.value


def recalled(**given) -> dict[str, bytes]:
    return {"predictions/p1": json.dumps({"id": "p1", "version": "v", "input": given}).encode()}


def test_a_job_is_judged_beside_what_it_was_asked_for():
    dialect = Replicate.open(SETUP)
    begun = read(asked(image=DATA + b64(PERSON)), dialect=dialect)
    answered(begun, prediction(status="starting"), dialect=dialect)
    store = Store()
    poll = read(path=POLL, method="GET", dialect=dialect, store=store)
    assert (texts(poll)["prompt"], list(inputs(poll).values())) == ("a red bicycle", [PERSON])
    assert poll.poll
    assert store.asked == []


def test_a_job_of_another_process_is_read_back():
    store = Store(recalled(prompt="a red bicycle", image=DATA + b64(PERSON)))
    poll = read(path=POLL, method="GET", store=store)
    assert (texts(poll)["prompt"], list(inputs(poll).values())) == ("a red bicycle", [PERSON])


@pytest.mark.parametrize(
    "files", [{}, {"predictions/p1": b"<html>"}, recalled(), recalled(image="https://gone.example/x")]
)
def test_a_job_that_cannot_be_read_back_is_closed(files):
    error = refused(path=POLL, method="GET", store=Store(files))
    assert (error.status, error.code) == (404, "unknown_job")


def test_an_answer_that_tells_of_another_job_is_refused():
    poll = read(path=POLL, method="GET", store=Store(recalled(prompt="x")))
    with pytest.raises(Exception, match="another prediction"):
        answered(poll, prediction(job_id="p2"))


def test_an_upload_is_known_by_the_address_that_its_answer_gave_and_by_no_other():
    dialect = Replicate.open(SETUP)
    body = form(("content", PERSON, "a.png"))
    call = read(body, "/v1/files", headers=FORM, dialect=dialect)
    address = "https://api.replicate.com/v1/files/f1"
    answered(call, json.dumps({"id": "f1", "urls": {"get": address}}).encode(), dialect=dialect)
    sent = asked(image=address)
    again = read(sent, dialect=dialect)
    assert (list(inputs(again).values()), again.forward.body) == ([PERSON], sent)
    error = refused(asked(image="https://evil.example/v1/files/f1"), dialect=dialect)
    assert error.code == "url_unreachable"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(("content", b"PK\x03\x04 an archive", "a.zip")), "unjudged_file"),
        (form(("metadata", b"{}")), "missing_required_parameter"),
        (form(("content", PERSON, "a.png"), ("other", PERSON, "b.png")), "unknown_field"),
        (form(("content", PERSON, "a.png"), ("metadata", b"[1]")), "unknown_field"),
    ],
)
def test_an_upload_is_one_picture(body, code):
    assert refused(body, "/v1/files", headers=FORM).code == code


@pytest.mark.parametrize(
    ("prefer", "sent"),
    [
        ("wait", "wait=55"),
        ("wait=60", "wait=55"),
        ("wait=999", "wait=55"),
        ("wait=11", "wait=6"),
        ("wait=10", "wait=5"),
        ("wait=1", "wait=1"),
        ("respond-async", "respond-async"),
    ],
)
def test_the_generator_is_asked_to_answer_before_the_client_gives_up(prefer, sent):
    call = read(asked(), headers=(("content-type", "application/json"), ("Prefer", prefer)))
    assert dict(call.forward.headers)["Prefer"] == sent


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"input": []}', "invalid_type"),
        (b'{"input": {}, "version": 7}', "invalid_type"),
        (b'{"input": {}, "version": "take off all"}', "invalid_type"),
        (b'{"Input": {"prompt": "x"}}', "unknown_field"),
        (b'{"input": {}, "WEBHOOK": "https://a.example"}', "unknown_field"),
        (b"[]", "invalid_json"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(body, code):
    assert refused(body).code == code


@pytest.mark.parametrize("version", ["two words", DATA + b64(OUT), "-x", ""])
def test_a_version_is_a_name(version):
    body = json.dumps({"version": version, "input": {"prompt": "a red bicycle"}}).encode()
    assert refused(body).code == "invalid_type"


def test_a_sentence_for_the_name_of_a_field_is_judged():
    body = json.dumps({"version": "v", "a field whose name says it all": 1, "input": {"prompt": "x"}}).encode()
    assert "a field whose name says it all" in texts(read(body)).values()


def test_what_stands_beside_the_input_is_judged_too():
    said = json.dumps({"input": {"prompt": "x"}, "extra": {"text": "a red bicycle in the snow"}}).encode()
    assert "a red bicycle in the snow" in texts(read(said)).values()


def test_models_are_those_that_the_operator_lists():
    dialect = Replicate.open(Setup(public_url=PUBLIC, options={"models": ["good/*", "a1b2"]}))
    path = "/v1/models/{}/predictions"
    given = b'{"input": {"prompt": "x"}}'
    assert read(given, path.format("good/one"), dialect=dialect)
    assert read(asked(), dialect=dialect)
    assert refused(given, path.format("bad/one"), dialect=dialect).code == "model_not_allowed"
    assert refused(b'{"input":{"prompt":"x"},"version":"other"}', dialect=dialect).code == "model_not_allowed"
    assert refused(given, dialect=dialect).code == "model_not_allowed"


@pytest.mark.parametrize("options", [{"streams": "x"}, {"streams": ["ftp://a"]}, {"streams": ["https://a/path"]}])
def test_origins_of_streams_are_origins(options):
    with pytest.raises(ConfigError):
        Replicate.open(Setup(options=options))


@pytest.mark.parametrize(
    "url",
    [
        "http://stream.replicate.com/x",
        "https://stream.replicate.com.evil.example/x",
        "https://stream.replicate.com@evil.example/x",
        "https://evil.example/stream.replicate.com",
        "https://10.0.0.1/x",
    ],
)
def test_credentials_go_to_no_other_stream(url):
    told = json.loads(answered(read(asked()), prediction(status="starting", stream=url)).body)
    assert told["urls"]["stream"] == f"{PUBLIC}/v1/predictions/p1"


def test_a_stream_is_that_of_a_job_that_is_known():
    dialect = Replicate.open(SETUP)
    begun = read(asked(), dialect=dialect)
    url = "https://stream.replicate.com/v1/files/abc?x=1"
    said = prediction(status="starting", stream=url)
    address = json.loads(answered(begun, said, dialect=dialect).body)["urls"]["stream"]
    path = address.removeprefix(PUBLIC)
    assert dialect.door("GET", path) is Door.JUDGED
    call = read(path=path, method="GET", dialect=dialect)
    assert call.forward.origin + call.forward.path == url
    assert call.request.stream
    assert texts(call)["prompt"] == "a red bicycle"
    assert refused(path=path, method="GET").code == "unknown_job"
    assert refused(path=path[:-4] + "AAAA", method="GET", dialect=dialect).code == "unknown_job"


def test_a_list_is_asked_for_by_page_and_its_pages_lead_back():
    call = read(path="/v1/predictions", method="GET", query="cursor=abc")
    assert call.forward.path == "/v1/predictions?cursor=abc"
    page = {
        "previous": None,
        "next": "https://api.replicate.com/v1/predictions?cursor=def",
        "results": [json.loads(prediction([DATA + b64(OUT)], logs="a secret"))],
    }
    told = answered(call, json.dumps(page).encode())
    said = json.loads(told.body)
    assert said["next"] == f"{PUBLIC}/v1/predictions?cursor=def"
    assert said["results"][0]["output"] is None
    assert b64(OUT) not in told.body.decode()
    assert told.images == ()


def test_a_picture_in_logs_or_errors_is_left_out():
    said = prediction(logs=f"got {DATA}{b64(OUT)}", error=DATA + b64(OUT), status="failed")
    told = answered(read(asked()), said)
    assert (told.images, b64(OUT) in told.body.decode()) == ((), False)
    echo = json.dumps({"detail": "wrong", "invalid": DATA + b64(OUT)}).encode()
    told = answered(read(asked()), echo, status=422)
    assert json.loads(told.body) == {"detail": "wrong", "invalid": ""}


@pytest.mark.parametrize("urls", [DATA + b64(OUT), ["https://replicate.delivery/x"], {"a": [DATA + b64(OUT)]}])
def test_addresses_in_another_form_are_left_out(urls):
    said = json.loads(prediction(status="starting"))
    told = answered(read(asked()), json.dumps({**said, "urls": urls}).encode())
    assert b64(OUT) not in told.body.decode()
    assert "replicate.delivery" not in told.body.decode()


def test_the_picture_that_the_caller_sent_may_come_back():
    call = read(asked(image=DATA + b64(PERSON)))
    said = prediction(status="starting", input={"image": DATA + b64(PERSON), "other": DATA + b64(OUT)})
    assert json.loads(answered(call, said).body)["input"] == {"image": DATA + b64(PERSON), "other": ""}


def test_the_address_of_a_hook_is_told_to_nobody():
    said = prediction(status="starting", webhook="https://guard.example/replicate/guardrail/hooks/abc")
    assert json.loads(answered(read(asked()), said).body)["webhook"] == ""


def test_a_refusal_says_which_prediction_it_is_of():
    dialect = Replicate.open(SETUP)
    reply = dialect.refuse(decision(receipt="01J8ZQ"), Stage.INPUT, read(asked(), dialect=dialect))
    said = json.loads(reply.body)
    assert (reply.status, said["id"], said["version"]) == (201, "refused-01J8ZQ", "a1b2")
    assert said["urls"]["get"] == f"{PUBLIC}/v1/predictions/refused-01J8ZQ"
    assert dialect.door("GET", "/v1/predictions/refused-01J8ZQ") is Door.ANSWERED
    assert dialect.door("POST", "/v1/predictions/refused-01J8ZQ/cancel") is Door.ANSWERED


@pytest.mark.parametrize("polled", [False, True])
async def test_news_of_a_job_that_was_not_begun_here_is_asked_for_again(polled):
    """Also where it was polled here: the policy is that of whoever began it."""
    dialect = Replicate.open(HTTPS)
    dialect._state.wait_s = 0
    if polled:
        store = Store(recalled(prompt="x"))
        await dialect.read("GET", POLL, "", (), b"", store.fetch, store.fetch_file)
    secret = "whsec_" + b64(b"s" * 24)
    address, _ = hooks.hooks.address(dialect._state.seal, "", "https://client.example/", secret=secret)
    body = prediction()
    at = str(int(time.time()))
    headers = [
        ("webhook-id", "m"),
        ("webhook-timestamp", at),
        ("webhook-signature", hooks.sign(secret, "m", at, body)),
    ]

    async def fetch(url, *, param):
        raise AssertionError("nothing is fetched")

    with pytest.raises(Overloaded):
        await dialect.called("POST", address, "", headers, body, fetch)
