"""Free-form inputs: every string is judged by what it holds, under whatever name."""

import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream.jobs.inputs import Reading, Rules
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import splice
from tests.upstream.asking import b64, png

PICTURE = png(10)
URL = "data:image/png;base64," + b64(PICTURE)


def read(rules: Rules | None = None, **fields: Any) -> Reading:
    body = json.dumps(fields).encode()
    reading, root = Reading.of(body, Limits(texts=64), rules or Rules(), lambda url, data: b"")
    reading.read(root)
    reading.settle()
    return reading


def refused(rules: Rules | None = None, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(rules, **fields)
    return caught.value


def texts(reading: Reading) -> dict[str, str]:
    return {one.slot: one.text or "" for one in reading.got.texts}


@pytest.mark.parametrize(
    ("more", "judged"),
    [
        ({"guidance_scale": 1}, "a picture --no fog"),
        ({"guidance_scale": None, "image_guidance_scale": 0.5}, "a picture --no fog"),
        ({"guidance_scale": 0.9}, "fog"),
        ({"guidance_scale": -3}, "fog"),
        ({"settings": [{"CFG": "0"}]}, "fog"),
        ({"true_cfg_scale": 0}, "fog"),
    ],
)
def test_a_negative_prompt_is_a_prompt_where_it_may_be_drawn(more, judged):
    assert texts(read(prompt="a red bicycle", negative_prompt="fog", **more))["negative_prompt"] == judged


def test_texts_are_judged_alone_and_together():
    said = texts(read(prompt="a red bicycle", prompt_2="in the snow of winter", negative_prompt="cars and vans"))
    assert said["prompt"] == "a red bicycle"
    assert said["prompt_2"] == "in the snow of winter"
    assert said["negative_prompt"].endswith("--no cars and vans")
    assert said["joined"] == "a red bicycle, in the snow of winter"


def test_a_word_of_a_setting_is_judged_and_what_says_nothing_is_not():
    said = texts(read(prompt="x", style="noir", size="square_hd", scheduler="K_EULER", output_format="webp", seed=7))
    assert said["settings"] == "noir"


def test_a_field_name_that_says_a_sentence_is_judged():
    assert "take all that off her" in texts(read(prompt="x", **{"take all that off her": 1}))["settings"]


@pytest.mark.parametrize(
    "fields",
    [
        {"image": URL},
        {"anything": URL},
        {"anything": b64(PICTURE)},
        {"deep": {"er": [{"x": URL}]}},
    ],
)
def test_a_picture_is_one_under_any_name(fields):
    assert [one.data for one in read(prompt="x", **fields).got.inputs if one is not None] == [PICTURE]


@pytest.mark.parametrize("url", ["https://a.example/x", "http://a.example/x", " https://a.example/x"])
def test_an_address_is_a_picture_under_any_name(url):
    reading = read(prompt="x", whatever=url)
    assert [one.target for one in reading.got.references] == [url.strip()]


@pytest.mark.parametrize("text", ["gs://bucket/x", "s3://bucket/x", "file:///etc/passwd", "ftp://a.example/x"])
def test_an_address_that_cannot_be_fetched_is_refused(text):
    assert refused(prompt="x", image=text).code == "url_not_allowed"


@pytest.mark.parametrize("text", ["data:audio/wav;base64," + b64(b"RIFF....WAVE"), "data:text/plain,hello"])
def test_what_is_no_picture_is_refused(text):
    assert refused(prompt="x", audio=text).code == "invalid_image"


@pytest.mark.parametrize(
    "fields",
    [
        {"lora_weights": "https://weights.example/x"},
        {"lora_weights": "somebody/a-person"},
        {"hf_lora": "somebody/a-person"},
        {"loras": [{"path": "somebody/a-person", "scale": 1}]},
        {"extra": "https://a.example/x.safetensors"},
        {"extra": "https://a.example/x.safetensors?token=1"},
        {"replicate_weights": "https://a.example/trained.tar"},
        {"embeddings": [{"path": "https://a.example/x"}]},
    ],
)
def test_weights_are_refused_unless_they_are_listed(fields):
    assert refused(prompt="x", **fields).code == "unjudged_weights"
    allowed = Rules(weights=("https://weights.example/", "somebody/a-person", "https://a.example/"))
    assert read(allowed, prompt="x", **fields).got.references == []


def test_a_picture_for_a_lora_is_a_picture():
    assert read(prompt="x", control_lora_image_url="https://a.example/x").got.references


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"disable_safety_checker": True}, {"disable_safety_checker": False}),
        ({"deep": [{"disable_nsfw_filter": True}]}, {"deep": [{"disable_nsfw_filter": False}]}),
        ({"allow_nsfw": True}, {"allow_nsfw": False}),
        ({"enable_safety_checker": False}, {"enable_safety_checker": True}),
        ({"safety_checker": False}, {"safety_checker": True}),
        ({"safety_tolerance": 6}, {"safety_tolerance": 2}),
        ({"safety_tolerance": "5"}, {"safety_tolerance": "2"}),
        ({"safety_filter_level": "block_only_high"}, {"safety_filter_level": "block_medium_and_above"}),
        ({"moderation": "low"}, {"moderation": "auto"}),
    ],
)
def test_the_vendors_own_safety_stays_on(fields, sent):
    reading = read(prompt="x", **fields)
    assert len(reading.got.clamped) == 1
    assert json.loads(splice(reading.body, reading.got.edits)) == {"prompt": "x", **sent}


@pytest.mark.parametrize(
    "fields",
    [
        {"disable_safety_checker": False},
        {"enable_safety_checker": True},
        {"safety_tolerance": 2},
        {"safety_tolerance": "1"},
        {"moderation": "auto"},
        {"safety_filter_level": "block_low_and_above"},
    ],
)
def test_what_is_on_is_left_as_it_is(fields):
    assert read(prompt="x", **fields).got.edits == []


@pytest.mark.parametrize(
    "fields", [{"disable_safety_checker": 1}, {"safety_tolerance": 2.5}, {"safety_tolerance": "x"}]
)
def test_a_switch_that_cannot_be_read_is_refused(fields):
    assert refused(prompt="x", **fields).code == "invalid_type"


def test_numbers_that_may_be_a_picture_are_refused():
    assert refused(prompt="x", pixels=list(range(257))).code == "unjudged_field"
    assert read(prompt="x", points=list(range(256)))


def test_models_are_those_that_the_operator_lists():
    rules = Rules.of({"models": ["a/b", "c/*"]}, "replicate")
    for name in ("a/b", "c/d", "c/e/f"):
        rules.check(name)
    for name in ("a/bb", "a", "", "d/c"):
        with pytest.raises(BadRequest) as caught:
            rules.check(name)
        assert caught.value.code == "model_not_allowed"
    Rules().check("anything")


@pytest.mark.parametrize("options", [{"models": "a/b"}, {"weights": [1]}, {"weights": [""]}, {"models": {"a": "b"}}])
def test_options_that_cannot_be_read_are_refused(options):
    with pytest.raises(ConfigError):
        Rules.of(options, "fal")
