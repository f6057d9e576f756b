"""Azure, Together and xAI: where their REST differs from OpenAI's."""

from __future__ import annotations

import json

import pytest

from guardrail.errors import BadRequest, ConfigError, UpstreamError
from guardrail.types import Stage
from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.dialect import Door, Setup
from guardrail.upstream.openai import OpenAIImages
from tests.upstream.asking import FORM, JSON, Store, ask, b64, decision, form, png

PERSON, MASK, STYLE, OUT, OTHER = (png(shade) for shade in (15, 25, 35, 45, 55))
XAI = OpenAIImages.open(Setup(options={"errors": "xai"}))


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{b64(data)}"


class TestAzure(DialectContract):
    """Deployment paths, `api-key`, and the classic refusal."""

    dialect = OpenAIImages()
    closed = (
        ("POST", "/openai/deployments/../images/generations"),
        ("POST", "/openai/deployments/a/b/images/generations"),
        ("POST", "/openai/deployments//images/generations"),
        ("POST", "/openai/deployments/draw/chat/completions"),
        ("POST", "/openai/responses"),
        ("GET", "/openai/deployments"),
    )
    captures = (
        Capture(
            "generate",
            "/openai/deployments/draw-2.5/images/generations",
            query="api-version=2025-04-01-preview",
            headers=(*JSON, ("api-key", "azure-own-key")),
            body=b'{"model": "draw-2.5", "prompt": "a red bicycle", "n": 1}',
            texts=("a red bicycle",),
            answer=(
                f'{{"created":1,"data":[{{"b64_json":"{b64(OUT)}","content_filter_results":'
                '{"sexual":{"filtered":false,"severity":"safe"}},"prompt_filter_results":{"jailbreak":'
                '{"detected":false,"filtered":false}}}]}'
            ).encode(),
            outputs=(OUT,),
        ),
        Capture(
            "edit",
            "/openai/deployments/draw-2.5/images/edits",
            query="api-version=2025-04-01-preview",
            headers=(*FORM, ("api-key", "azure-own-key")),
            body=form(("model", b"draw-2.5"), ("prompt", b"make it autumn"), ("image", PERSON, "a.png")),
            texts=("make it autumn",),
            pictures=(PERSON,),
            answer=f'{{"data":[{{"b64_json":"{b64(OUT)}"}},{{"b64_json":"{b64(OTHER)}"}}]}}'.encode(),
            outputs=(OUT, OTHER),
        ),
    )

    def check_refusal(self, status, body, stage):
        error = json.loads(body)["error"]
        assert (status, error["code"], error["type"]) == (400, "contentFilter", "image_generation_user_error")
        inner = error["inner_error"]
        assert inner["code"] == "ResponsibleAIPolicyViolation"
        assert inner["content_filter_results"]["custom_blocklists"] == {
            "filtered": True,
            "details": [{"id": "a-rule", "filtered": True}],
        }


async def test_azures_newer_paths_refuse_in_openais_form():
    dialect = OpenAIImages()
    assert dialect.door("POST", "/openai/v1/images/edits") is Door.JUDGED
    assert dialect.door("GET", "/openai/v1/models") is Door.PASSED
    assert dialect.door("GET", "/openai/models") is Door.PASSED
    store = Store()
    call = await dialect.read(
        "POST", "/openai/v1/images/generations", "", JSON, b'{"prompt": "x"}', store.fetch, store.fetch_file
    )
    assert json.loads(dialect.refuse(decision(), Stage.PROMPT, call).body)["error"]["code"] == "moderation_blocked"


def test_an_azure_answer_of_which_nothing_is_left_is_refused_in_azures_form():
    kit = TestAzure()
    answer = kit.answer(TestAzure.captures[0])
    reply = OpenAIImages().without(answer, {0: decision()}, "replace")
    assert json.loads(reply.body)["error"]["code"] == "contentFilter"


class TestTogether(DialectContract):
    """`base64`, reference images, and a switch that is clamped."""

    dialect = OpenAIImages()
    captures = (
        Capture(
            "generate",
            "/v1/images/generations",
            body=(
                '{"model":"labs/FLUX.1-kontext","prompt":"on a beach","negative_prompt":"people, cars",'
                f'"image_url":"https://a.example/1","reference_images":["{data_url(STYLE)}"],"steps":20,"seed":7,'
                '"width":1024,"height":768,"response_format":"base64","disable_safety_checker":true}'
            ).encode(),
            sent=(
                '{"model":"labs/FLUX.1-kontext","prompt":"on a beach","negative_prompt":"people, cars",'
                f'"image_url":"{data_url(PERSON)}","reference_images":["{data_url(STYLE)}"],"steps":20,"seed":7,'
                '"width":1024,"height":768,"response_format":"base64","disable_safety_checker":false}'
            ).encode(),
            clamped=("disable_safety_checker",),
            files={"https://a.example/1": PERSON},
            texts=("on a beach", "people, cars"),
            pictures=(PERSON, STYLE),
            answer=(
                '{"id":"o-1","model":"m","object":"list",'
                f'"data":[{{"index":0,"type":"b64_json","b64_json":"{b64(OUT)}"}}]}}'
            ).encode(),
            outputs=(OUT,),
        ),
    )


async def test_the_settings_of_together_and_xai_are_no_texts():
    call = await ask(
        {
            "prompt": "x",
            "response_format": "base64",
            "aspect_ratio": "16:9",
            "resolution": "2k",
            "image": {"url": data_url(PERSON), "type": "image_url"},
        }
    )
    assert [text.slot for text in call.request.texts] == ["prompt"]


async def test_weights_by_address_are_refused_and_by_name_are_judged_as_words():
    with pytest.raises(BadRequest) as caught:
        await ask({"prompt": "x", "image_loras": [{"path": "https://a.example/lora.safetensors", "scale": 1}]})
    assert caught.value.param == "image_loras[0].path"
    call = await ask({"prompt": "x", "image_loras": [{"path": "somebody/undress-lora", "scale": 1}]})
    assert "undress" in (call.request.texts[-1].text or "")


class TestXai(DialectContract):
    """Edits as JSON, `respect_moderation`, and flat errors."""

    dialect = XAI
    captures = (
        Capture(
            "edit one",
            "/v1/images/edits",
            body=(
                f'{{"model":"grok-2-image","prompt":"make it winter","image":{{"url":"{data_url(PERSON)}",'
                '"type":"image_url"}}'
            ).encode(),
            texts=("make it winter",),
            pictures=(PERSON,),
            answer=f'{{"data":[{{"b64_json":"{b64(OUT)}","respect_moderation":true}}]}}'.encode(),
            outputs=(OUT,),
        ),
        Capture(
            "edit several",
            "/v1/images/edits",
            body=(
                '{"prompt":"both in one","images":[{"url":"https://a.example/1","type":"image_url"},'
                f'{{"url":"{data_url(MASK)}","type":"image_url"}}]}}'
            ).encode(),
            sent=(
                f'{{"prompt":"both in one","images":[{{"url":"{data_url(PERSON)}","type":"image_url"}},'
                f'{{"url":"{data_url(MASK)}","type":"image_url"}}]}}'
            ).encode(),
            files={"https://a.example/1": PERSON, "https://out.example/1": OUT},
            texts=("both in one",),
            pictures=(PERSON, MASK),
            answer=b'{"data":[{"url":"https://out.example/1","respect_moderation":true},'
            b'{"url":"","respect_moderation":false}]}',
            outputs=(OUT,),
        ),
    )

    def check_refusal(self, status, body, stage):
        said = json.loads(body)
        assert (status, said["code"]) == (400, "moderation_blocked")
        assert "request was rejected as a result of the safety system" in said["error"]


def test_an_entry_refused_beside_its_neighbour_says_so_in_the_word_that_xais_clients_know():
    pictures = f'{{"data":[{{"b64_json":"{b64(OUT)}","respect_moderation":true}},{{"b64_json":"{b64(OTHER)}"}}]}}'
    kit = TestXai()
    answer = kit.answer(TestXai.captures[0], pictures.encode())
    said = json.loads(XAI.without(answer, {1: decision()}, "replace").body)["data"]
    assert said[0]["b64_json"] == b64(OUT)
    assert (said[1]["respect_moderation"], said[1]["b64_json"]) == (False, None)


def test_xais_own_refusal_of_every_entry_leaves_as_it_came():
    body = b'{"data":[{"url":"","respect_moderation":false}]}'
    answer = TestXai().answer(TestXai.captures[0], body)
    assert (answer.body, answer.images) == (body, ())
    with pytest.raises(UpstreamError):
        TestXai().answer(TestXai.captures[0], b'{"data":[{"url":"","respect_moderation":true}]}')


def test_a_fault_is_flat_as_well():
    said = json.loads(XAI.fault(BadRequest("n is 3", code="invalid_value")).body)
    assert said == {"code": "invalid_value", "error": "n is 3"}


def test_an_unknown_form_of_errors_is_refused_at_start():
    with pytest.raises(ConfigError, match="openai or xai"):
        OpenAIImages.open(Setup(options={"errors": "gemini"}))


# ---------------------------------------------------------------------------------------- outputs besides pictures


@pytest.mark.parametrize("more", [{"output_format": "svg"}, {"output_format": "SVG"}, {"svg": {"model": "flare"}}])
async def test_an_svg_is_refused_before_it_is_paid_for(more):
    with pytest.raises(BadRequest) as caught:
        await ask({"prompt": "a logo", **more})
    assert (caught.value.code, caught.value.param) == ("unsupported_output", "output_format")


@pytest.mark.parametrize("field", [("output_format", b"svg"), ("svg[model]", b"flare")])
async def test_an_svg_is_refused_in_a_form_as_well(field):
    with pytest.raises(BadRequest) as caught:
        await ask(form(("prompt", b"x"), ("image", PERSON, "a.png"), field), "edits", headers=FORM)
    assert caught.value.code == "unsupported_output"


async def test_a_gif_may_be_asked_for_and_its_bytes_are_judged():
    gif = b"GIF89a" + bytes(40)
    call = await ask({"prompt": "x", "output_format": "gif", "frame_count": 4, "frame_duration_ms": 100})
    store = Store()
    body = f'{{"data":[{{"b64_json":"{b64(gif)}"}}],"output_format":"gif"}}'.encode()
    answer = await OpenAIImages().read_answer(call, 200, JSON, body, store.fetch)
    assert [one.data for one in answer.images] == [gif]


async def test_an_svg_that_comes_all_the_same_is_an_artifact_that_no_check_can_read():
    call = await ask({"prompt": "x"})
    store = Store()
    svg = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    for spelled in (svg, b64(svg.encode())):
        body = json.dumps({"data": [{"b64_json": spelled}]}).encode()
        answer = await OpenAIImages().read_answer(call, 200, JSON, body, store.fetch)
        assert [one.data for one in answer.images] == [svg.encode()]
