"""Guarded pipelines of the real diffusers package, with random weights."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip(
    "diffusers", reason="diffusers and PyTorch are not in this environment; `make slow` tests with them"
)
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from guardrail.errors import BadRequest, ConfigError  # noqa: E402
from guardrail.integrations.diffusers import Refused, SafetyChecker, guard  # noqa: E402
from tests.integrations import tiny  # noqa: E402

pytestmark = pytest.mark.slow

QUICK = {"num_inference_steps": 2, "width": tiny.SIDE, "height": tiny.SIDE}


# The first has a hook for a safety checker, the others have none.
@pytest.fixture(
    params=[tiny.stable_diffusion, tiny.sdxl, tiny.sd3, tiny.flux, tiny.qwen], ids=lambda make: make.__name__
)
def pipe(request):
    return request.param()


def seed():
    return torch.Generator().manual_seed(3)


def newest(audit):
    return audit.entries(limit=1)[0].entry


def test_a_clean_call_gives_the_same_pixels_as_an_unguarded_one(pipe, by, eye, audit):
    bare = pipe("a red bicycle", generator=seed(), **QUICK).images[0]
    guarded = guard(pipe, by)
    assert guarded is pipe
    output = pipe("a red bicycle", generator=seed(), **QUICK)
    assert np.array_equal(np.asarray(bare), np.asarray(output.images[0]))
    assert np.array_equal(eye.pictures["output"][0], np.asarray(bare))
    assert output.nsfw_content_detected == [False]
    assert output.guardrail[0].receipt.recorded
    record = newest(audit)
    assert record.id == output.guardrail[0].receipt.id
    assert record.body["status"] == "answered"
    assert record.body["route"] == "diffusers"


def test_a_refused_prompt_never_runs_and_gives_black_pictures(pipe, by, eye, audit):
    guard(pipe, by)
    steps = []
    output = pipe(
        ["a bicycle", "forbidden"],
        num_images_per_prompt=2,
        callback_on_step_end=lambda pipe, at, t, tensors: steps.append(at),
        **QUICK,
    )
    assert steps == []
    assert eye.pictures["output"] == []
    assert [np.asarray(one).max() for one in output.images] == [0, 0, 0, 0]
    assert output.images[0].size == (tiny.SIDE, tiny.SIDE)
    assert output.nsfw_content_detected == [True] * 4
    assert output.guardrail[0].rules == ("no-word",)
    assert newest(audit).body["status"] == "refused"


@pytest.mark.parametrize("name", ["prompt", "prompt_2", "negative_prompt", "negative_prompt_2"])
def test_each_prompt_of_sdxl_is_judged(by, name):
    pipe = guard(tiny.sdxl(), by, on_refusal="raise")
    with pytest.raises(Refused) as refused:
        pipe(**{"prompt": "a bicycle", name: "forbidden"}, **QUICK)
    assert refused.value.decision.rules == ("no-word",)
    assert refused.value.decision.receipt.id in str(refused.value)
    assert "forbidden" not in str(refused.value)


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_one_refused_picture_of_three_is_black_and_its_neighbours_stay(pipe, by, eye, audit, output_type):
    asked = {"num_images_per_prompt": 3, "output_type": output_type, **QUICK}
    bare = pipe("a bicycle", generator=seed(), **asked).images
    guard(pipe, by)
    pipe("a bicycle", generator=seed(), **asked)
    levels = [one.mean() / 255 for one in eye.pictures["output"]]
    brightest = int(np.argmax(levels))
    eye.bright = max(levels)
    output = pipe("a bicycle", generator=seed(), **asked)
    assert output.nsfw_content_detected == [at == brightest for at in range(3)]
    for at in range(3):
        expected = np.zeros_like(np.asarray(bare[at])) if at == brightest else np.asarray(bare[at])
        assert np.array_equal(np.asarray(output.images[at]), expected)
    assert newest(audit).body["status"] == "partly_refused"
    eye.bright = max(levels) + 1e-6
    assert not any(pipe("a bicycle", generator=seed(), **asked).nsfw_content_detected)


def test_a_refused_picture_raises_where_that_is_asked_for(pipe, by, eye):
    guard(pipe, by, on_refusal="raise")
    eye.bright = 0.0
    with pytest.raises(Refused) as refused:
        pipe("a bicycle", **QUICK)
    assert refused.value.decision.rules == ("no-output",)


def test_a_tuple_is_judged_as_well(pipe, by, eye):
    guard(pipe, by)
    eye.bright = 0.0
    images, *flags = pipe("a bicycle", return_dict=False, **QUICK)
    assert np.asarray(images[0]).max() == 0
    assert flags == ([[True]] if hasattr(pipe, "safety_checker") else [])
    images, *flags = pipe("forbidden", return_dict=False, **QUICK)
    assert np.asarray(images[0]).max() == 0
    assert flags == ([[True]] if hasattr(pipe, "safety_checker") else [])


def test_a_refused_call_makes_no_picture_of_any_size_that_is_asked_for(by):
    pipe = guard(tiny.sdxl(), by)
    assert pipe("forbidden", width=10**9, height=-1).images[0].size == (4096, 1)
    assert pipe("forbidden").images[0].size == (tiny.SIDE, tiny.SIDE)


@pytest.mark.parametrize("output_type", ["np", "pt"])
def test_black_pictures_have_the_form_that_was_asked_for(pipe, by, output_type):
    bare = pipe("a bicycle", output_type=output_type, **QUICK).images
    black = guard(pipe, by)("forbidden", output_type=output_type, **QUICK).images
    assert type(black) is type(bare)
    assert black.shape == bare.shape
    assert float(black.max()) == 0.0


def test_latents_and_embeddings_are_refused_unless_allowed(by, audit):
    pipe = guard(tiny.stable_diffusion(), by)
    noise = torch.randn(1, 4, tiny.SIDE // 2, tiny.SIDE // 2)
    text = torch.randn(1, 77, 32)
    for given in (
        {"prompt": "a bicycle", "output_type": "latent"},
        {"prompt": "a bicycle", "latents": noise},
        {"prompt_embeds": text, "negative_prompt_embeds": text},
        {"prompt": "a bicycle", "callback": print},
    ):
        with pytest.raises(BadRequest):
            pipe(**given, **QUICK)
    pipe = guard(tiny.stable_diffusion(), by, allow_unread=True)
    pipe(prompt="a bicycle", latents=noise, **QUICK)
    looks = newest(audit).body["receipt"]["looks"]
    assert looks[0]["notes"] == ["latents was not looked at"]
    pipe(prompt="a bicycle", output_type="latent", **QUICK)
    assert newest(audit).body["receipt"]["looks"][0]["notes"] == ["images was not looked at"]
    with pytest.raises(BadRequest, match="nothing of this call"):
        pipe(prompt_embeds=text, negative_prompt_embeds=text, output_type="latent", **QUICK)


def test_callbacks_hear_of_steps_and_get_no_half_made_picture(pipe, by):
    heard = []

    def step(pipe, at, timestep, tensors):
        heard.append((at, dict(tensors)))
        return {"latents": None}

    guard(pipe, by)("a bicycle", callback_on_step_end=step, **QUICK)
    assert heard == [(0, {}), (1, {})]


@pytest.mark.parametrize("form", ["pil", "np", "pt", "list"])
def test_an_input_picture_is_judged_in_every_form(by, eye, form):
    pipe = guard(tiny.image_to_image(), by, on_refusal="raise")
    grey = Image.new("RGB", (tiny.SIDE, tiny.SIDE), (180, 180, 180))
    array = np.asarray(grey).astype(np.float32) / 255
    given = {
        "pil": grey,
        "np": array,
        "pt": torch.from_numpy(array).permute(2, 0, 1)[None],
        "list": [grey],
    }[form]
    eye.bright = 180 / 255
    with pytest.raises(Refused) as refused:
        pipe("a bicycle", image=given, num_inference_steps=4)
    assert refused.value.decision.rules == ("no-input",)
    assert np.array_equal(eye.pictures["input"][0], np.asarray(grey))
    eye.bright = 181 / 255
    pipe("a bicycle", image=given, num_inference_steps=4)


def test_an_image_that_is_latents_is_refused(by):
    pipe = guard(tiny.image_to_image(), by)
    with pytest.raises(BadRequest, match="latents"):
        pipe("a bicycle", image=torch.randn(1, 4, tiny.SIDE // 2, tiny.SIDE // 2), num_inference_steps=4)


def test_a_pipeline_that_fails_leaves_a_record_and_its_own_error(by, audit):
    pipe = guard(tiny.stable_diffusion(), by)
    with pytest.raises(ValueError, match="divisible by 8"):
        pipe("a bicycle", width=63, height=63, num_inference_steps=2)
    assert newest(audit).body["status"] == "failed"


def test_a_pipeline_is_guarded_once_and_keeps_its_name(by, tmp_path):
    pipe = guard(tiny.sdxl(), by)
    assert type(pipe).__name__ == "StableDiffusionXLPipeline"
    assert isinstance(pipe, type(tiny.sdxl()))
    with pytest.raises(ConfigError, match="already"):
        guard(pipe, by)
    assert not hasattr(type(tiny.sdxl()), "guarded_by")
    pipe.to("cpu", torch.float32)


def test_the_safety_checker_judges_what_the_decoder_made(by, eye, audit):
    bare = tiny.stable_diffusion()("a bicycle", generator=seed(), **QUICK).images[0]
    pipe = tiny.stable_diffusion(checker=SafetyChecker(by))
    output = pipe("a bicycle", generator=seed(), **QUICK)
    assert output.nsfw_content_detected == [False]
    assert np.array_equal(np.asarray(output.images[0]), np.asarray(bare))
    assert np.abs(eye.pictures["output"][0].astype(int) - np.asarray(bare)).max() <= 1
    eye.bright = 0.0
    output = pipe("a bicycle", generator=seed(), **QUICK)
    assert output.nsfw_content_detected == [True]
    assert np.asarray(output.images[0]).max() == 0
    assert newest(audit).body["status"] == "refused"
    pipe.safety_checker = SafetyChecker(by, on_refusal="raise")
    with pytest.raises(Refused):
        pipe("a bicycle", generator=seed(), **QUICK)
