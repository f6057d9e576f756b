"""The fal dialect keeps the contract of a dialect."""

import json

from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.dialect import Door
from guardrail.upstream.fal import Fal
from tests.upstream.asking import b64, png
from tests.upstream.fal.asking import APP, PUBLIC, SETUP, asked, queued, result

PERSON, MASK, STYLE, OUT, OTHER = (png(shade) for shade in (10, 20, 30, 40, 50))
URL = "data:image/png;base64,"
HOSTED = "https://v3.fal.media/files/a/out.png"


class TestFal(DialectContract):
    dialect = Fal.open(SETUP)
    # An app may answer with texts alone, under any name.
    garbage = (b"", b"<html><body>It works</body></html>", b"{}", b"null", b"[", b"\xff\xfe\x00")
    closed = (
        ("GET", APP),
        ("PUT", APP),
        ("POST", "/fal-ai/flux/realtime"),
        ("GET", "/fal-ai/flux/realtime"),
        ("POST", "/queue"),
        ("POST", "/queue/queue/x"),
        ("DELETE", f"/queue{APP}"),
        ("POST", "/tokens/"),
        ("POST", "/guardrail/hooks/abc"),
        ("POST", "/guardrail/files/abc"),
    )
    captures = (
        Capture(
            "run, with pictures in every form",
            APP,
            body=asked(
                negative_prompt="cars and vans",
                image_url=URL + b64(PERSON),
                image_urls=["https://a.example/style.png"],
                control={"mask_url": URL + b64(MASK)},
            ),
            sent=asked(
                negative_prompt="cars and vans",
                image_url=URL + b64(PERSON),
                image_urls=[URL + b64(STYLE)],
                control={"mask_url": URL + b64(MASK)},
            ),
            texts=("a red bicycle", "cars and vans"),
            pictures=(PERSON, MASK, STYLE),
            files={"https://a.example/style.png": STYLE, HOSTED: OUT},
            answer=result(HOSTED, URL + b64(OTHER)),
            told=result(URL + b64(OUT), URL + b64(OTHER)),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "one picture, the filter switched off",
            "/fal-ai/recraft/upscale/crisp",
            body=asked(enable_safety_checker=False, safety_tolerance="6"),
            sent=asked(enable_safety_checker=True, safety_tolerance="2"),
            clamped=("enable_safety_checker", "safety_tolerance"),
            texts=("a red bicycle",),
            answer=json.dumps({"image": {"url": URL + b64(OUT), "content_type": "image/png"}}).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "streamed",
            "/fal-ai/flux/dev/stream",
            body=asked(),
            texts=("a red bicycle",),
            answer=b"".join(
                b"data: " + json.dumps({"images": [{"url": URL + b64(one)}], "step": 1}).encode() + b"\n\n"
                for one in (OUT, OTHER)
            ),
            outputs=(OUT, OTHER),
            streamed=True,
        ),
    )

    def check_refusal(self, status, body, stage):
        assert status == 422
        (said,) = json.loads(body)["detail"]
        assert said["type"] == "content_policy_violation"

    def test_what_is_not_known_is_closed(self):
        """Apps have names and paths of any kind, and all of them are judged alike."""
        door = self.dialect.door
        for path in ("/", "//", "/..", "/v1/../admin", "/unknown", "/healthz", "/a//b", "/a/b%2f", "/proxy/x"):
            for method in ("POST", "DELETE"):
                assert door(method, path) is Door.CLOSED, (method, path)
        for capture in self.captures:
            for spelled in (capture.path + "/", "/" + capture.path, capture.path + "%2f.."):
                assert door(capture.method, spelled) is Door.CLOSED, spelled
            assert door("TRACE", capture.path) is Door.CLOSED
        for method, path in self.closed:
            assert door(method, path) is Door.CLOSED, path


class TestQueue(DialectContract):
    """The queue is another host, below `/queue` here: what goes on is without that."""

    dialect = Fal.open(SETUP)
    captures = (
        Capture(
            "submitted",
            f"/queue{APP}",
            body=asked(),
            texts=("a red bicycle",),
            answer=queued(),
            told=queued(base=f"{PUBLIC}/queue/fal-ai/flux"),
        ),
    )

    def check_refusal(self, status, body, stage):
        assert status == 422

    def test_a_request_goes_on_as_it_came(self, capture):
        forward = self.read(capture).forward
        assert (forward.method, forward.origin + forward.path) == ("POST", f"https://queue.fal.run{APP}")
        assert forward.body == capture.body

    def test_what_is_not_known_is_closed(self):
        """See above."""
