"""Graphs: what is judged of them, what is left out, what is refused unread."""

import json

import pytest

from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.dialect import Setup
from tests.timing import best_s
from tests.upstream.asking import Store, b64, png
from tests.upstream.comfy.asking import SAMPLER, asked, inputs, nodes, read, texts, view

PICTURE = png(1)


def judged(call):
    return " / ".join(texts(call).values())


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("CLIPTextEncode", {"text": "forbidden"}),
        ("CLIPTextEncodeSDXL", {"text_g": "a", "text_l": "forbidden"}),
        ("CLIPTextEncodeFlux", {"clip_l": "a", "t5xxl": "forbidden"}),
        ("CLIPTextEncodeSD3", {"clip_g": "forbidden"}),
        ("CLIPTextEncodeHiDream", {"llama": "forbidden"}),
        ("CLIPTextEncodeHunyuanDiT", {"bert": "a", "mt5xl": "forbidden"}),
        ("CLIPTextEncodeLumina2", {"user_prompt": "forbidden"}),
        ("TextEncodeQwenImageEditPlus", {"prompt": "forbidden"}),
        ("PrimitiveStringMultiline", {"value": "forbidden"}),
        ("StringReplace", {"find": "a", "replace": "forbidden"}),
        ("RegexReplace", {"regex_pattern": "forbidden"}),
        ("PhotoMakerEncode", {"text": "forbidden"}),
        ("OpenAIDalle3", {"prompt": "forbidden", "style": "natural"}),
        ("Somebodys", {"mood": "forbidden"}),
        ("Somebodys", {"rows": [{"deep": ["forbidden"]}]}),
        ("Somebodys", {"sampler_name": "a sampler that is forbidden"}),
        ("Somebodys", {"an input whose name is forbidden": 1}),
    ],
)
def test_a_word_is_judged_in_whatever_node_it_stands(kind, given):
    assert "forbidden" in judged(read(asked(nodes(**{"30": (kind, given)}))))


@pytest.mark.parametrize("kind", ["application/json; charset=utf-7", "text/plain; charset=utf-16", "text/x-yaml"])
def test_a_body_that_the_server_would_read_as_other_words_is_refused(kind):
    """It decodes by the character set that the header names: "+AGYAbwByAGIAaQBkAGQAZQBu-" is a word in UTF-7."""
    with pytest.raises(BadRequest) as caught:
        read(asked(nodes("+AGYAbwByAGIAaQBkAGQAZQBu-")), headers=(("content-type", kind),))
    assert caught.value.status == 415


def test_json_that_urllib_calls_a_form_is_read():
    assert texts(read(asked(), headers=(("Content-Type", "application/x-www-form-urlencoded"),)))


def test_a_text_that_reads_like_the_name_of_a_file_is_still_judged():
    store = Store({view("forbidden.png", "input"): PICTURE})
    for given in ({"text": "forbidden.png"}, {"mood": "forbidden.png"}):
        assert "forbidden" in judged(read(asked(nodes(**{"30": ("Somebodys", given)})), store=store))


def test_the_name_of_a_lora_is_judged_word_by_word_and_that_of_a_checkpoint_is_not():
    given = {"30": ("LoraLoader", {"lora_name": "make_it_forbidden-v2.safetensors", "ckpt_name": "other_name.ckpt"})}
    assert texts(read(asked(nodes(**given))))["settings"] == "make it forbidden v2 safetensors"


@pytest.mark.parametrize("more", [{"front": "forbidden"}, {"extra_data": {"x": "forbidden"}}, {"y": ["forbidden"]}])
def test_a_word_beside_the_graph_is_judged(more):
    assert "forbidden" in judged(read(asked(**more)))


def test_the_workflow_of_the_web_interface_is_neither_judged_nor_sent():
    call = read(asked(extra_data={"extra_pnginfo": {"Node name for S&R": "forbidden", "n": [[1] * 300]}}))
    assert texts(call).keys() == {"node[6].text", "node[7].text"}
    assert b"forbidden" not in call.forward.body
    assert call.request.clamped == ("extra_pnginfo",)


def test_the_title_of_a_node_is_judged_with_the_settings():
    graph = nodes()
    graph["6"]["_meta"] = {"title": "forbidden"}
    assert "forbidden" in texts(read(asked(graph)))["settings"]


def test_pieces_are_judged_joined_with_a_space_and_without():
    pieces = {
        "20": ("PrimitiveString", {"value": "for"}),
        "21": ("StringConcatenate", {"string_a": ["20", 0], "string_b": "bidden", "delimiter": ""}),
        "6": ("CLIPTextEncode", {"text": ["21", 0]}),
    }
    found = texts(read(asked(nodes(**pieces))))
    assert (found["node[6].joined"], found["node[6].run-together"]) == ("for bidden", "forbidden")


def test_prompt_and_negative_prompt_are_not_joined():
    assert not any("joined" in slot for slot in texts(read(asked())))
    mixed = {"30": ("PrimitiveString", {"value": "a"}), "31": ("EasyLoader", {"positive": ["30", 0], "text": "b"})}
    assert texts(read(asked(nodes(**mixed))))["node[31].joined"] == "a b"


@pytest.mark.parametrize(
    ("sampler", "out"),
    [
        ({}, True),
        ({"cfg": 1}, True),
        ({"cfg": 0.99}, False),
        ({"cfg": -7.5}, False),
        ({"cfg": ["4", 0]}, False),
        ({"positive": ["7", 0], "negative": ["6", 0]}, False),
        ({"positive": ["7", 0]}, False),
    ],
)
def test_a_negative_prompt_is_judged_as_such_where_it_surely_is_one(sampler, out):
    found = texts(read(asked(nodes(**{"3": ("KSampler", {**SAMPLER, **sampler})}))))
    assert found["node[7].text"] == ("a picture --no cars and vans" if out else "cars and vans")


@pytest.mark.parametrize(("swap", "out"), [(False, True), (True, False)])
def test_a_node_with_two_ways_is_followed_by_its_outputs(swap, out):
    control = ("ControlNetApplyAdvanced", {"positive": ["6", 0], "negative": ["7", 0], "strength": 1.0})
    first, second = (1, 0) if swap else (0, 1)
    sampler = ("KSampler", {**SAMPLER, "positive": ["10", first], "negative": ["10", second]})
    found = texts(read(asked(nodes(**{"10": control, "3": sampler}))))
    assert found["node[7].text"].startswith("a picture --no") is out
    assert not found["node[6].text"].startswith("a picture --no")


def test_a_node_of_someone_else_is_not_trusted_with_a_negative_prompt():
    other = {"3": ("SomebodysSampler", SAMPLER)}
    assert texts(read(asked(nodes(**other))))["node[7].text"] == "cars and vans"


def test_a_text_that_nothing_uses_is_judged_as_a_prompt():
    found = texts(read(asked(nodes(**{"30": ("CLIPTextEncode", {"text": "a blue bicycle"})}))))
    assert found["node[30].text"] == "a blue bicycle"


def test_a_picture_is_had_from_the_server_whenever_it_is_used():
    store = Store({view("a.png", "input"): PICTURE})
    body = asked(nodes(**{"20": ("LoadImage", {"image": "a.png"})}))
    for _ in range(2):
        assert inputs(read(body, store=store)) == {"node[20].image": PICTURE}
    assert len(store.asked) == 2


@pytest.mark.parametrize("value", ["a.PNG", "a.webp [input]", "a.mp4", "sub/a.jpg [temp]"])
def test_a_file_name_is_known_in_whatever_node_it_stands(value):
    store = Store()
    with pytest.raises(BadRequest):
        read(asked(nodes(**{"20": ("Somebodys", {"thing": value})})), store=store)
    assert len(store.asked) == 1


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("LoadImage", {"image": "../a.png"}),
        ("LoadImage", {"image": "a/../b.png"}),
        ("LoadImage", {"image": "/etc/a.png"}),
        ("LoadImage", {"image": "a\\b.png"}),
        ("LoadImage", {"image": "C:/a.png"}),
        ("LoadImage", {"image": "blake3:abc"}),
        ("LoadImage", {"image": "a//b.png"}),
        ("LoadImage", {"image": "plain"}),
        ("LoadImageSetFromFolderNode", {"folder": "people"}),
        ("VHS_LoadImagesPath", {"directory": "people"}),
        ("LoadImageFromUrl", {"url": "https://a.example/a.png"}),
        ("LoadImageFromUrl", {"image": "https://a.example/a"}),
        ("Somebodys", {"thing": "/srv/people"}),
        ("Somebodys", {"thing": "x" * 2000}),
        ("Somebodys", {"points": list(range(300))}),
        ("ETN_LoadImageBase64", {"image": "data:image/png;base64,!!"}),
    ],
)
def test_what_nobody_could_judge_is_refused_unread(kind, given):
    with pytest.raises(BadRequest) as caught:
        read(asked(nodes(**{"20": (kind, given)})))
    assert 400 <= caught.value.status < 500


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("LoadImage", "image"),
        ("LoadImageMask", "image"),
        ("LoadLatent", "latent"),
        ("VHS_LoadVideo", "video"),
        ("LoadImageFromUrl", "url"),
        ("VHS_LoadImagesPath", "directory"),
    ],
)
def test_a_file_whose_name_another_node_makes_is_refused(kind, name):
    """Which file that will be is known once the graph runs."""
    made = ("StringConcatenate", {"string_a": "secr", "string_b": "et.png", "delimiter": ""})
    store = Store({view("secret.png", "input"): PICTURE})
    with pytest.raises(BadRequest) as caught:
        read(asked(nodes(**{"20": (kind, {name: ["21", 0]}), "21": made})), store=store)
    assert caught.value.code == "unjudged_reference"


@pytest.mark.parametrize("value", ["latents/ComfyUI_00001_.latent [output]", "a.latent", "a.LATENT [temp]"])
@pytest.mark.parametrize("kind", ["LoadLatent", "Somebodys"])
def test_a_picture_that_was_kept_as_latents_is_refused(kind, value):
    """Nobody can look at it, and it is drawn on like any picture."""
    with pytest.raises(BadRequest) as caught:
        read(asked(nodes(**{"20": (kind, {"latent": value})})))
    assert caught.value.code == "unjudged_reference"
    assert read(asked(nodes(**{"20": ("SaveLatent", {"filename_prefix": "latents/ComfyUI"})})))


def test_a_file_that_is_no_picture_is_refused():
    with pytest.raises(BadRequest, match="no picture"):
        read(
            asked(nodes(**{"20": ("LoadImage", {"image": "a.png"})})),
            store=Store({view("a.png", "input"): b"MZ not a picture"}),
        )


def test_a_picture_in_the_graph_itself_is_judged():
    graph = nodes(**{"20": ("Somebodys", {"data": b64(PICTURE), "mask": "data:image/png;base64," + b64(PICTURE)})})
    assert inputs(read(asked(graph))) == {"node[20].data": PICTURE, "node[20].mask": PICTURE}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"prompt": {}}',
        b'{"prompt": []}',
        b'{"prompt": {"1": 3}}',
        b'{"prompt": {"1": {"inputs": {}}}}',
        b'{"prompt": {"1": {"class_type": 3}}}',
        b'{"prompt": {"1": {"class_type": "x", "inputs": []}}}',
        b'{"prompt": {"1": {"class_type": "x"}}, "client_id": 3}',
        b'{"prompt": {"1": {"class_type": "x"}}, "client_id": "a b"}',
        b'{"prompt": {"1": {"class_type": "x"}}, "prompt_id": "../x"}',
        b'{"prompt": {"1": {"class_type": "x", "inputs": {"a": ["1", 0]}}}}',
        b'{"prompt": {"1": {"class_type": "x", "inputs": {"a": ["a text of more than three words", 0]}}}}',
        json.dumps(
            {"prompt": {str(k): {"class_type": "x", "inputs": {"a": [str((k + 1) % 9), 0]}} for k in range(9)}}
        ).encode(),
        json.dumps({"prompt": {"1": {"class_type": "x", "inputs": {"y" * 300: 1}}}}).encode(),
        json.dumps({"prompt": {"1": {"class_type": "x" * 300}}}).encode(),
        asked(extra_data="a text"),
        asked(extra_data={"api_key_comfy_org": "two words"}),
        asked(extra_data={"api_key_comfy_org": ["a key"]}),
        asked(extra_data={"auth_token_comfy_org": b64(PICTURE)}),
        asked(extra_data={"x": list(range(300))}),
        asked(numbers=list(range(300))),
        asked({"1": {"class_type": "x", "is_changed": list(range(300))}}),
    ],
)
def test_what_is_no_graph_is_refused(body):
    with pytest.raises(BadRequest):
        read(body)


def test_ten_thousand_nodes_are_refused_at_once():
    graph = {
        str(k): {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "x": [str(k - 1), 0]}} for k in range(10_000)
    }
    body = asked(graph)

    def refused():
        with pytest.raises(BadRequest, match="nodes"):
            read(body)

    assert best_s(refused) < 3.0


def test_as_many_nodes_as_are_read_take_no_time():
    graph = {str(k): {"class_type": "x", "inputs": {"text": [str(k - 1), 0]} if k else {}} for k in range(2_000)}
    body = asked(graph)
    assert best_s(lambda: read(body)) < 3.0


def test_texts_that_grow_with_every_join_are_refused():
    graph = {str(k): {"class_type": "PrimitiveString", "inputs": {"value": "long text " * 30}} for k in range(100)}
    graph |= {
        f"e{k}": {"class_type": "CLIPTextEncode", "inputs": {f"text{j}": [str(j), 0] for j in range(100)}}
        for k in range(100)
    }
    with pytest.raises(BadRequest):
        read(asked(graph))


def test_only_classes_of_the_list_may_be_used_where_there_is_one():
    dialect = Comfy(classes=frozenset(node["class_type"] for node in nodes().values()))
    assert read(asked(), dialect=dialect)
    with pytest.raises(BadRequest, match="classes"):
        read(asked(nodes(**{"20": ("Somebodys", {})})), dialect=dialect)


@pytest.mark.parametrize("options", [{"classes": []}, {"classes": "x"}, {"classes": [1]}, {"previews": "yes"}])
def test_options_that_are_none_are_refused(options):
    with pytest.raises(ConfigError):
        Comfy.open(Setup(options=options))


def test_options_are_taken():
    dialect = Comfy.open(Setup(options={"classes": ["KSampler"], "previews": "judge"}))
    assert (dialect.classes, dialect.previews) == (frozenset({"KSampler"}), True)
