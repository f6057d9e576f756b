"""One address for pictures, chats and responses keeps the contract of each."""

import json

from guardrail.errors import BadRequest
from guardrail.types import Stage
from guardrail.upstream.chat import Chat
from guardrail.upstream.contract import DialectContract, refusal
from guardrail.upstream.dialect import Door, Setup
from guardrail.upstream.openai import OpenAIImages
from guardrail.upstream.responses import Responses
from guardrail.upstream.several import OpenAI, Several
from tests.upstream.chat import test_contract as chat
from tests.upstream.openai import test_contract as images
from tests.upstream.responses import test_contract as responses


class TestSeveral(DialectContract):
    dialect = Several("openai-all", (OpenAIImages(), Chat(), Responses(known=responses.KNOWN)))
    closed = (("POST", "/v1/files"), ("POST", "/v1/embeddings"), ("GET", "/v1/chat/completions"))
    captures = (
        *images.TestOpenAIImages.captures,
        *(one for one in chat.TestChat.captures if one.path != "/images"),
        *responses.TestResponses.captures,
    )

    def test_it_opens_by_itself_and_refuses_options_that_it_does_not_know(self) -> None:
        assert OpenAI.open(Setup()).name == "openai-all"


def test_each_route_is_refused_in_the_words_of_its_own_protocol():
    dialect = TestSeveral.dialect
    contract = TestSeveral()
    kinds = {}
    for capture in TestSeveral.captures:
        call = contract.read(capture)
        if not call.request.stream:
            said = json.loads(dialect.refuse(refusal(Stage.OUTPUT), Stage.OUTPUT, call).body)
            kinds[call.route] = "error" if said.get("error") else said["object"]
    assert kinds["generations"] == kinds["images"] == "error"
    assert kinds["chat.completions"] == "chat.completion"
    assert kinds["responses"] == "response"
    assert dialect.fault(BadRequest("x")).status == 400


def test_moderations_are_still_answered_by_the_guard():
    assert TestSeveral.dialect.door("POST", "/v1/moderations") is Door.ANSWERED
