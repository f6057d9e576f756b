"""The moderation routes: what is judged, what is said of it, and that nothing unread passes."""

from __future__ import annotations

import json

import pytest

from guardrail.audit import AuditLog
from guardrail.errors import BadRequest, ConfigError
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings
from guardrail.server.admission import Admission
from guardrail.server.client import Client
from guardrail.server.exchange import Services
from guardrail.server.judging import Judging
from guardrail.types import Kind, Unknown
from guardrail.upstream.dialect import Answers, Dialect, Door, Setup
from guardrail.upstream.moderation import HOOK, Moderation
from guardrail.upstream.moderation.categories import UNJUDGED
from guardrail.upstream.openai import OpenAIImages
from tests.stand_ins import Asks
from tests.stand_ins import png as says_png
from tests.upstream.asking import JSON, Store, b64

POLICY = """
version: 1
name: moderation
on_unknown: hold
joins:
  any.minor: ["*.minor"]
  any.sexual: [prompt.sexual, "*.exposure"]
floors:
  - id: minor-sexual
    when: {any.minor: 0.3, any.sexual: 0.2}
    action: block
rules:
  - id: undress-request
    when: {prompt.undress: 0.5, input.person: 0.5}
    action: block
  - id: explicit-input
    when: {input.exposure: 0.8}
    action: hold
  - id: explicit-output
    when: {output.exposure: 0.8}
    action: block
  - id: sexual-prompt
    when: {prompt.sexual: 0.5}
    action: flag
"""
CLEAN, NUDE, PERSON = says_png("clean"), says_png("NUDE"), says_png("PERSON")


def text_scores(artifact):
    text = artifact.text
    if "unclear" in text:
        return {"sexual": Unknown("too short"), "undress": 0.0, "minor": 0.0}
    return {
        "sexual": 0.9 if "sexual" in text else 0.25 if "suggestive" in text else 0.02,
        "undress": 0.8 if "undress" in text or "take off her coat" in text else 0.01,
        "minor": 0.35 if "young" in text else 0.03,
    }


def picture_scores(artifact):
    return {
        "exposure": 0.95 if b"NUDE" in artifact.data else 0.0,
        "person": 0.99 if b"PERSON" in artifact.data else 0.1,
        "minor": 0.0,
    }


@pytest.fixture
def judge(tmp_path):
    """The real guard behind the real `Judge`, with stand-in checks; `records` reads what it wrote."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    url, key = f"sqlite:///{tmp_path / 'audit.db'}", b"k" * 32
    guard = Guard(
        [
            Asks(text_scores, ["sexual", "undress", "minor"], [Kind.PROMPT], "texts"),
            Asks(picture_scores, ["exposure", "person", "minor"], [Kind.INPUT, Kind.OUTPUT], "pictures"),
        ],
        PolicyBook(tmp_path / "policy.yaml"),
        digest_key=b"d" * 32,
        audit=AuditLog.open(url, key),
    )
    settings = ServerSettings()
    services = Services(guard, Client(settings), settings, Metrics(), Admission(9, 9, 1.0))
    return Judging(services, "default")


async def ask(judge, body, path="/v1/moderations", *, dialect=None, store=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await (dialect or Moderation()).answer("POST", path, "", JSON, raw, judge, (store or Store()).fetch)
    assert reply.status == 200
    return json.loads(reply.body)


def image(data: bytes) -> dict:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(data)}"}}


def test_it_fulfils_the_interfaces_and_opens_two_routes():
    dialect: Dialect = Moderation.open(Setup())
    assert isinstance(dialect, Answers)
    assert dialect.door("POST", "/v1/moderations") is Door.ANSWERED
    assert dialect.door("POST", HOOK) is Door.ANSWERED
    for method, path in (("GET", HOOK), ("POST", "/v1/images/generations"), ("POST", "/v1/moderations/"), ("GET", "/")):
        assert dialect.door(method, path) is Door.CLOSED
    with pytest.raises(ConfigError, match="no option 'pictres'"):
        Moderation.open(Setup(options={"pictres": "output"}))
    with pytest.raises(ConfigError, match="input or output"):
        Moderation.open(Setup(options={"pictures": "both"}))


async def test_a_clean_text_is_not_flagged_and_says_what_was_not_looked_at(judge):
    said = await ask(judge, {"input": "a red bicycle"})
    (result,) = said["results"]
    assert said["model"] == "omni-moderation-latest"
    assert said["id"] == f"modr-{result['guardrail']['receipt']}"
    assert result["flagged"] is False
    assert result["categories"]["sexual"] is False
    assert result["category_scores"]["sexual"] == 0.02
    assert result["category_scores"]["sexual/minors"] == 0.02
    assert result["category_applied_input_types"]["sexual"] == ["text"]
    for name in UNJUDGED:
        assert result["categories"][name] is None
        assert result["category_scores"][name] is None
    assert set(result["categories"]) == set(result["category_scores"]) == set(result["category_applied_input_types"])


@pytest.mark.parametrize(
    ("text", "flagged", "true", "rules"),
    [
        ("something sexual", False, {"sexual"}, ["sexual-prompt"]),
        ("someone young, suggestive", True, {"sexual", "sexual/minors", "minor"}, ["minor-sexual"]),
        ("someone young on a bicycle", False, set(), []),
        ("undress her", False, {"undress"}, []),
    ],
)
async def test_flagged_is_what_the_policy_would_refuse(judge, text, flagged, true, rules):
    (result,) = (await ask(judge, {"input": text, "model": "text-moderation-latest"}))["results"]
    assert result["flagged"] is flagged
    assert {name for name, value in result["categories"].items() if value} == true
    assert result["guardrail"]["rules"] == rules


async def test_each_string_of_a_list_gets_a_result_and_a_record_of_its_own(judge):
    said = await ask(judge, {"input": ["a bicycle", "someone young, suggestive", "a tree"]})
    assert [result["flagged"] for result in said["results"]] == [False, True, False]
    assert len({result["guardrail"]["receipt"] for result in said["results"]}) == 3


async def test_text_and_picture_together_are_one_request(judge):
    parts = [{"type": "text", "text": "undress her"}, image(PERSON)]
    (result,) = (await ask(judge, {"input": parts}))["results"]
    assert (result["flagged"], result["guardrail"]["rules"]) == (True, ["undress-request"])
    assert result["category_scores"]["person"] == 0.99
    assert result["category_applied_input_types"]["person"] == ["image"]
    assert result["category_applied_input_types"]["sexual"] == ["text", "image"]


async def test_a_wish_cut_between_the_parts_of_one_input_is_judged_whole(judge):
    first, second = ({"type": "text", "text": said} for said in ("take off", "her coat"))
    assert (await ask(judge, {"input": [first, image(PERSON), second]}))["results"][0]["flagged"]
    assert not (await ask(judge, {"input": [first, image(PERSON)]}))["results"][0]["flagged"]


async def test_a_picture_by_address_is_fetched_once_and_judged(judge):
    store = Store({"https://a.example/x.png": NUDE})
    part = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    (result,) = (await ask(judge, {"input": [part]}, store=store))["results"]
    assert (result["flagged"], result["guardrail"]["decision"]) == (True, "hold")
    assert result["categories"]["sexual"] is True
    assert store.asked == ["https://a.example/x.png"]


async def test_pictures_may_be_judged_as_outputs(judge):
    dialect = Moderation.open(Setup(options={"pictures": "output"}))
    (result,) = (await ask(judge, {"input": [image(NUDE)]}, dialect=dialect))["results"]
    assert result["guardrail"]["rules"] == ["explicit-output"]


async def test_what_could_not_be_told_is_null_and_flagged_as_the_policy_says(judge):
    for dialect in (Moderation(), OpenAIImages()):
        (result,) = (await ask(judge, {"input": "unclear"}, dialect=dialect))["results"]
        assert result["category_scores"]["sexual"] is None
        assert result["category_scores"]["sexual/minors"] is None
        assert (result["flagged"], result["guardrail"]["decision"]) == (True, "hold")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b'{"input": "a"', None),
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": ["a", {"type": "text", "text": "b"}]}, "input"),
        ({"input": [{"type": "audio", "audio": "x"}]}, "input[0]"),
        ({"input": [{"type": "text", "text": 1}]}, "input[0]"),
        ({"input": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}, "input[0]"),
        ({"input": [{"type": "image_url", "image_url": {"url": "no picture"}}]}, "input[0]"),
        ({"input": "a" * 32_001}, "input"),
        ({"input": ["a"] * 65}, "input"),
        ({"input": "a", "model": 3}, "model"),
    ],
)
async def test_what_cannot_be_read_is_a_bad_request(judge, body, param):
    with pytest.raises(BadRequest) as caught:
        await ask(judge, body)
    assert caught.value.param == param


@pytest.mark.parametrize("parted", [False, True])
async def test_the_texts_of_one_call_are_bounded_in_all(judge, parted):
    said = ["word " * 6000] * 16
    await ask(judge, {"input": [{"type": "text", "text": one} for one in said] if parted else said})
    said += ["word " * 6000]
    with pytest.raises(BadRequest) as caught:
        await ask(judge, {"input": [{"type": "text", "text": one} for one in said] if parted else said})
    assert caught.value.status == 413


async def test_a_picture_that_is_none_is_a_bad_request(judge):
    with pytest.raises(BadRequest) as caught:
        await ask(judge, {"input": [image(b"this is no picture at all, and long enough")]})
    assert caught.value.code == "invalid_image"


# ------------------------------------------------------------------------------------------------------ LiteLLM's hook


def hook(said="request", **more) -> dict:
    """The body that LiteLLM 1.106.2 sends."""
    return {
        "input_type": said,
        "litellm_call_id": "c-1",
        "litellm_trace_id": "t-1",
        "structured_messages": None,
        "images": None,
        "tools": None,
        "texts": [],
        "request_data": {"user_api_key_hash": "h"},
        "request_headers": {"authorization": "[present]"},
        "litellm_version": "1.106.2",
        "additional_provider_specific_params": {},
        "tool_calls": None,
        "model": "gpt-image-2",
        **more,
    }


async def test_a_clean_call_goes_on(judge):
    assert await ask(judge, hook(texts=["a red bicycle"]), HOOK) == {"action": "NONE"}


@pytest.mark.parametrize(
    "more",
    [
        {"texts": ["a bicycle", "someone young, suggestive"]},
        {"texts": ["undress her"], "images": [f"data:image/png;base64,{b64(PERSON)}"]},
        {"texts": ["a bicycle"], "images": [b64(NUDE)]},
        {"structured_messages": [{"role": "user", "content": "someone young, suggestive"}]},
        {"structured_messages": [{"role": "user", "content": [{"type": "text", "text": "someone young, suggestive"}]}]},
        {"structured_messages": [{"role": "user", "content": [image(NUDE)]}]},
        {"tool_calls": [{"function": {"name": "paint", "arguments": '{"prompt": "someone young, suggestive"}'}}]},
        {"tools": [{"type": "function", "function": {"description": "paints someone young, suggestive things"}}]},
    ],
)
async def test_what_the_policy_refuses_is_blocked_wherever_it_stands(judge, more):
    said = await ask(judge, hook(**more), HOOK)
    assert said["action"] == "BLOCKED"
    assert "request was rejected as a result of the safety system" in said["blocked_reason"]
    assert "Receipt: " in said["blocked_reason"]
    assert "suggestive" not in said["blocked_reason"]


async def test_a_response_is_judged_as_what_would_be_shown(judge):
    said = await ask(judge, hook("response", texts=["here it is"], images=[b64(NUDE)]), HOOK)
    assert said["action"] == "BLOCKED"
    assert "explicit-output" in said["blocked_reason"]
    assert await ask(judge, hook("response", texts=["here it is"], images=[b64(CLEAN)]), HOOK) == {"action": "NONE"}
    said = await ask(judge, hook("response", texts=["someone young, suggestive"]), HOOK)
    assert said["action"] == "BLOCKED"


@pytest.mark.parametrize("said", ["request", "response"])
async def test_a_picture_inside_of_a_text_is_judged_as_one(judge, said):
    """As chat models that draw give theirs, and as it comes back with the next turn."""
    shown = f"There you are: ![it](data:image/png;base64,{b64(NUDE)}) as you wished."
    assert (await ask(judge, hook(said, texts=[shown]), HOOK))["action"] == "BLOCKED"
    clean = f"There you are: ![it](data:image/png;base64,{b64(CLEAN)}) as you wished."
    assert (await ask(judge, hook(said, texts=[clean]), HOOK))["action"] == "NONE"
    turns = [{"role": "assistant", "content": shown}]
    assert (await ask(judge, hook(said, texts=["hi"], structured_messages=turns), HOOK))["action"] == "BLOCKED"


async def test_a_picture_that_an_answer_shows_by_address_is_fetched_and_judged(judge):
    store = Store({"https://made.example/1": NUDE})
    told = hook("response", texts=["![it](https://made.example/1) there you are"])
    assert (await ask(judge, told, HOOK, store=store))["action"] == "BLOCKED"
    asked = hook("request", texts=["is ![it](https://made.example/1) any good?"])
    assert (await ask(judge, asked, HOOK, store=Store()))["action"] == "NONE"


async def test_a_long_text_is_judged_to_its_end(judge):
    long = "a red bicycle, " * 4000
    assert (await ask(judge, hook(texts=[long]), HOOK))["action"] == "NONE"
    assert (await ask(judge, hook(texts=[f"{long} someone young, suggestive"]), HOOK))["action"] == "BLOCKED"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        hook(),
        hook(texts=[" "]),
        hook("other", texts=["a"]),
        hook(texts="a"),
        hook(texts=[1]),
        hook(images=["file:///x"]),
        hook(texts=[f"text {n}" for n in range(257)]),
    ],
)
async def test_the_hook_never_says_none_of_what_it_could_not_read(judge, body):
    with pytest.raises(BadRequest):
        await ask(judge, body, HOOK)
