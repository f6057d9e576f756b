"""The Replicate dialect keeps the contract of a dialect."""

import json

from guardrail.upstream.contract import GARBAGE, Capture, DialectContract
from guardrail.upstream.replicate import Replicate
from tests.upstream.asking import FORM, b64, form, png
from tests.upstream.replicate.asking import CREATE, MODEL, SETUP, asked, prediction, told

PERSON, MASK, STYLE, OUT, OTHER = (png(shade) for shade in (10, 20, 30, 40, 50))
URL = "data:image/png;base64,"
HOSTED = "https://replicate.delivery/out-0.png"


class TestReplicate(DialectContract):
    dialect = Replicate.open(SETUP)
    garbage = (*GARBAGE, b'{"id":"p1"}', b'{"status":"succeeded"}')
    closed = (
        ("POST", "/v1/models"),
        ("QUERY", "/v1/models"),
        ("POST", "/v1/models/a/b/versions/c/trainings"),
        ("GET", "/v1/trainings"),
        ("POST", "/v1/deployments"),
        ("PATCH", "/v1/deployments/a/b"),
        ("POST", "/guardrail/hooks/abc"),
        ("GET", "/guardrail/files/abc"),
        ("GET", "/v1/models/../x"),
    )
    captures = (
        Capture(
            "pictures in every form, one by address",
            CREATE,
            body=asked(
                negative_prompt="cars and vans",
                image=URL + b64(PERSON),
                reference_images=["https://a.example/style.png"],
                deep={"mask": b64(MASK)},
            ),
            sent=asked(
                negative_prompt="cars and vans",
                image=URL + b64(PERSON),
                reference_images=[URL + b64(STYLE)],
                deep={"mask": b64(MASK)},
            ),
            texts=("a red bicycle", "cars and vans"),
            pictures=(PERSON, MASK, STYLE),
            files={"https://a.example/style.png": STYLE, HOSTED: OUT},
            answer=prediction([HOSTED, URL + b64(OTHER)]),
            told=told([URL + b64(OUT), URL + b64(OTHER)]),
            answer_status=201,
            outputs=(OUT, OTHER),
        ),
        Capture(
            "a model by name, its filter switched off",
            MODEL,
            body=asked(disable_safety_checker=True, safety_tolerance=6),
            sent=asked(disable_safety_checker=False, safety_tolerance=2),
            clamped=("disable_safety_checker", "safety_tolerance"),
            texts=("a red bicycle",),
            answer=prediction({"image": URL + b64(OUT)}),
            told=told({"image": URL + b64(OUT)}),
            outputs=(OUT,),
        ),
        Capture(
            "not done yet",
            "/v1/deployments/acme/painter/predictions",
            body=asked(),
            texts=("a red bicycle",),
            answer=prediction(status="starting"),
            told=told(status="starting"),
            answer_status=201,
        ),
        Capture(
            "fetched, and not known here",
            "/v1/predictions/p7",
            method="GET",
            headers=(),
            files={
                "predictions/p7": json.dumps(
                    {"id": "p7", "input": {"prompt": "a red bicycle", "image": URL + b64(PERSON)}}
                ).encode()
            },
            texts=("a red bicycle",),
            pictures=(PERSON,),
            answer=prediction([URL + b64(OUT)], job_id="p7"),
            told=told([URL + b64(OUT)], job_id="p7"),
            outputs=(OUT,),
        ),
        Capture(
            "a file",
            "/v1/files",
            headers=FORM,
            body=form(("metadata", b"{}"), ("content", PERSON, "person.png")),
            pictures=(PERSON,),
            answer=b'{"id":"f1", "urls":{"get":"https://api.replicate.com/v1/files/f1"}}',
            answer_status=201,
        ),
    )

    def check_refusal(self, status, body, stage):
        said = json.loads(body)
        if status == 422:
            assert said.keys() == {"title", "detail", "status"}
            return
        assert status in (200, 201)
        assert (said["status"], said["output"]) == ("failed", None)
        assert said["error"].startswith("The input or output was flagged as sensitive.")
