"""The socket: what goes through, what is judged first, what stays behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, Overloaded, UpstreamError
from guardrail.types import Action, Artifact, Decision, Evidence, Kind, Request
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.comfy.files import Job, Name
from guardrail.upstream.dialect import Judged
from tests.upstream.asking import b64, decision, png

GOOD, BAD = png(1), png(2)
HEAD = (1).to_bytes(4, "big") + (2).to_bytes(4, "big")
ASKED = Request((Artifact(Kind.PROMPT, "prompt", text="a red bicycle"),), ())


class End:
    """One end of a socket: says what it was given, keeps what it is told, then closes or stays."""

    def __init__(self, *says: str | bytes, stays: bool = False) -> None:
        self.says = list(says)
        self.stays = stays
        self.told: list[str | bytes] = []

    async def receive(self) -> str | bytes | None:
        if self.says:
            return self.says.pop(0)
        if self.stays:
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)
        return None

    async def send(self, message: str | bytes) -> None:
        self.told.append(message)

    async def close(self, code: int = 1000) -> None: ...


class Judging:
    """Refuses BAD and texts with "forbidden"; keeps what it was asked."""

    def __init__(self, *, full: bool = False, tenant: str = "default") -> None:
        self.tenant = tenant
        self.asked: list[tuple[Request, list[Any]]] = []
        self.full = full

    async def __call__(self, request, outputs=(), texts=(), *, route) -> Judged:
        if self.full:
            raise Overloaded("full")
        self.asked.append((request, [one.data or one.text for one in (*outputs, *texts)]))
        bad = any(one.data == BAD for one in outputs) or any("forbidden" in one.text for one in texts)
        made = decision() if bad else Decision(Action.ALLOW, (), "default@1")
        return Judged(made, tuple(made for _ in outputs), (), Evidence())


def said(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def with_data(picture: bytes, **told: Any) -> bytes:
    raw = json.dumps(told).encode()
    return (4).to_bytes(4, "big") + len(raw).to_bytes(4, "big") + raw + picture


def relayed(
    *messages: str | bytes,
    dialect: Comfy | None = None,
    judge: Judging | None = None,
    query: str = "clientId=me",
    caller: End | None = None,
) -> tuple[list[str | bytes], Judging, End]:
    dialect = dialect or Comfy()
    dialect.known.jobs.put("mine", Job(ASKED, "me", {"3": "KSampler", "9": "SaveImage", "8": "SaveImageWebsocket"}))
    dialect.known.jobs.put("theirs", Job(ASKED, "you", {}))
    judge = judge or Judging()
    caller = caller or End(stays=True)
    server = End(*messages)
    asked: list[str] = []

    async def dial(path, headers):
        asked.append(path)
        return server

    asyncio.run(dialect.socket("/ws", query, (), caller, dial, judge))
    assert asked == [f"/ws?{query}" if query else "/ws"]
    return caller.told, judge, server


AT_3 = said("executing", node="3", prompt_id="mine")
AT_8 = said("executing", node="8", prompt_id="mine")
OVER = said("executing", node=None, prompt_id="mine")


def test_what_is_said_of_the_callers_own_jobs_goes_through_as_it_came():
    messages = (
        said("status", status={"exec_info": {"queue_remaining": 1}}),
        said("execution_start", prompt_id="mine"),
        AT_3,
        '{"type":  "progress", "data": {"value": 1, "max": 2, "prompt_id": "mine", "node": "3"}}',
        said("executed", node="9", prompt_id="mine", output={"images": [{"filename": "a.png", "type": "output"}]}),
        OVER,
    )
    told, judge, _ = relayed(*messages)
    assert told == list(messages)
    assert judge.asked == []


@pytest.mark.parametrize("kind", ["executing", "executed", "execution_error", "progress_state"])
def test_what_is_said_of_other_clients_jobs_stays_behind(kind):
    told, _, _ = relayed(said(kind, prompt_id="theirs", current_inputs={"text": ["their words"]}))
    assert told == []


def test_a_client_whose_id_the_server_makes_up_hears_of_its_jobs():
    """As the web interface does it: the first message tells the id, and prompts are sent under it."""
    dialect = Comfy()
    dialect.known.jobs.put("j1", Job(ASKED, "made-up", {}, "default"))
    dialect.known.jobs.put("j2", Job(ASKED, "", {}, "default"))
    status = said("status", status={"exec_info": {"queue_remaining": 0}}, sid="made-up")
    messages = (status, said("executing", node="3", prompt_id="j1"), said("executing", node="3", prompt_id="j2"))
    told, _, _ = relayed(*messages, said("executing", node="3", prompt_id="theirs"), dialect=dialect, query="")
    assert told == list(messages)
    with pytest.raises(BadRequest):
        dialect.known.claim("made-up", "somebody-else")


def test_a_client_that_names_itself_is_called_nothing_else():
    """Who is told another's id does not hear another's messages."""
    told, _, _ = relayed(said("status", status={}, sid="you"), said("executing", node="3", prompt_id="theirs"))
    assert len(told) == 1


def test_the_log_of_the_server_stays_behind():
    assert relayed(said("logs", entries=[{"m": "got prompt"}]))[0] == []


def test_previews_stay_behind_and_are_not_judged():
    told, judge, _ = relayed(AT_3, HEAD + GOOD, with_data(GOOD, prompt_id="mine", node_id="3"), OVER)
    assert told == [AT_3, OVER]
    assert judge.asked == []


def test_previews_are_judged_and_go_through_where_the_operator_says_so():
    told, judge, _ = relayed(AT_3, HEAD + GOOD, OVER, dialect=Comfy(previews=True))
    assert told == [AT_3, HEAD + GOOD, OVER]
    assert judge.asked == [(ASKED, [GOOD])]


def test_a_bad_preview_ends_the_job():
    told, _, _ = relayed(AT_3, HEAD + BAD, HEAD + GOOD, OVER, dialect=Comfy(previews=True))
    assert [json.loads(one)["type"] for one in told] == ["executing", "execution_error", "executing"]


@pytest.mark.parametrize("frame", [HEAD + GOOD, with_data(GOOD, prompt_id="mine", node_id="8")])
def test_a_finished_picture_is_judged_and_goes_through(frame):
    told, judge, _ = relayed(AT_8, frame, OVER)
    assert told == [AT_8, frame, OVER]
    assert judge.asked == [(ASKED, [GOOD])]


def test_a_refused_picture_ends_its_job_in_both_ways_that_clients_wait_for():
    dialect = Comfy()
    after = (HEAD + GOOD, said("execution_success", prompt_id="mine"), OVER)
    told, _, _ = relayed(AT_8, HEAD + BAD, *after, dialect=dialect)
    assert told[0] == AT_8
    failed, over = (json.loads(one) for one in told[1:])
    assert (failed["type"], failed["data"]["prompt_id"], failed["data"]["node_id"]) == ("execution_error", "mine", "8")
    assert failed["data"]["node_type"] == "SaveImageWebsocket"
    assert "undress-output" in failed["data"]["exception_message"]
    assert over == {"type": "executing", "data": {"node": None, "display_node": None, "prompt_id": "mine"}}
    assert dialect.known.refused.get("mine") is not None


def test_a_picture_of_a_job_that_is_not_known_is_judged():
    _, judge, _ = relayed(said("executing", node="3", prompt_id="unknown"), HEAD + GOOD)
    assert judge.asked == [(Request((), ()), [GOOD])]
    with pytest.raises(UpstreamError):
        relayed(HEAD + BAD)


def test_a_picture_that_is_faster_than_the_answer_to_its_prompt_waits_for_it():
    dialect, judge = Comfy(), Judging()
    late = Job(ASKED, "me", {"8": "SaveImageWebsocket"})

    class Slow(End):
        async def send(self, message):
            await super().send(message)
            asyncio.get_running_loop().call_later(0.05, dialect.known.jobs.put, "late", late)

    at = said("executing", node="8", prompt_id="late")
    relayed(at, HEAD + GOOD, dialect=dialect, judge=judge, caller=Slow(stays=True))
    assert judge.asked == [(ASKED, [GOOD])]


def test_nothing_leaves_when_nobody_can_judge():
    caller = End(stays=True)
    with pytest.raises(Overloaded):
        relayed(AT_8, HEAD + GOOD, judge=Judging(full=True), caller=caller)
    assert caller.told == [AT_8]


@pytest.mark.parametrize("frame", [b"", b"\x00", (2).to_bytes(4, "big") + GOOD, (9).to_bytes(4, "big") + GOOD])
def test_frames_that_are_not_known_stay_behind(frame):
    assert relayed(AT_8, frame)[0] == [AT_8]


@pytest.mark.parametrize(
    "frame",
    [
        HEAD + b"no picture",
        (4).to_bytes(4, "big") + (1 << 30).to_bytes(4, "big") + GOOD,
        (4).to_bytes(4, "big") + (4).to_bytes(4, "big") + b"nope" + GOOD,
        (3).to_bytes(4, "big") + (0).to_bytes(4, "big") + b"\xff\xfe",
        (3).to_bytes(4, "big") + (0).to_bytes(4, "big") + b64(GOOD).encode(),
        "no json",
        '{"type": 1, "type": 2}',
    ],
)
def test_what_cannot_be_read_closes_the_socket(frame):
    with pytest.raises(UpstreamError):
        relayed(AT_8, frame)


def test_texts_that_are_shown_are_judged():
    text = (3).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"8" + b"a text of more than three words"
    told, judge, _ = relayed(AT_8, text)
    assert told == [AT_8, text]
    assert judge.asked[0][1] == ["a text of more than three words"]
    shown = said("executed", node="8", prompt_id="mine", output={"text": ["this is a forbidden text"]})
    assert [json.loads(one)["type"] for one in relayed(shown)[0]] == ["execution_error", "executing"]


def test_a_message_with_a_picture_in_it_ends_the_job():
    shown = said("executed", node="8", prompt_id="mine", output={"a": b64(GOOD)})
    told, judge, _ = relayed(shown)
    assert [json.loads(one)["type"] for one in told] == ["execution_error", "executing"]
    assert judge.asked == []


def test_what_was_made_is_remembered_with_its_job():
    dialect = Comfy()
    output = {"images": [{"filename": "a.png", "subfolder": "x", "type": "temp"}]}
    relayed(said("executed", node="9", prompt_id="mine", output=output), dialect=dialect)
    assert dialect.known.made.get(Name("temp", "x", "a.png")) == "mine"


def test_a_client_says_what_it_supports_and_nothing_else_goes_on():
    flags = said("feature_flags", supports_preview_metadata=True)
    _, _, server = relayed(caller=End(flags, said("other", x=1), stays=True), query="")
    assert server.told == [flags]


@pytest.mark.parametrize("message", [b"\x00", "x" * 70_000, "no json"])
def test_a_client_that_sends_what_could_be_a_picture_is_cut_off(message):
    with pytest.raises(BadRequest):
        relayed(caller=End(message, stays=True))


@pytest.mark.parametrize("query", ["clientId=a%20b", "clientId=a&clientId=b", "x=1", "clientId=" + "a" * 101])
def test_a_query_that_is_none_is_refused(query):
    with pytest.raises(BadRequest):
        relayed(query=query)
