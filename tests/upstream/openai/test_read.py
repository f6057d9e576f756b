import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import BadRequest
from guardrail.types import Kind
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Call
from guardrail.upstream.openai import Limits, OpenAIImages
from tests.timing import best_s
from tests.upstream.asking import BOUNDARY, FORM, JSON, Store, ask, b64, form, png

A, B, C = png(1), png(2), png(3)
URL = "https://pics.example/a.png"


def texts(call: Call) -> dict[str, str | None]:
    return {text.slot: text.text for text in call.request.texts}


def inputs(call: Call) -> dict[str, bytes | None]:
    return {found.slot: found.data for found in call.request.inputs}


async def refused(body, route="generations", **more) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        await ask(body, route, **more)
    return caught.value


# --- what passes is untouched


async def test_a_request_is_read_and_forwarded_as_the_very_same_bytes():
    body = b'{ "prompt" : "een vos in de sneeuw",\n"n":2, "model":"gpt-image-1.5", "stream": true, "user":"u-1" }'
    call = await ask(body, query="api-version=2025-04-01-preview")
    assert call.forward.body is body
    assert (call.forward.method, call.route) == ("POST", "generations")
    assert call.forward.path == "/v1/images/generations?api-version=2025-04-01-preview"
    assert texts(call) == {"prompt": "een vos in de sneeuw"}
    assert (call.request.count, call.request.stream, call.request.subject) == (2, True, "u-1")
    assert call.request.clamped == ()
    assert all(text.kind is Kind.PROMPT for text in call.request.texts)


async def test_a_form_is_read_and_forwarded_as_the_very_same_bytes():
    body = form(("prompt", b"a fox"), ("image", A, "upload"), ("n", b"3"), ("stream", b"true"))
    call = await ask(body, "edits", headers=FORM)
    assert call.forward.body is body
    assert (call.request.count, call.request.stream) == (3, True)
    assert (texts(call), inputs(call)) == ({"prompt": "a fox"}, {"image[0]": A})
    assert all(found.kind is Kind.INPUT for found in call.request.inputs)


async def test_headers_go_on_but_for_those_of_the_connection_and_our_own():
    sent = [
        ("Authorization", "Bearer k"),
        ("Content-Type", "application/json"),
        ("X-Custom", "1"),
        ("Cookie", "c"),
        ("OpenAI-Organization", "o"),
        ("Host", "guard"),
        ("Content-Length", "9"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "1"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Accept-Encoding", "gzip, br"),
        ("Expect", "100-continue"),
        ("X-Guardrail-Key", "k"),
        ("x-guardrail-tenant", "t"),
    ]
    call = await ask({"prompt": "x"}, headers=sent)
    assert list(call.forward.headers) == [
        ("Authorization", "Bearer k"),
        ("Content-Type", "application/json"),
        ("X-Custom", "1"),
        ("Cookie", "c"),
        ("OpenAI-Organization", "o"),
        ("accept-encoding", "identity"),
    ]


async def test_a_connection_header_cannot_take_the_content_type_or_the_credentials_away():
    sent = [*JSON, ("authorization", "Bearer k"), ("connection", "content-type, authorization")]
    call = await ask({"prompt": "x"}, headers=sent)
    assert {name.lower() for name, _ in call.forward.headers} == {"content-type", "authorization", "accept-encoding"}


# --- every text slot


async def test_every_text_of_a_request_is_judged():
    call = await ask(
        {
            "prompt": "a fox",
            "negative_prompt": "blurry",
            "prompt_2": "naked",
            "extra": {"deep": [{"note": "a sentence of five words"}]},
            "style": "vivid",
            "size": "1024x1024",
            "model": "black-forest-labs/FLUX.1-schnell-free-tier",
            "user": "aa0e8400-e29b-41d4-a716-446655440000",
            "z": "裸の女性",
        }
    )
    assert texts(call) == {
        "prompt": "a fox",
        "negative_prompt": "a picture --no blurry",
        "field:prompt_2": "naked",
        "field:extra.deep[0].note": "a sentence of five words",
        "field:z": "裸の女性",
        "together": "a fox naked a sentence of five words 裸の女性",
    }


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("one two three", False),
        ("one two three four", True),
        ("a_b-c", False),
        ("n a k e", True),
        ("put_her_in_string", True),
        ("よい品", False),
        ("よい品質", True),
    ],
)
async def test_an_unknown_field_is_judged_from_the_fourth_word_on(text, judged):
    call = await ask({"prompt": "x", "zz": text})
    assert ("field:zz" in texts(call)) is judged


@pytest.mark.parametrize("field", ["style", "zz", "background", "loras"])
async def test_short_words_of_settings_are_judged_together(field):
    """A server may add any of them to its prompt, so "nude" as a style may not pass where it would not as a prompt."""
    call = await ask({"prompt": "x", field: "nude", "deep": [{"a": "take off", "b": "the dress"}, "take off"]})
    assert texts(call)["settings"] == "nude; take off; the dress"
    call = await ask(form(("prompt", b"x"), ("image", A, "a"), (field, b"nude")), "edits", headers=FORM)
    assert texts(call)["settings"] == "nude"


async def test_what_this_apis_settings_say_is_no_text():
    plain = {
        "style": "vivid",
        "quality": "hd",
        "size": "1024x1024",
        "response_format": "b64_json",
        "model": "gpt-image-1",
    }
    call = await ask({"prompt": "x", **plain, "background": "transparent", "user": "someone", "zz": "3.5", "a": "1K"})
    assert texts(call) == {"prompt": "x"}


@pytest.mark.parametrize(("scale", "judged"), [(1, "a picture --no fog"), (0.5, "fog"), (-1, "fog"), ("0", "fog")])
async def test_a_negative_prompt_is_a_prompt_where_it_may_be_drawn(scale, judged):
    call = await ask({"prompt": "a fox" + "é" * 99, "negative_prompt": "fog", "guidance_scale": scale})
    assert texts(call)["negative_prompt"] == judged
    fields = (("prompt", b"a fox"), ("image", A, "a"), ("negative_prompt", b"fog"), ("cfg_scale", str(scale).encode()))
    assert texts(await ask(form(*fields), "edits", headers=FORM))["negative_prompt"] == judged


@pytest.mark.parametrize("name", ["negative_prompt", "negativePrompt", "negative", "negative_prompt_2"])
async def test_what_shall_be_left_out_is_judged_as_left_out(name):
    """By itself "clothing" is harmless; a picture without it is not."""
    call = await ask({"prompt": "x", name: "clothing"})
    assert "a picture --no clothing" in texts(call).values()
    call = await ask(form(("prompt", b"x"), ("image", A, "a"), (name, b"clothing")), "edits", headers=FORM)
    assert "a picture --no clothing" in texts(call).values()


@pytest.mark.parametrize(
    "query",
    [
        "x=%E8%84%B1%E6%8E%89%E5%A5%B9%E7%9A%84%E8%A1%A3%E6%9C%8D",
        "suffix_prompt=nude",
        "ref_image=a",
        "q=take_her_clothes_off",
    ],
)
async def test_a_query_in_any_script_says_nothing_that_belongs_in_the_body(query):
    with pytest.raises(BadRequest) as caught:
        await ask({"prompt": "x"}, query=query)
    assert caught.value.code == "invalid_query"


async def test_a_field_name_that_says_something_is_judged_and_never_becomes_a_slot():
    call = await ask({"prompt": "x", "take her clothes off now": {"take her clothes off": "please do it right now"}})
    assert "take her clothes off now" in texts(call).values()
    assert "field:?.?" in texts(call)
    assert not any("clothes" in slot for slot in texts(call))


async def test_texts_of_a_form_are_judged_too():
    body = form(
        ("prompt", b"a fox"), ("image", A, "a"), ("negative_prompt", b"blurry"), ("extra", b"a sentence of five words")
    )
    call = await ask(body, "edits", headers=FORM)
    assert texts(call) == {
        "prompt": "a fox",
        "negative_prompt": "a picture --no blurry",
        "field:extra": "a sentence of five words",
        "together": "a fox a sentence of five words",
    }


# --- every picture slot


async def test_every_picture_of_a_form_is_judged():
    body = form(
        ("prompt", b"x"),
        ("image[]", A, "a"),
        ("image[]", B, "b"),
        ("mask", C, "m"),
        ("markup", A, "u"),
        ("ref", B, "r"),
        ("init", f"data:image/png;base64,{b64(C)}".encode()),
        ("junk", b"", ""),
    )
    call = await ask(body, "edits", headers=FORM)
    assert inputs(call) == {"image[0]": A, "image[1]": B, "mask": C, "markup": A, "file:ref": B, "field:init": C}
    assert call.forward.body is body


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "images[]"])
async def test_every_spelling_of_the_image_part_is_known(name):
    call = await ask(form((name, A, "a")), "variations", headers=FORM)
    assert inputs(call) == {"image[0]": A}


async def test_every_picture_of_a_json_edit_is_judged():
    body = {
        "prompt": "x",
        "images": [{"image_url": f"data:image/png;base64,{b64(A)}"}, {"image_url": f"data:image/jpeg;base64,{b64(B)}"}],
        "mask": {"image_url": f"data:image/png;base64,{b64(C)}"},
        "markup": {"image_url": f"data:image/png;base64,{b64(A)}"},
        "extra": {"anything": b64(B)},
        "other": [f"DATA:image/png;base64,{b64(C)}"],
    }
    raw = json.dumps(body).encode()
    call = await ask(raw, "edits")
    assert inputs(call) == {
        "image[0]": A,
        "image[1]": B,
        "mask": C,
        "markup": A,
        "field:extra.anything": B,
        "field:other[0]": C,
    }
    assert call.forward.body == raw.replace(b"DATA:", b"data:")  # the one that not every reader takes for a data URL


async def test_bare_base64_in_a_picture_field_is_a_picture():
    assert inputs(await ask({"prompt": "x", "image": b64(A)}, "edits")) == {"image[0]": A}
    assert inputs(await ask({"prompt": "x", "image": [b64(A), b64(B)]}, "edits")) == {"image[0]": A, "image[1]": B}


async def test_references_are_got_once_and_the_same_bytes_are_judged_and_forwarded():
    store = Store({URL: A, "file-abc123": B})
    body = (
        b'{"prompt":"x", "images": [ {"image_url":"'
        + URL.encode()
        + b'"}, { "file_id" : "file-abc123" , "detail":"high"},'
        b' {"image_url":"' + URL.encode() + b'"} ],"z":1}'
    )
    call = await ask(body, "edits", store=store)
    assert inputs(call) == {"image[0]": A, "image[1]": B, "image[2]": A}
    assert sorted(store.asked) == ["file-abc123", URL]
    url_a, url_b = pictures.data_url(A), pictures.data_url(B)
    assert call.forward.body == (
        b'{"prompt":"x", "images": [ {"image_url":"'
        + url_a
        + b'"}, { "image_url" : "'
        + url_b
        + b'" , "detail":"high"},'
        b' {"image_url":"' + url_a + b'"} ],"z":1}'
    )


async def test_an_address_in_a_form_is_resolved_too():
    call = await ask(form(("prompt", b"x"), ("image", URL.encode())), "edits", headers=FORM, store=Store({URL: A}))
    assert inputs(call) == {"image[0]": A}
    assert call.forward.body == form(("prompt", b"x"), ("image", pictures.data_url(A)))


async def test_base64_that_two_readers_could_read_differently_is_written_anew():
    data = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    url_safe = b64(data).replace("+", "-").replace("/", "_").rstrip("=")
    call = await ask({"prompt": "x", "images": [{"image_url": "data:image/png;base64," + url_safe}]}, "edits")
    assert inputs(call) == {"image[0]": data}
    assert json.loads(call.forward.body)["images"][0]["image_url"] == f"data:image/png;base64,{b64(data)}"


async def test_a_reference_that_leads_to_no_picture_is_refused():
    error = await refused({"prompt": "x", "images": [{"image_url": URL}]}, "edits", store=Store({URL: b"<html>"}))
    assert (error.param, error.code) == ("images[0].image_url", "invalid_image")


async def test_a_reference_that_cannot_be_got_is_refused():
    error = await refused(
        {"prompt": "x", "images": [{"image_url": URL}, {"image_url": URL + "2"}]}, "edits", store=Store({URL: A})
    )
    assert (error.param, error.code) == ("images[1].image_url", "url_unreachable")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"images": [{"image_url": "file:///etc/passwd"}]}, "url_not_allowed"),
        ({"images": [{"image_url": "ftp://a.example/x"}]}, "url_not_allowed"),
        ({"images": [{"image_url": "s3://bucket/x"}]}, "url_not_allowed"),
        ({"images": [{"image_url": "data:image/svg+xml;utf8,<svg/>"}]}, "invalid_image"),
        ({"images": [{"image_url": "data:image/png;base64,!!!!"}]}, "invalid_image"),
        ({"images": [{"image_url": "some words"}]}, "invalid_image"),
        ({"images": [{"image_url": URL, "file_id": "file-1"}]}, "invalid_value"),
        ({"images": [{"file_id": "../../models"}]}, "unjudged_field"),
        ({"images": ["file-abcdef"]}, "unjudged_field"),
        ({"reference": {"id": "file-abcdef"}}, "unjudged_field"),
        ({"webhook": "https://elsewhere.example/hook"}, "unjudged_field"),
        ({"init_image": "file:///etc/passwd"}, "url_not_allowed"),
        ({"prompt": "data:image/png;base64,AAAA"}, "unjudged_field"),
        ({"blob": "x" * 1025}, "unjudged_field"),
        ({"pixels": [[1, 2, 3]] * 86}, "unjudged_field"),
    ],
)
async def test_a_reference_that_nobody_could_judge_is_refused(body, code):
    base = {"prompt": "x", "images": [{"image_url": f"data:image/png;base64,{b64(A)}"}]}
    store = Store({URL: A})
    assert (await refused({**base, **body}, "edits", store=store)).code == code
    assert store.asked == []


async def test_a_value_without_spaces_passes_up_to_the_limit_and_numbers_up_to_theirs():
    await ask({"prompt": "x", "blob": "x" * 1024, "pixels": [[1, 2]] * 128})


# --- switches of the vendor's own safety


async def test_moderation_low_is_turned_back_and_said():
    call = await ask(b'{"prompt":"x","moderation": "low" ,"n":1}')
    assert call.forward.body == b'{"prompt":"x","moderation": "auto" ,"n":1}'
    assert call.request.clamped == ("moderation",)


async def test_moderation_auto_is_left_alone():
    body = b'{"prompt":"x","moderation":"auto"}'
    assert (await ask(body)).forward.body is body


async def test_switches_are_turned_back_in_every_form():
    call = await ask(b'{"disable_safety_checker":true,"enable_safety_checker":false,"prompt":"x"}')
    assert call.forward.body == b'{"disable_safety_checker":false,"enable_safety_checker":true,"prompt":"x"}'
    assert set(call.request.clamped) == {"disable_safety_checker", "enable_safety_checker"}
    body = form(("prompt", b"x"), ("image", A, "a"), ("moderation", b"low"), ("disable_safety_checker", b"True"))
    call = await ask(body, "edits", headers=FORM)
    assert call.forward.body == body.replace(b"low", b"auto").replace(b"True", b"false")


# --- types, limits and smuggling


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": 11}, "n"),
        ({"prompt": "x", "n": -1}, "n"),
        ({"prompt": "x", "n": 1.0}, "n"),
        ({"prompt": "x", "n": "1"}, "n"),
        ({"prompt": "x", "n": True}, "n"),
        ({"prompt": "x", "n": 10**30}, "n"),
        ({"prompt": "x", "stream": "true"}, "stream"),
        ({"prompt": "x", "stream": 1}, "stream"),
        ({"prompt": "x", "user": 1}, "user"),
        ({"prompt": "x", "moderation": False}, "moderation"),
        ({"prompt": "x", "disable_safety_checker": "yes"}, "disable_safety_checker"),
        ({"prompt": "x", "Prompt ": "y"}, "?"),
        ({"Prompt": "x"}, "Prompt"),
        ({"prompt": "x", "prompt[]": "y"}, "prompt[]"),
        ({"prompt": "x", "\u017ftream": True}, "?"),
    ],
)
async def test_wrong_types_and_spellings_are_named(body, param):
    error = await refused(body)
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize("count", [1, 10])
async def test_n_is_read_at_both_ends(count):
    assert (await ask({"prompt": "x", "n": count})).request.count == count


async def test_null_is_the_default():
    call = await ask({"prompt": "x", "n": None, "stream": None, "moderation": None, "user": None})
    assert (call.request.count, call.request.stream, call.request.subject) == (1, False, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"x"',
        b'{"prompt":"cat","prompt":"dog"}',
        b'{"prompt":"cat","\\u0070rompt":"dog"}',
        b'{"prompt":"cat","n":NaN}',
        b'{"prompt":"\xff"}',
        b'{"prompt":"cat","a":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
async def test_json_that_two_parsers_read_differently_is_refused(body):
    assert (await refused(body)).code == "invalid_json"


async def test_a_prompt_is_read_to_the_limit_and_not_one_character_over():
    await ask({"prompt": "é" * 32_000})
    error = await refused({"prompt": "é" * 32_001})
    assert (error.param, error.code) == ("prompt", "string_above_max_length")


async def test_limits_of_pictures_hold_on_both_sides():
    limits = Limits(images=2, image_bytes=len(A), pictures=3, urls=1, body_bytes=5000)
    dialect = OpenAIImages(limits=limits)

    async def edit(*parts, **more):
        return await ask(form(("prompt", b"x"), *parts), "edits", headers=FORM, dialect=dialect, **more)

    image, big = ("image[]", A, "a"), ("image[]", A + b"x", "a")
    await edit(image, image, ("mask", A, "m"))
    for parts, code, status in [
        ((image, image, image), "too_many_images", 400),
        ((image, image, ("mask", A, "m"), ("markup", A, "m")), "too_many_images", 400),
        ((big,), "image_too_large", 413),
        ((image, ("mask", b"", "m")), "invalid_image", 400),
        ((image, ("pad", b"x" * 5000)), "body_too_large", 413),
        ((("image", URL.encode()), ("mask", URL.encode())), "too_many_urls", 400),
    ]:
        with pytest.raises(BadRequest) as caught:
            await edit(*parts, store=Store({URL: A}))
        assert (caught.value.code, caught.value.status) == (code, status)
    with pytest.raises(BadRequest) as caught:
        await edit(("image", URL.encode()), store=Store({URL: A + b"x"}))
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("name", ["image[]", "image[0]", "mask"])
async def test_a_part_of_a_form_is_named_as_its_sender_named_it(name):
    error = await refused(form(("prompt", b"x"), ("image", A, "a"), (name, A * 99, "b")), "edits", headers=FORM,
                          dialect=OpenAIImages(limits=Limits(image_bytes=len(A))))  # fmt: skip
    assert (error.param, error.code) == (name, "image_too_large")
    assert name in str(error)


async def test_more_texts_than_the_limit_are_refused():
    fields = {f"field{i}": "a sentence of five words" for i in range(15)}
    assert len([text for text in (await ask({"prompt": "x", **fields})).request.texts if text.slot != "together"]) == 16
    assert (await refused({"prompt": "x", **fields, "one": "more sentence of five words"})).code == "too_many_fields"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-type", "application/x-www-form-urlencoded")], 415),
        ([("content-type", "multipart/mixed; boundary=b")], 415),
        ([("content-type", "multipart/form-data; boundary=b")], 415),
        ([("content-type", "application/json; charset=utf-16")], 415),
        ([*JSON, ("content-encoding", "gzip")], 415),
        ([*JSON, *JSON], 400),
        ([("content-type", "")], 415),
    ],
)
async def test_a_body_that_the_upstream_could_read_as_something_else_is_refused(headers, status):
    assert (await refused({"prompt": "x"}, headers=headers)).status == status


@pytest.mark.parametrize(
    "headers", [[], [("content-type", "text/plain")], [("content-type", "application/json; charset=UTF-8")]]
)
async def test_json_is_known_by_its_bytes_and_not_by_its_label(headers):
    assert texts(await ask({"prompt": "x"}, headers=headers)) == {"prompt": "x"}


@pytest.mark.parametrize(
    "query",
    [
        "prompt=naked",
        "Prompt=x",
        "image[]=x",
        "a=1;stream=true",
        "x=a%20sentence%20of%20words",
        "u=https%3A%2F%2Fa.example",
        "a=" + "b" * 2048,
        "x=%ff",
    ],
)
async def test_a_query_that_holds_what_belongs_in_the_body_is_refused(query):
    assert (await refused({"prompt": "x"}, query=query)).code == "invalid_query"


@pytest.mark.parametrize(
    "parts",
    [
        [("prompt", b"x", "a.txt"), ("image", A, "a")],
        [("prompt", b"x"), ("prompt", b"y"), ("image", A, "a")],
        [("prompt", b"x"), ("Prompt", b"y"), ("image", A, "a")],
        [("prompt", b"x"), ("prompt[]", b"y"), ("image", A, "a")],
        [("prompt", b"x"), ("image", A, "a"), ("image", b"text")],
        [("prompt", b"x"), ("IMAGE", A, "a")],
        [("prompt", b"\xff"), ("image", A, "a")],
        [("prompt", b"a\x00b"), ("image", A, "a")],
        [("prompt", b""), ("image", A, "a")],
        [("prompt", b"x"), ("image", A, "a"), ("stream", b"1")],
        [("prompt", b"x"), ("image", A, "a"), ("n", b"1.0")],
        [("prompt", b"x"), ("image", A, "a"), ("n", b"11")],
        [("prompt", b"x"), ("image", A, "a"), ("file_id", b"file-abc123")],
        [("prompt", b"x")],
        [("image", A, "a")],
    ],
)
async def test_a_form_that_two_parsers_read_differently_is_refused(parts):
    assert (await refused(form(*parts), "edits", headers=FORM)).status == 400


async def test_an_edit_without_pictures_and_a_variation_in_json_are_refused():
    assert (await refused({"prompt": "x", "images": []}, "edits")).param == "images"
    assert (await refused({"image": b64(A)}, "variations")).status == 415


async def test_a_route_that_is_not_judged_is_not_read():
    store = Store()
    with pytest.raises(BadRequest) as caught:
        await OpenAIImages().read("POST", "/v1/files", "", JSON, b"{}", store.fetch, store.fetch_file)
    assert caught.value.status == 404


async def test_all_texts_together_are_read_to_the_limit_and_not_one_character_over():
    dialect = OpenAIImages(limits=Limits(all_text_chars=10))
    await ask({"prompt": "12345", "a": "12", "b": "345"}, dialect=dialect)
    assert (await refused({"prompt": "12345", "a": "12", "b": "3456"}, dialect=dialect)).status == 413


SECRET = "geheimwoord"


@pytest.mark.parametrize("route", ["generations", "edits"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt":"geheimwoord',
        b'{"prompt":"geheimwoord","prompt":""}',
        {"prompt": SECRET * 4000},
        {"prompt": SECRET, "images": [{"image_url": f"ftp://{SECRET}"}]},
        {"prompt": SECRET, "images": [{"image_url": f"https://a.example/?{SECRET}"}]},
        {"prompt": SECRET, "images": [{"image_url": f"data:image/png;base64,{SECRET}!"}]},
        {"prompt": SECRET, "images": [{"file_id": f"../{SECRET}"}]},
        {"prompt": SECRET, "hook": f"https://a.example/?{SECRET}"},
        {"prompt": SECRET, f"take the {SECRET} off": {"x": "https://a.example"}},
        {"prompt": SECRET, "n": SECRET},
        {"prompt": SECRET, "x": SECRET * 1000},
    ],
)
async def test_no_error_quotes_what_the_caller_wrote(body, route):
    error = await refused(body, route)
    assert SECRET not in str(error)
    assert SECRET not in f"{error.param} {error.code}"
    assert SECRET.encode() not in OpenAIImages().fault(error).body


async def test_a_generation_may_carry_its_picture_in_a_field_of_its_own():
    call = await ask({"prompt": "x", "image_url": URL}, "edits", store=Store({URL: A}))
    assert inputs(call) == {"image[0]": A}


PIECES = [
    b'{"prompt":"x"',
    b',"image":"',
    URL.encode(),
    b'"',
    b"}",
    b"data:image/png;base64,",
    b64(A).encode(),
    b'"n":',
    b"1",
    b'"images":[{"image_url":"',
    b'"}]',
    b'"file_id":"file-abc123"',
    b",",
    b"\\",
    b"\xff",
    b'"mask":{',
    b"[",
    b"]",
    b"null",
]


@given(
    st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)),
    st.sampled_from(["generations", "edits", "variations"]),
    st.sampled_from([JSON, FORM]),
)
def test_no_bytes_raise_anything_but_a_bad_request(body, route, headers):
    with contextlib.suppress(BadRequest):
        asyncio.run(ask(body, route, headers=headers, store=Store({URL: A})))


DELIMITER = f"--{BOUNDARY}".encode()
FORM_PIECES = [
    DELIMITER,
    b"\r\n",
    b"--",
    b"\n",
    b'Content-Disposition: form-data; name="prompt"\r\n\r\n',
    b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
    A,
    b"words",
    form(("prompt", b"x"), ("image", A, "a")),
]


@given(st.lists(st.sampled_from(FORM_PIECES), max_size=10))
def test_no_form_raises_anything_but_a_bad_request_and_no_part_goes_unseen(pieces):
    body = b"".join(pieces)
    try:
        call = asyncio.run(ask(body, "edits", headers=FORM))
    except BadRequest:
        return
    assert body.count(DELIMITER) == 1 + len(call.request.texts) + len(call.request.inputs)


@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'"a",', b"\\u0041", b"a b c d ", b"1,"])
def test_a_hostile_body_takes_bounded_time(piece):
    bodies = (
        piece * 500_000,
        b'{"prompt":"x","z":[' + piece * 500_000,
        b'{"prompt":"x","z":"' + piece * 500_000 + b'"}',
    )

    async def all_refused():
        for body in bodies:
            await refused(body)

    assert best_s(lambda: asyncio.run(all_refused())) < 1.0  # under .1 was measured
