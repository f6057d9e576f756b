"""Drives an unmodified webuiapi through every scenario and prints, as JSON, what it saw.

Runs in an environment that has webuiapi and nothing of this repository: a1111_client.py PORT FOLDER. A header tells the
scripted generator which scenario this is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import webuiapi
from PIL import Image

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
GOOD, BAD = (Image.open(FOLDER / name) for name in ("good.png", "bad.png"))
api = webuiapi.WebUIApi(host="127.0.0.1", port=PORT)
api.set_auth("anna", "s3cret")
raw: list[bytes] = []
api.session.hooks["response"].append(lambda response, *_, **__: raw.append(response.content))


def draw(prompt: str = "a red bicycle", **more: Any) -> Any:
    return api.txt2img(prompt=prompt, alwayson_scripts={}, **more)


def edit(*images: Any, **more: Any) -> Any:
    return api.img2img(images=list(images), prompt="make it autumn", alwayson_scripts={}, **more)


def control(image: Any, mask: Any = None) -> list[Any]:
    return [webuiapi.ControlNetUnit(image=image, mask=mask, module="canny", model="control_v11p_sd15_canny [d14c016b]")]


def plain(value: Any) -> Any:
    return {"value": value}


FORBIDDEN = "something forbidden"
SCENARIOS: dict[str, Callable[[], Any]] = {
    "generate": lambda: draw(negative_prompt="fog", save_images=True, override_settings={"sd_vae": "x.pt"}),
    "generate-two": lambda: draw(batch_size=2, enable_hr=True, hr_prompt="a blue bicycle"),
    "edit": lambda: edit(GOOD, mask_image=GOOD, include_init_images=True),
    "controlnet": lambda: draw(controlnet_units=control(GOOD, GOOD)),
    "adetailer": lambda: draw(adetailer=[webuiapi.ADetailer(ad_model="face_yolov8n.pt", ad_prompt="a calm face")]),
    "animatediff": lambda: draw(animatediff=webuiapi.AnimateDiff()),
    "reactor": lambda: draw(reactor=webuiapi.ReActor(img=GOOD)),
    "roop": lambda: draw(roop=webuiapi.Roop(img=GOOD)),
    "extra": lambda: api.extra_single_image(GOOD, upscaler_1="R-ESRGAN 4x+"),
    "extras": lambda: api.extra_batch_images([GOOD, GOOD], name_list=["a.png", "b.png"]),
    "png-info": lambda: api.png_info(GOOD),
    "interrogate": lambda: api.interrogate(GOOD),
    "detect": lambda: api.controlnet_detect([GOOD]),
    "progress": lambda: plain(api.get_progress()),
    "samplers": lambda: plain(api.get_samplers()),
    "set-model": lambda: plain(api.set_options({"sd_model_checkpoint": "sdxl"})),
    "interrupt": lambda: plain(api.interrupt()),
    "word-prompt": lambda: draw(FORBIDDEN),
    "word-weighted": lambda: draw("a for[x:bidden:0] thing"),
    "word-negative": lambda: draw(negative_prompt=FORBIDDEN),
    "word-hr": lambda: draw(hr_prompt=FORBIDDEN),
    "word-hr-negative": lambda: draw(hr_negative_prompt=FORBIDDEN),
    "word-edit": lambda: api.img2img(images=[GOOD], prompt=FORBIDDEN, alwayson_scripts={}),
    "word-edit-negative": lambda: edit(GOOD, negative_prompt=FORBIDDEN),
    "word-adetailer-negative": lambda: draw(adetailer=[webuiapi.ADetailer(ad_negative_prompt=FORBIDDEN)]),
    "word-edit-script": lambda: edit(GOOD, script_name="loopback", script_args=[1, FORBIDDEN]),
    "word-unknown": lambda: api.custom_post(
        "txt2img", {"prompt": "x", "style_words": [{"deep": FORBIDDEN}]}, baseurl=True
    ),
    "word-adetailer": lambda: draw(adetailer=[webuiapi.ADetailer(ad_prompt=FORBIDDEN)]),
    "word-script": lambda: draw(script_name="prompt matrix", script_args=[FORBIDDEN]),
    "word-extension": lambda: api.txt2img(prompt="x", alwayson_scripts={"wild": {"args": ["forbidden"]}}),
    "picture-init": lambda: edit(BAD),
    "picture-second": lambda: edit(GOOD, BAD),
    "picture-mask": lambda: edit(GOOD, mask_image=BAD),
    "picture-controlnet": lambda: draw(controlnet_units=control(BAD)),
    "picture-controlnet-mask": lambda: draw(controlnet_units=control(GOOD, BAD)),
    "picture-edit-controlnet": lambda: edit(GOOD, controlnet_units=control(BAD)),
    "picture-edit-reactor": lambda: edit(GOOD, reactor=webuiapi.ReActor(img=BAD)),
    "picture-script": lambda: draw(script_name="outpaint", script_args=[webuiapi.webuiapi.b64_img(BAD)]),
    "picture-extension": lambda: api.txt2img(
        prompt="x", alwayson_scripts={"wild": {"args": [{"deep": webuiapi.webuiapi.raw_b64_img(BAD)}]}}
    ),
    "picture-reactor": lambda: draw(reactor=webuiapi.ReActor(img=BAD)),
    "picture-roop": lambda: draw(roop=webuiapi.Roop(img=BAD)),
    "picture-extra": lambda: api.extra_single_image(BAD),
    "picture-extras": lambda: api.extra_batch_images([GOOD, BAD]),
    "picture-png-info": lambda: api.png_info(BAD),
    "picture-interrogate": lambda: api.interrogate(BAD),
    "picture-detect": lambda: api.controlnet_detect([BAD]),
    "output": draw,
    "output-edit": lambda: edit(GOOD),
    "output-extra": lambda: api.extra_single_image(GOOD),
    "output-elsewhere": draw,
    "output-prompt": draw,
    "output-one-of-two": lambda: draw(batch_size=2),
    "output-progress": lambda: plain(api.get_progress()),
    "output-extras": lambda: api.extra_batch_images([GOOD, GOOD], name_list=["a.png", "b.png"]),
    "output-detect": lambda: api.controlnet_detect([GOOD]),
    "busy": draw,
    "html": draw,
    "style": lambda: draw(styles=["Hidden"]),
    "closed": lambda: api.custom_get("no-such-thing", baseurl=True),
    "closed-old-controlnet": lambda: draw(controlnet_units=control(GOOD), use_deprecated_controlnet=True),
}


def told(result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return result
    return {
        "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in result.images],
        "sizes": [image.size for image in result.images],
        "info": result.info,
    }


results = {}
for scenario, play in SCENARIOS.items():
    raw.clear()
    api.session.headers["x-scenario"] = scenario
    try:
        results[scenario] = told(play())
    except RuntimeError as error:
        status, text = error.args
        results[scenario] = {"error": {"status": status, "body": json.loads(text)}}
    results[scenario]["raw"] = [base64.b64encode(one).decode() for one in raw]
print(json.dumps({"version": version("webuiapi"), "results": results}))
