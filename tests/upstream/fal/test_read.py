"""Calls of fal: its two hosts, its client's own proxy protocol, and what is asked of a request in the queue."""

import asyncio
import json

import pytest

from guardrail.errors import BadRequest, ConfigError, UpstreamError
from guardrail.upstream.dialect import Headers, Setup
from guardrail.upstream.fal import Fal
from tests.upstream.asking import Store, b64, png
from tests.upstream.fal.asking import (
    APP,
    HTTPS,
    JOB,
    PUBLIC,
    SETUP,
    answered,
    asked,
    inputs,
    queued,
    read,
    result,
    texts,
)

PERSON, OUT = png(10), png(20)
DATA = "data:image/png;base64,"
AT = f"/queue/fal-ai/flux/requests/{JOB}"


def refused(*args, **more) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(*args, **more)
    return caught.value


def proxied(url: str) -> Headers:
    return (("content-type", "application/json"), ("x-fal-target-url", url), ("authorization", "Key a:b"))


def submitted(dialect: Fal, body: bytes) -> None:
    call = read(body, f"/queue{APP}", dialect=dialect)
    answered(call, queued(), dialect=dialect)


def test_a_result_is_judged_beside_what_was_asked_for():
    dialect = Fal.open(SETUP)
    submitted(dialect, asked(image_url=DATA + b64(PERSON)))
    for path in (AT, f"{AT}/response", f"/queue/fal-ai/flux/dev/requests/{JOB}"):
        call = read(path=path, method="GET", dialect=dialect)
        assert (texts(call)["prompt"], list(inputs(call).values())) == ("a red bicycle", [PERSON])
    assert call.forward.origin == "https://queue.fal.run"
    assert [one.data for one in answered(call, result(DATA + b64(OUT)), dialect=dialect).images] == [OUT]


@pytest.mark.parametrize("path", [AT, f"{AT}/response", f"{AT}/status"])
def test_a_request_that_is_not_known_is_closed(path):
    error = refused(path=path, method="GET")
    assert (error.status, error.code) == (404, "unknown_job")


def test_a_request_that_is_not_known_can_be_cancelled():
    assert read(path=f"{AT}/cancel", method="PUT").forward.method == "PUT"


def test_an_operator_may_have_unknown_results_judged_by_themselves():
    dialect = Fal.open(Setup(public_url=PUBLIC, options={"unknown_jobs": "judge"}))
    call = read(path=AT, method="GET", dialect=dialect)
    assert call.request.artifacts == ()
    assert [one.data for one in answered(call, result(DATA + b64(OUT)), dialect=dialect).images] == [OUT]


def test_the_state_of_a_request_leads_back_to_the_guard():
    dialect = Fal.open(SETUP)
    submitted(dialect, asked())
    call = read(path=f"{AT}/status", method="GET", query="logs=1", dialect=dialect)
    assert call.forward.path.endswith("/status?logs=1")
    logs = [{"message": f"{DATA}{b64(OUT)}"}, {"message": "https://v3.fal.media/out.png"}]
    told = json.loads(answered(call, queued(logs=logs), dialect=dialect).body)
    assert told["response_url"] == PUBLIC + AT
    assert told["cancel_url"] == f"{PUBLIC}{AT}/cancel"
    assert told["logs"] == [{"message": ""}, {"message": ""}]


def test_an_answer_that_leads_elsewhere_is_refused():
    call = read(asked(), f"/queue{APP}")
    said = json.loads(queued())
    for wrong in ({"response_url": "https://evil.example/x"}, {"status_url": 7}, {"request_id": "../x"}):
        with pytest.raises(UpstreamError):
            answered(call, json.dumps({**said, **wrong}).encode())


@pytest.mark.parametrize(
    ("method", "target", "goes"),
    [
        ("POST", f"https://fal.run{APP}", APP),
        ("POST", f"https://queue.fal.run{APP}", f"https://queue.fal.run{APP}"),
        ("POST", f"https://fal.run{APP}/stream", f"{APP}/stream"),
    ],
)
def test_the_client_that_names_fals_address_in_a_header_is_read_like_any_other(method, target, goes):
    call = read(asked(), "/proxy", method=method, headers=proxied(target))
    assert call.forward.origin + call.forward.path == goes
    assert texts(call)["prompt"] == "a red bicycle"
    names = [name.lower() for name, _ in call.forward.headers]
    assert "x-fal-target-url" not in names
    assert "authorization" in names


@pytest.mark.parametrize(
    "target",
    [
        "http://fal.run/fal-ai/flux/dev",
        "https://evil.example/fal-ai/flux/dev",
        "https://fal.run@evil.example/a/b",
        "https://fal.run:8443/a/b",
        "https://fal.run\\@evil.example/a/b",
        "https://fal.run/a/b#x",
        "https://fal.run/a/../b",
        "https://rest.fal.ai/tokens/",
        "https://fal.run/fal-ai/flux/realtime",
        "",
    ],
)
def test_it_is_no_proxy_to_anywhere_else(target):
    assert refused(asked(), "/proxy", headers=proxied(target)).status in (400, 404)


def test_a_target_is_said_once():
    headers = (*proxied(f"https://fal.run{APP}"), ("X-Fal-Target-Url", "https://fal.run/a/b"))
    assert refused(asked(), "/proxy", headers=headers).code == "invalid_header"


def test_an_upload_may_be_announced_and_holds_nothing():
    target = "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3"
    call = read(b'{"content_type":"image/png","file_name":"a.png"}', "/proxy", headers=proxied(target))
    assert call.forward.origin == "https://rest.fal.ai"
    answer = b'{"file_url":"https://v3.fal.media/a.png","upload_url":"https://up.example/a"}'
    told = answered(call, answer)
    assert (told.body, told.images) == (answer, ())
    assert refused(b'{"content_type":"x","data":"y"}', "/proxy", headers=proxied(target)).code == "unknown_field"


def test_an_app_cannot_have_its_filter_switched_off_by_a_header():
    headers = (("content-type", "application/json"), ("X-App-Fal-Can-Disable-Filter", "1"))
    assert "x-app-fal-can-disable-filter" not in [n.lower() for n, _ in read(asked(), headers=headers).forward.headers]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("fal_webhook=https%3A%2F%2Fa.example", "webhook_not_offered"),
        ("prompt=x", "invalid_query"),
        ("image_url=https%3A%2F%2Fa.example", "invalid_query"),
    ],
)
def test_a_query_holds_no_more_than_it_may(query, code):
    assert refused(asked(), f"/queue{APP}", query=query).code == code


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("fal_webhook=http%3A%2F%2Fa.example", "url_not_allowed"),
        ("fal_webhook=https%3A%2F%2Fa.example&fal_webhook=https%3A%2F%2Fb.example", "invalid_query"),
        ("FAL_WEBHOOK=ftp%3A%2F%2Fa.example", "url_not_allowed"),
    ],
)
def test_a_webhook_is_one_https_address(query, code):
    assert refused(asked(), f"/queue{APP}", query=query, dialect=Fal.open(HTTPS)).code == code


def test_an_app_that_is_waited_for_has_no_webhook():
    error = refused(asked(), query="fal_webhook=https%3A%2F%2Fa.example", dialect=Fal.open(HTTPS))
    assert error.code == "invalid_query"


def test_an_error_that_echoes_a_picture_leaves_without_it():
    said = {"detail": [{"loc": ["body", "image_url"], "msg": "x", "type": "y", "input": DATA + b64(OUT)}]}
    told = json.loads(answered(read(asked()), json.dumps(said).encode(), status=422).body)
    assert told["detail"][0]["input"] == ""


def test_apps_are_those_that_the_operator_lists():
    dialect = Fal.open(Setup(public_url=PUBLIC, options={"models": ["fal-ai/flux/*"]}))
    assert read(asked(), dialect=dialect)
    for path in ("/fal-ai/other", "/queue/fal-ai/other", "/fal-ai/fluxx/dev"):
        assert refused(asked(), path, dialect=dialect).code == "model_not_allowed"


@pytest.mark.parametrize(
    "options", [{"queue_url": "queue"}, {"queue_url": "https://a/b"}, {"queue_url": 7}, {"unknown_jobs": "pass"}]
)
def test_options_that_cannot_be_read_are_refused(options):
    with pytest.raises(ConfigError):
        Fal.open(Setup(options=options))


def test_a_picture_by_address_is_fetched_once():
    store = Store({"https://v3.fal.media/a.png": PERSON})
    call = read(asked(image_url="https://v3.fal.media/a.png", mask_url="https://v3.fal.media/a.png"), store=store)
    assert list(inputs(call).values()) == [PERSON, PERSON]
    assert store.asked == ["https://v3.fal.media/a.png"]


def test_a_picture_behind_a_link_in_a_stream_is_judged_and_leaves_as_it_was_judged():
    dialect = Fal.open(SETUP)
    reader = dialect.read_stream(read(asked(), f"{APP}/stream", dialect=dialect))
    told = json.dumps({"partial": "so far: [the photo](https://made.example/x)"})
    (event,) = reader.feed(b"data: " + told.encode() + b"\n\n")
    assert event.later is not None
    there = asyncio.run(event.later(Store({"https://made.example/x": OUT}).fetch))
    assert [one.data for one in there.images] == [OUT]
    assert b"made.example" not in there.raw
