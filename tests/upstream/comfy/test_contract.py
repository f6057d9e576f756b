"""The ComfyUI dialect keeps the contract of a dialect."""

import json

from guardrail.types import Stage
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.contract import Capture, DialectContract
from tests.upstream.asking import FORM, b64, form, png
from tests.upstream.comfy.asking import asked, history, nodes, view

PERSON, MASK, OUT = (png(shade) for shade in (10, 20, 50))
LOADING = nodes(
    **{
        "20": ("LoadImage", {"image": "a.png", "upload": "image"}),
        "21": ("LoadImageOutput", {"image": "sub/b.png [output]"}),
        "22": ("ETN_LoadImageBase64", {"image": b64(MASK)}),
    }
)
WORKFLOW = {
    "extra_pnginfo": {"workflow": {"nodes": [{"widgets_values": ["text of long ago"]}]}},
    "api_key_comfy_org": "k",
}


class TestComfy(DialectContract):
    dialect = Comfy()
    closed = (
        ("GET", "/"),
        ("GET", "/history"),
        ("GET", "/api/jobs"),
        ("GET", "/userdata"),
        ("POST", "/userdata/workflows%2Fa.json"),
        ("GET", "/view_metadata/checkpoints"),
        ("GET", "/object_info/.."),
        ("POST", "/manager/queue/install"),
        ("GET", "/prompt/x"),
        # These reach the jobs of everybody, and the server knows no users.
        *(("POST", path) for path in ("/queue", "/history", "/interrupt", "/free", "/api/queue")),
    )
    captures = (
        Capture(
            "prompt",
            "/prompt",
            body=asked(),
            texts=("a red bicycle", "cars and vans"),
            answer=b'{"prompt_id": "0b6a",  "number": 3, "node_errors": {}}',
        ),
        Capture(
            "prompt with pictures of the server, and one in itself",
            "/api/prompt",
            body=asked(LOADING),
            texts=("a red bicycle",),
            files={view("a.png", "input"): PERSON, "filename=b.png&subfolder=sub&type=output": OUT},
            pictures=(PERSON, OUT, MASK),
            answer=b'{"prompt_id": "0b6b", "number": 3, "node_errors": {}}',
        ),
        Capture(
            "prompt of the web interface",
            "/api/prompt",
            body=asked(extra_data=WORKFLOW),
            sent=asked(extra_data={**WORKFLOW, "extra_pnginfo": {}}),
            clamped=("extra_pnginfo",),
            texts=("a red bicycle",),
            answer=b'{"prompt_id": "0b6c", "number": 3, "node_errors": {}}',
        ),
        Capture(
            "upload",
            "/upload/image",
            headers=FORM,
            body=form(("image", PERSON, "a.png"), ("subfolder", b"mine"), ("overwrite", b"true")),
            sent=form(("image", PERSON, "a.png"), ("subfolder", b"mine"), ("overwrite", b"false")),
            clamped=("overwrite",),
            pictures=(PERSON,),
            answer=b'{"name": "a.png", "subfolder": "mine", "type": "input"}',
        ),
        Capture(
            "upload of a mask",
            "/upload/mask",
            headers=FORM,
            body=form(("image", MASK, "m.png"), ("original_ref", b'{"filename": "a.png", "type": "input"}')),
            files={view("a.png", "input"): PERSON},
            pictures=(MASK, PERSON),
            answer=b'{"name": "m.png", "subfolder": "", "type": "input"}',
        ),
        Capture(
            "view",
            "/view",
            method="GET",
            headers=(),
            query=view("x.png"),
            files={"history": history("j1", nodes(), "x.png")},
            texts=("a red bicycle",),
            answer=OUT,
            answer_headers=(("content-type", "image/png"), ("content-disposition", 'filename="x.png"')),
            outputs=(OUT,),
        ),
        Capture(
            "history",
            "/api/history/j2",
            method="GET",
            headers=(),
            answer=history("j2", LOADING, "x.png", text=["three words only"]),
            outputs=(MASK,),  # this job is not known, so its own picture is not known to be judged
        ),
    )

    def test_an_answer_cut_short_is_the_generators_fault(self, whole):
        if whole.name != "view":  # half a picture is a picture that the checks cannot read
            super().test_an_answer_cut_short_is_the_generators_fault(whole)

    def test_an_answer_that_is_none_is_the_generators_fault(self, whole):
        if whole.name != "history":  # {} is the history of a job that is not done
            super().test_an_answer_that_is_none_is_the_generators_fault(whole)

    def check_refusal(self, status, body, stage):
        said = json.loads(body)
        assert status in (400, 403)
        assert said["error"]["type"] == "content_policy_violation"
        assert said["error"]["extra_info"] == {"rules": ["a-rule"], "receipt": "rcp-contract"}
        assert (said["node_errors"], stage in Stage) == ({}, True)
