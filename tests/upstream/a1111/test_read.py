"""Requests: what is judged, what is clamped, what is refused unread."""

import json

import pytest

from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream.a1111 import A1111, Rules
from guardrail.upstream.dialect import Door, Setup
from guardrail.upstream.limits import Limits
from tests.upstream.a1111.asking import IMG2IMG, TXT2IMG, asked, inputs, read, texts
from tests.upstream.asking import FORM, Store, b64, form, png

PICTURE = png(1)


def judged(call):
    return " / ".join(texts(call).values())


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "forbidden"},
        {"hr_prompt": "forbidden"},
        {"hr_negative_prompt": "forbidden"},
        {"negative_prompt": "forbidden"},
        {"script_args": ["forbidden"]},
        {"script_args": [[["forbidden"]]]},
        {"script_name": "forbidden"},
        {"alwayson_scripts": {"x": {"args": ["forbidden"]}}},
        {"alwayson_scripts": {"x": {"args": [{"ad_prompt": "forbidden"}]}}},
        {"alwayson_scripts": {"x": {"args": [{"a": {"b": "a long text that is forbidden"}}]}}},
        {"alwayson_scripts": {"a name that is forbidden": {"args": []}}},
        {"comments": {"note": "forbidden"}},
        {"unknown_field": "forbidden"},
        {"sampler_name": "a sampler that is forbidden"},
        {"override_settings": {"sd_vae": "a vae that is forbidden"}},
    ],
)
def test_a_word_is_judged_wherever_it_stands(fields):
    assert "forbidden" in judged(read(TXT2IMG, asked(**fields)))


def test_a_word_that_is_put_together_while_sampling_is_judged_whole():
    call = read(TXT2IMG, asked(prompt="a for[x:bidden:0] thing, (loud:1.2)"))
    assert texts(call)["prompt:end"] == "a forbidden thing, loud"


def test_what_scripts_add_is_judged_together_with_the_prompt():
    call = read(TXT2IMG, asked(prompt="a woman in clothes", script_args=["clothes, nothing"]))
    assert texts(call)["joined"] == "a woman in clothes, clothes, nothing"


def test_what_is_not_to_be_in_the_picture_is_judged_as_such():
    assert texts(read(TXT2IMG, asked(negative_prompt="fog")))["negative_prompt"] == "a picture --no fog"
    for scale in (1, 7.5, None):
        call = read(TXT2IMG, asked(negative_prompt="fog", cfg_scale=scale))
        assert texts(call)["negative_prompt"] == "a picture --no fog"
    ads = {"ADetailer": {"args": [{"ad_negative_prompt": "fog"}]}}
    assert "a picture --no fog" in texts(read(TXT2IMG, asked(alwayson_scripts=ads))).values()


@pytest.mark.parametrize(
    "fields",
    [
        {"cfg_scale": 0},
        {"cfg_scale": 0.99},
        {"cfg_scale": -7},
        {"cfg_scale": "0"},
        {"cfg_scale": "zero"},
        {"hr_cfg": 0},
        {"script_name": "X/Y/Z plot", "script_args": [0, "0"]},
    ],
)
def test_a_negative_prompt_is_a_prompt_where_the_sampler_may_draw_what_it_says(fields):
    """With a guidance of 0 nothing but the negative prompt is drawn."""
    found = texts(read(TXT2IMG, asked(negative_prompt="fog", **fields)))
    assert found["negative_prompt"] == "fog"
    ads = {"ADetailer": {"args": [{"ad_negative_prompt": "fog"}]}}
    assert "fog" in texts(read(TXT2IMG, asked(alwayson_scripts=ads, **fields))).values()


def test_short_settings_of_scripts_are_judged_as_one_text():
    args = [{"ad_model": f"face_yolov{k}n_seg.pt", "ad_sampler": f"DPM {k} Karras"} for k in range(40)]
    found = texts(read(TXT2IMG, asked(alwayson_scripts={"ADetailer": {"args": args}})))
    assert found.keys() == {"prompt", "settings", "together"}


@pytest.mark.parametrize(
    ("path", "fields", "slot"),
    [
        (IMG2IMG, {"init_images": [b64(PICTURE)]}, "image[0]"),
        (TXT2IMG, {"mask": b64(PICTURE)}, "mask"),
        (TXT2IMG, {"firstpass_image": b64(PICTURE)}, "firstpass_image"),
        (TXT2IMG, {"script_args": [b64(PICTURE)]}, "field:script_args[0]"),
        (
            TXT2IMG,
            {"alwayson_scripts": {"ControlNet": {"args": [{"image": {"mask": b64(PICTURE)}}]}}},
            "field:alwayson_scripts.ControlNet.args[0].image.mask",
        ),
        (
            TXT2IMG,
            {"ip_adapter": [{"images": [b64(PICTURE)]}]},
            "field:ip_adapter[0].images[0]",
        ),
    ],
)
def test_a_picture_is_judged_wherever_it_stands(path, fields, slot):
    assert inputs(read(path, asked(**fields))) == {slot: PICTURE}


@pytest.mark.parametrize("spelled", ["data:text/plain;base64,", "DATA:image/png;base64,", "data:image/png;a=b;base64,"])
def test_a_data_url_that_the_server_reads_in_its_own_way_is_sent_as_base64(spelled):
    call = read(IMG2IMG, asked(init_images=[spelled + b64(PICTURE)]))
    assert inputs(call) == {"image[0]": PICTURE}
    assert json.loads(call.forward.body)["init_images"] == [b64(PICTURE)]


def test_an_address_is_got_once_and_its_bytes_are_sent():
    store = Store({"https://a.example/1": PICTURE})
    body = asked(init_images=["https://a.example/1"], mask="https://a.example/1")
    call = read(IMG2IMG, body, store=store)
    assert store.asked == ["https://a.example/1"]
    assert b"a.example" not in call.forward.body
    assert set(inputs(call).values()) == {PICTURE}


@pytest.mark.parametrize(
    "fields",
    [
        {"init_images": ["https://gone.example/1"]},
        {"init_images": ["file:///etc/passwd"]},
        {"init_images": ["faces/somebody"]},
        {"alwayson_scripts": {"ControlNet": {"args": [{"image": "somebody"}]}}},
        {"alwayson_scripts": {"ControlNet": {"args": [{"batch_images": "inputs"}]}}},
        {"alwayson_scripts": {"animatediff": {"args": [{"video_path": "inputs"}]}}},
        {"script_args": ["/data/faces"]},
        {"script_args": ["C:\\faces"]},
        {"script_args": ["../faces"]},
        {"script_args": ["somebody.PNG"]},
        {"script_args": ["https://a.example/1.png"]},
        {"script_args": ["A" * 2000]},
        {"script_args": list(range(300))},
        {"styles": ["Hidden"]},
        {"prompt": "a cat <style:Hidden>"},
        {"infotext": "a cat\nSteps: 20"},
        {"override_settings": {"outdir_samples": "x"}},
        {"override_settings": {"nsfw_filter": False}},
        {"override_settings": {"sd_vae": "https://a.example/1"}},
        {"override_settings": {"sd_vae": {"a": 1}}},
        {"override_settings": []},
        {"samples_save": 1, "override_settings": {"samples_save": 1}},
        {"save_images": 1},
        {"send_images": "no"},
        {"prompt": ["a", "b"]},
        {"prompt": "data:image/png;base64," + b64(PICTURE)},
        {"styles": "x"},
        {"alwayson_scripts": []},
        {"script_name": 3},
        {"batch_size": 0},
        {"batch_size": 8, "n_iter": 5},
        {"n_iter": 1.5},
        {"mask": "data:image/png;base64,!!!!"},
    ],
)
def test_what_nobody_could_judge_is_refused_unread(fields):
    with pytest.raises(BadRequest) as caught:
        read(IMG2IMG, asked(**{"init_images": [b64(PICTURE)], **fields}))
    assert 400 <= caught.value.status < 500


def test_as_many_pictures_as_are_judged_may_be_asked_for():
    assert read(TXT2IMG, asked(batch_size=8, n_iter=4)).request.count == 32


def test_a_picture_over_the_limit_is_refused():
    small = A1111(limits=Limits(image_bytes=len(PICTURE) - 1))
    for url in (b64(PICTURE), "data:x/y;base64," + b64(PICTURE)):
        with pytest.raises(BadRequest, match="over"):
            read(IMG2IMG, asked(init_images=[url]), dialect=small)
    exact = A1111(limits=Limits(image_bytes=len(PICTURE)))
    assert inputs(read(IMG2IMG, asked(init_images=[b64(PICTURE)]), dialect=exact))


def test_forms_are_not_taken():
    with pytest.raises(BadRequest) as caught:
        read(TXT2IMG, form(("prompt", b"x")), headers=FORM)
    assert caught.value.status == 415


def test_a_query_holds_no_prompt():
    with pytest.raises(BadRequest):
        read(TXT2IMG, asked(), query="prompt=forbidden")


def test_a_style_that_the_operator_lists_is_judged_by_its_text():
    dialect = A1111(rules=Rules({"Hidden": "{prompt}, forbidden"}))
    for fields in ({"styles": ["Hidden"]}, {"prompt": "a cat <style:Hidden>"}):
        assert "forbidden" in texts(read(TXT2IMG, asked(**fields), dialect=dialect))["style[Hidden]"]
    assert read(TXT2IMG, asked(styles=["None", ""])).request.texts


def test_scripts_can_be_closed_but_for_a_list():
    dialect = A1111(rules=Rules(scripts=frozenset({"adetailer"})))
    assert read(TXT2IMG, asked(alwayson_scripts={"ADetailer": {"args": []}}, script_name=""), dialect=dialect)
    for fields in ({"alwayson_scripts": {"x": {"args": []}}}, {"script_name": "x"}):
        with pytest.raises(BadRequest):
            read(TXT2IMG, asked(**fields), dialect=dialect)


def test_settings_are_open_to_what_the_operator_lists():
    dialect = A1111(rules=Rules(settings=frozenset({"my_setting"})))
    body = asked(override_settings={"my_setting": 3})
    assert read(TXT2IMG, body, dialect=dialect).forward.body == body
    with pytest.raises(BadRequest):
        read(TXT2IMG, body)


@pytest.mark.parametrize("given", [{"x": 1}, {"samples_filename_pattern": "x"}])
def test_the_settings_of_the_server_are_changed_by_the_same_list(given):
    with pytest.raises(BadRequest):
        read("/sdapi/v1/options", json.dumps(given).encode())


def test_saving_cannot_be_turned_on_for_the_server():
    call = read("/sdapi/v1/options", b'{"samples_save": true, "sd_vae": "x"}')
    assert call.forward.body == b'{"samples_save": false, "sd_vae": "x"}'
    assert call.request.clamped == ("samples_save",)


def test_the_picture_in_the_making_is_not_asked_for():
    call = read("/sdapi/v1/progress", b"", method="GET", query="skip_current_image=false")
    assert call.forward.path == "/sdapi/v1/progress?skip_current_image=true"
    assert call.poll
    body = b'{"id_task":"task(abc)","id_live_preview":-1,"live_preview":true}'
    call = read("/internal/progress", body)
    assert call.forward.body == body.replace(b"true", b"false")


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        (IMG2IMG, "init_images"),
        ("/sdapi/v1/extra-single-image", "image"),
        ("/sdapi/v1/extra-batch-images", "imageList"),
        ("/sdapi/v1/png-info", "image"),
        ("/sdapi/v1/interrogate", "image"),
    ],
)
def test_a_picture_that_is_missing_is_said(path, needed):
    with pytest.raises(BadRequest) as caught:
        read(path, b"{}")
    assert caught.value.param == needed


@pytest.mark.parametrize(
    "options", [{"styles": []}, {"styles": {"a": 1}}, {"settings": "x"}, {"scripts": {"a": 1}}, {"scripts": [1]}]
)
def test_options_that_are_none_are_refused(options):
    with pytest.raises(ConfigError):
        A1111.open(Setup(options=options))


def test_options_are_taken():
    dialect = A1111.open(Setup(options={"styles": {"a ": "b"}, "settings": ["c"], "scripts": ["ControlNet"]}))
    assert dialect.rules == Rules({"a": "b"}, frozenset({"c"}), frozenset({"controlnet"}))


@pytest.mark.parametrize("path", ["/sdapi/v1/samplers", "/sdapi/v1/sd-models", "/controlnet/model_list"])
def test_lists_pass(path):
    assert A1111().door("GET", path) is Door.PASSED
    assert A1111().door("POST", path) is Door.CLOSED
