"""Guarding a call, with a painter in the place of a pipeline: no PyTorch is needed for any of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import AuditError, BadRequest, ConfigError
from guardrail.integrations.diffusers import Refused, guard

WHITE = Image.new("RGB", (8, 8), "white")
BLACK = Image.new("RGB", (8, 8))


@dataclass
class Painted:
    images: Any
    nsfw_content_detected: Any = None


@dataclass
class Film:
    frames: Any


class Painter:
    """Gives what it was told to, and remembers what it was asked."""

    def __init__(self, made: Any = None) -> None:
        self.made = made if made is not None else Painted([BLACK])
        self.asked: list[dict[str, Any]] = []

    def __call__(self, prompt=None, image=None, output_type="pil", callback_on_step_end=None, **kwargs):
        self.asked.append({"prompt": prompt, "image": image, **kwargs})
        if callback_on_step_end is not None:
            callback_on_step_end(self, 0, 999, {"latents": "half a picture"})
        return self.made


class FilmMaker(Painter):
    def __call__(self, prompt=None, num_frames=2):
        self.asked.append({"prompt": prompt})
        return self.made


class Inverter(Painter):
    def invert(self, image):
        return image


class Mode(Enum):
    FAST = 1


def raising(painter, by):
    return guard(painter, by, on_refusal="raise")


def test_importing_it_brings_no_torch_and_no_diffusers():
    said = "import sys, guardrail.integrations.diffusers; print({'torch', 'diffusers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", said], text=True) == "set()\n"


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "forbidden"},
        {"prompt": ["a bicycle", "forbidden"]},
        {"prompt_3": "forbidden"},
        {"negative_prompt_2": ["forbidden"]},
        {"cross_attention_kwargs": {"phrases": ["forbidden"]}},
        {"a_name_that_nobody_knows": "forbidden"},
    ],
)
def test_every_text_is_judged_whatever_it_is_called(by, asked):
    painter = Painter()
    with pytest.raises(Refused):
        raising(painter, by)(**asked)
    assert painter.asked == []


@pytest.mark.parametrize("name", ["image", "mask_image", "control_image", "ip_adapter_image", "gligen_images", "other"])
@pytest.mark.parametrize("form", [WHITE, [WHITE], {"deep": [[WHITE]]}])
def test_every_picture_is_judged_whatever_it_is_called(by, eye, name, form):
    eye.bright = 1.0
    painter = Painter()
    with pytest.raises(Refused):
        raising(painter, by)("a bicycle", **{name: form})
    assert painter.asked == []


def test_settings_pass(by, eye):
    painter = Painter()
    raising(painter, by)(
        "a bicycle",
        output_type="pil",
        callback_on_step_end_tensor_inputs=["latents"],
        num_inference_steps=4,
        guidance_scale=np.float32(7.5),
        sigmas=[1.0, 0.5],
        timesteps=np.arange(4),
        mode=Mode.FAST,
        attention_mask=np.ones((1, 77)),
        nothing=None,
    )
    assert len(painter.asked) == 1
    assert eye.texts == ["a bicycle"]


@pytest.mark.parametrize(
    "asked",
    [
        {"image": "https://host/picture.png"},
        {"image": "/a/path.png"},
        {"prompt_embeds": np.zeros((1, 77, 8))},
        {"ip_adapter_image_embeds": [np.zeros((1, 1, 8))]},
        {"image_latents": np.zeros((1, 8, 8, 3))},
        {"thing": np.zeros((8, 8, 3))},
        {"thing": object()},
        {"image": b"bytes"},
        {"output_type": "latent"},
        {"callback": print},
        {"thing": [[[[[[[["deep"]]]]]]]]},
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_anything_is_painted(by, asked):
    painter = Painter()
    with pytest.raises(BadRequest):
        raising(painter, by)("a bicycle", **asked) if "image" not in asked else raising(painter, by)(**asked)
    assert painter.asked == []


def test_what_is_let_through_unread_is_named_in_the_record(by, audit):
    output = guard(Painter(), by, allow_unread=True)("a bicycle", prompt_embeds=np.zeros((1, 77, 8)), thing=object())
    record = audit.get(output.guardrail[0].receipt.id)
    assert record.entry.body["receipt"]["looks"][0]["notes"] == [
        "prompt_embeds was not looked at",
        "thing was not looked at",
    ]


def test_what_an_earlier_call_left_unread_is_not_said_of_the_next_with_the_same_prompt(by):
    painting = guard(Painter(), by, allow_unread=True)
    first = painting("a bicycle", thing=object()).guardrail[0].receipt
    second = painting("a bicycle").guardrail[0].receipt
    assert [one.looks[0].notes for one in (first, second)] == [("thing was not looked at",), ()]


def test_callbacks_get_no_tensors_and_give_none_back(by):
    heard = []
    guard(Painter(), by)("a bicycle", callback_on_step_end=lambda *said: heard.append(said[1:]))
    assert heard == [(0, 999, {})]


class Cutoff:
    tensor_inputs = ("latents",)

    def __call__(self, *said):
        return {}


def test_a_callback_that_is_given_tensors_by_its_class_is_refused(by):
    with pytest.raises(BadRequest, match="callback_on_step_end"):
        guard(Painter(), by)("a bicycle", callback_on_step_end=Cutoff())


def test_flags_of_the_pipeline_itself_stay_up(by, eye):
    eye.bright = 1.0
    output = guard(Painter(Painted([BLACK, WHITE, BLACK], [True, False, False])), by)("a bicycle")
    assert output.nsfw_content_detected == [True, True, False]
    assert [one.getextrema()[0][1] for one in output.images] == [0, 0, 0]
    assert [one.action.refuses for one in output.guardrail] == [False, True, False]


def test_a_film_is_black_altogether_when_one_frame_is_refused(by, eye):
    eye.bright = 1.0
    grey = Image.new("RGB", (8, 8), (9, 9, 9))
    film = guard(FilmMaker(Film([[grey, WHITE]])), by)("a bicycle").frames
    assert [one.getextrema()[0][1] for one in film[0]] == [0, 0]
    array = np.full((1, 2, 8, 8, 3), 0.1, np.float32)
    assert guard(FilmMaker(Film(array)), by)("a bicycle").frames.max() > 0
    array[0, 1] = 1.0
    assert guard(FilmMaker(Film(array)), by)("a bicycle").frames.max() == 0


def test_a_refused_film_raises_as_no_form_of_it_is_known(by):
    with pytest.raises(Refused):
        guard(FilmMaker(), by)("forbidden")


def test_a_text_that_comes_back_is_judged_and_cannot_be_black(by, audit):
    painter = guard(Painter(("forbidden",)), by)
    with pytest.raises(Refused):
        painter("a bicycle")
    assert audit.entries(limit=1)[0].entry.body["status"] == "refused"
    assert guard(Painter(("a red bicycle",)), by)("a bicycle") == ("a red bicycle",)


@pytest.mark.parametrize("made", [object(), Painted([object()]), Painted(np.zeros((1, 8, 8, 4))), (b"bytes",)])
def test_an_output_that_cannot_be_looked_at_is_withheld(by, audit, made):
    with pytest.raises(BadRequest, match="withheld"):
        guard(Painter(made), by)("a bicycle")
    assert audit.entries(limit=1)[0].entry.body["status"] == "failed"


def test_nothing_is_returned_without_its_record(by, audit, tmp_path):
    painter = guard(Painter(), by)
    audit.close()
    with pytest.raises(AuditError):
        painter("a bicycle")


def test_it_can_be_called_where_an_event_loop_runs(by):
    async def inside():
        return guard(Painter(), by)("a bicycle")

    assert asyncio.run(inside()).nsfw_content_detected == [False]


def test_records_name_the_tenant(by, audit):
    guard(Painter(), by, tenant="school")("a bicycle")
    assert audit.entries(limit=1)[0].entry.tenant == "school"


def test_a_pipeline_with_another_way_in_is_not_guarded_by_half(by):
    with pytest.raises(ConfigError, match="invert"):
        guard(Inverter(), by)
    with pytest.raises(ConfigError, match="already"):
        guard(guard(Painter(), by), by)
    with pytest.raises(ConfigError, match="black or raise"):
        guard(Painter(), by, on_refusal="white")


def test_wrong_arguments_are_the_pipelines_own_error(by, audit):
    with pytest.raises(TypeError):
        guard(FilmMaker(), by)("a bicycle", colour="red")
    assert audit.entries(limit=1) == []
