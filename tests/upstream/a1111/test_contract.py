"""The AUTOMATIC1111 dialect keeps the contract of a dialect."""

import json

from guardrail.upstream.a1111 import A1111
from guardrail.upstream.contract import Capture, DialectContract
from tests.upstream.a1111.asking import IMG2IMG, TXT2IMG, answer, asked
from tests.upstream.asking import b64, png

PERSON, MASK, MARKS, FACE, OUT, OTHER = (png(shade) for shade in (10, 20, 30, 40, 50, 60))
URL = "data:image/png;base64,"

SCRIPTED = asked(
    alwayson_scripts={
        "ADetailer": {"args": [True, {"ad_model": "face_yolov8n.pt", "ad_prompt": "a calm face"}]},
        "ControlNet": {"args": [{"image": b64(MARKS), "mask": None, "module": "canny", "model": "control [1a2b]"}]},
        "reactor": {"args": [URL + b64(FACE), True, "0", "inswapper_128.onnx"]},
    },
    script_name="prompt matrix",
    script_args=["in the snow of last winter", 1],
)
EXTRAS = json.dumps({"upscaler_1": "R-ESRGAN 4x+", "image": URL + b64(PERSON)}).encode()
BATCH = json.dumps({"imageList": [{"data": b64(PERSON), "name": "a.png"}, {"data": b64(MASK), "name": "b"}]}).encode()


class TestA1111(DialectContract):
    dialect = A1111()
    closed = (
        ("GET", TXT2IMG),
        ("POST", "/run/predict"),
        ("POST", "/queue/join"),
        ("GET", "/file=/etc/passwd"),
        ("POST", "/sdapi/v1/create/embedding"),
        ("POST", "/sdapi/v1/server-kill"),
        ("POST", "/agent-scheduler/v1/queue/txt2img"),
        ("POST", "/controlnet/txt2img"),
        ("GET", "/internal/pending-tasks"),
    )
    captures = (
        Capture(
            "txt2img",
            TXT2IMG,
            body=asked(negative_prompt="cars and vans", batch_size=2, hr_prompt="a blue bicycle", send_images=True),
            texts=("a red bicycle", "cars and vans", "a blue bicycle"),
            answer=answer(OUT, OTHER),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "img2img, one picture by address",
            IMG2IMG,
            body=asked(init_images=[URL + b64(PERSON), "https://a.example/1"], mask=b64(MASK)),
            sent=asked(init_images=[URL + b64(PERSON), URL + b64(FACE)], mask=b64(MASK)),
            texts=("a red bicycle",),
            files={"https://a.example/1": FACE},
            pictures=(PERSON, MASK, FACE),
            answer=answer(OUT),
            outputs=(OUT,),
        ),
        Capture(
            "what would be saved and not sent back",
            TXT2IMG,
            body=b'{"prompt":"a red bicycle" ,"save_images":true, "send_images": false,'
            b' "override_settings": {"samples_save": true, "sd_model_checkpoint": "sdxl"}}',
            sent=b'{"prompt":"a red bicycle" ,"save_images":false, "send_images": true,'
            b' "override_settings": {"samples_save": false, "sd_model_checkpoint": "sdxl"}}',
            clamped=("save_images", "send_images", "samples_save"),
            texts=("a red bicycle",),
            answer=answer(OUT),
            outputs=(OUT,),
        ),
        Capture(
            "texts and pictures of scripts, which come back as an echo",
            TXT2IMG,
            body=SCRIPTED,
            texts=("a red bicycle", "a calm face", "in the snow of last winter", "face_yolov8n.pt"),
            pictures=(MARKS, FACE),
            answer=answer(OUT, OTHER, alwayson_scripts={"reactor": {"args": [URL + b64(FACE)]}}),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "extra-single-image",
            "/sdapi/v1/extra-single-image",
            body=EXTRAS,
            pictures=(PERSON,),
            answer=f'{{"html_info":"<p></p>","image": "{b64(OUT)}"}}'.encode(),
            outputs=(OUT,),
        ),
        Capture(
            "extra-batch-images",
            "/sdapi/v1/extra-batch-images",
            body=BATCH,
            pictures=(PERSON, MASK),
            answer=f'{{"html_info":"","images": ["{b64(OUT)}", "{b64(OTHER)}"]}}'.encode(),
            outputs=(OUT, OTHER),
        ),
        Capture(
            "controlnet detect",
            "/controlnet/detect",
            body=json.dumps({"controlnet_module": "canny", "controlnet_input_images": [b64(PERSON)]}).encode(),
            pictures=(PERSON,),
            answer=f'{{"images":["{b64(MARKS)}"],"info":"Success"}}'.encode(),
            outputs=(MARKS,),
        ),
        Capture(
            "png-info",
            "/sdapi/v1/png-info",
            body=json.dumps({"image": URL + b64(PERSON)}).encode(),
            pictures=(PERSON,),
            answer=b'{"info":"a cat\\nSteps: 20","items":{"parameters":"a cat"}}',
        ),
        Capture(
            "interrogate",
            "/sdapi/v1/interrogate",
            body=json.dumps({"image": b64(PERSON), "model": "clip"}).encode(),
            pictures=(PERSON,),
            answer=b'{"caption": "a cat on a mat"}',
        ),
        Capture("options", "/sdapi/v1/options", body=b'{"sd_model_checkpoint": "sdxl.safetensors"}', answer=b"null"),
    )

    def check_refusal(self, status, body, stage):
        assert status == 400
        said = json.loads(body)
        assert said.keys() == {"error", "detail", "body", "errors"}
        assert (said["error"], said["errors"]) == ("ContentPolicyViolation", "a-rule")
