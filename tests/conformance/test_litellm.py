"""The real litellm: its guardrail hook asks the guard, and its image calls pass through it."""

from __future__ import annotations

import base64
import json

import pytest

from guardrail.upstream.dialect import Door
from guardrail.upstream.moderation import HOOK, Moderation
from guardrail.upstream.openai import OpenAIImages
from tests.conformance.guarded import MARK, Saw, drive, python_of
from tests.server import upstream as script
from tests.server.upstream import Heard, ScriptedUpstream
from tests.stand_ins import png

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

GOOD, OUT, BAD = png("good"), png("out"), png(MARK.decode())


class Both(OpenAIImages):
    """The Images dialect and the hook at one address, so that one run of the client shows both."""

    hooks = Moderation()

    def door(self, method: str, path: str) -> Door:
        return self.hooks.door(method, path) if path == HOOK else super().door(method, path)

    async def answer(self, method, path, query, headers, body, judge, fetch):
        return await self.hooks.answer(method, path, query, headers, body, judge, fetch)


def scenario_of(heard: Heard) -> str:
    return str(json.loads(heard.body)["model"])


@pytest.fixture(scope="module")
def saw(tmp_path_factory) -> Saw:
    python = python_of("litellm")
    folder = tmp_path_factory.mktemp("litellm")
    (folder / "good.png").write_bytes(GOOD)
    (folder / "bad.png").write_bytes(BAD)
    with ScriptedUpstream() as generator:
        generator.script = lambda heard: script.images(OUT)
        return drive(Both(), generator, python, "client_litellm.py", folder, scenario_of)


@pytest.mark.parametrize("scenario", ["hook-text", "hook-picture", "hook-response"])
def test_what_the_policy_lets_through_goes_on_unchanged(saw, scenario):
    assert "error" not in saw.results[scenario]
    assert saw.results[scenario]["texts"]


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        ("hook-text-refused", "bad-words"),
        ("hook-picture-refused", "bad-input"),
        ("hook-message-refused", "bad-input"),
        ("hook-response-refused", "bad-words"),
        ("hook-response-picture-refused", "bad-output"),
    ],
)
def test_what_it_refuses_is_raised_as_litellms_own_block(saw, scenario, rule):
    error = saw.results[scenario]["error"]
    assert error["class"] == "GuardrailRaisedException"
    assert f"Rules: {rule}." in error["message"]


@pytest.mark.parametrize("scenario", ["hook-unreadable", "hook-empty"])
def test_what_the_guard_cannot_judge_does_not_pass(saw, scenario):
    assert "Generic Guardrail API failed" in saw.results[scenario]["error"]["message"]


def test_an_image_call_through_the_guard_brings_the_picture(saw):
    assert saw.results["generate"] == {"pictures": [base64.b64encode(OUT).decode()]}


def test_a_refused_image_call_is_a_content_policy_violation_that_is_not_tried_again(saw):
    error = saw.results["generate-refused"]["error"]
    assert error["class"] == "ContentPolicyViolationError"
    assert saw.calls["generate-refused"] == 0


def test_the_record_of_it_all_holds_together(saw):
    assert saw.faults == []
