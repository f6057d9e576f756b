"""Two tenants before one server, which itself knows no users: neither sees what the other asked for and got."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest

from guardrail.errors import BadRequest, ConfigError
from guardrail.server import ServerSettings
from guardrail.types import Artifact, Kind, Request
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.comfy.files import Job
from guardrail.upstream.dialect import Door, Setup
from tests.server import upstream as script
from tests.server.conftest import start, upstream  # noqa: F401 - fixtures
from tests.upstream.asking import Store
from tests.upstream.comfy.asking import asked, history, nodes, read, view
from tests.upstream.comfy.test_answer import DONE, JSON
from tests.upstream.comfy.test_relay import End, Judging, relayed, said


def begun(dialect, tenant="red", client="me", job_id="j1"):
    """A prompt of a tenant that the server has taken."""
    call = of(read(asked(client_id=client), dialect=dialect), tenant)
    dialect.check_owner(call)
    asyncio.run(dialect.read_answer(call, 200, JSON, DONE.replace(b"j1", job_id.encode()), Store().fetch))


def of(call, tenant):
    return replace(call, request=replace(call.request, tenant=tenant))


def polled(dialect, path, tenant, query="", store=None):
    call = of(read(path=path, method="GET", query=query, dialect=dialect, store=store), tenant)
    dialect.check_owner(call)
    return call


def test_a_history_is_for_the_tenant_that_asked():
    dialect = Comfy()
    begun(dialect)
    polled(dialect, "/history/j1", "red")
    with pytest.raises(BadRequest, match="no such job") as caught:
        polled(dialect, "/history/j1", "blue")
    assert caught.value.status == 404


def test_a_picture_is_for_the_tenant_whose_job_made_it():
    dialect = Comfy()
    begun(dialect)
    call = polled(dialect, "/history/j1", "red")
    asyncio.run(dialect.read_answer(call, 200, JSON, history("j1", nodes(), "x.png"), Store().fetch))
    polled(dialect, "/view", "red", view("x.png"))
    with pytest.raises(BadRequest, match="no such job"):
        polled(dialect, "/view", "blue", view("x.png"))


def test_a_job_that_was_forgotten_is_nobodys():
    """After a restart nothing says whose it was; its pictures are judged again."""
    dialect = Comfy()
    store = Store({"history": history("j9", nodes(), "x.png")})
    polled(dialect, "/view", "blue", view("x.png"), store)


def test_an_id_of_a_client_is_for_the_tenant_that_used_it_first():
    dialect = Comfy()
    begun(dialect)
    begun(dialect, job_id="j2")
    with pytest.raises(BadRequest, match="somebody else's"):
        begun(dialect, tenant="blue", job_id="j3")
    begun(dialect, tenant="blue", client="other", job_id="j3")
    begun(dialect, tenant="green", client=None, job_id="j4")


def test_a_socket_is_not_opened_under_the_id_of_anothers_client():
    dialect = Comfy()
    begun(dialect)
    caller = End()
    with pytest.raises(BadRequest, match="somebody else's"):
        asyncio.run(dialect.socket("/ws", "clientId=me", (), caller, None, Judging(tenant="blue")))
    assert caller.told == []


@pytest.mark.parametrize(("tenant", "hears"), [("red", True), ("blue", False)])
def test_what_is_said_to_all_sockets_of_a_job_without_a_client_is_for_its_tenant(tenant, hears):
    dialect = Comfy()
    asked_for = Request((Artifact(Kind.PROMPT, "prompt", text="a red bicycle"),), (), tenant="red")
    dialect.known.jobs.put("bare", Job(asked_for, "", {}, "red"))
    message = said("executing", node="3", prompt_id="bare")
    told, _, _ = relayed(message, dialect=dialect, query="", judge=Judging(tenant=tenant))
    assert (told == [message]) is hears


def entry(number, job_id):
    return [number, job_id, nodes(f"words of {job_id}"), {"client_id": f"client of {job_id}"}, ["9"]]


def shown(dialect, tenant, body):
    call = of(read(path="/queue", method="GET", dialect=dialect), tenant)
    dialect.check_owner(call)
    return asyncio.run(dialect.read_answer(call, 200, JSON, body, Store().fetch)).body


def test_the_queue_shows_the_jobs_of_others_to_nobody():
    dialect = Comfy()
    begun(dialect, job_id="j1")
    begun(dialect, tenant="blue", client="other", job_id="j2")
    body = json.dumps({"queue_running": [entry(1, "j1")], "queue_pending": [entry(2, "j2"), entry(3, "j9")]}).encode()
    assert json.loads(shown(dialect, "red", body)) == {"queue_running": [entry(1, "j1")], "queue_pending": []}
    assert json.loads(shown(dialect, "blue", body)) == {"queue_running": [], "queue_pending": [entry(2, "j2")]}
    assert json.loads(shown(dialect, "green", body)) == {"queue_running": [], "queue_pending": []}


def test_the_queue_leaves_as_it_came_where_there_is_one_tenant():
    dialect = Comfy()
    begun(dialect)
    body = b'{"queue_running":  [%s], "queue_pending": []}' % json.dumps(entry(1, "j9")).encode()
    assert shown(dialect, "red", body) is body


def test_a_server_tells_no_tenant_of_anothers_job(start, upstream):  # noqa: F811
    def play(heard):
        if heard.method == "POST":
            return script.whole(DONE)
        return script.whole(history("j1", nodes(), "x.png"))

    upstream.script = play
    keys = {hashlib.sha256(name.encode()).hexdigest(): name for name in ("red", "blue")}
    running = start(ServerSettings(tenant_keys=keys), dialect=Comfy())
    red, blue = ({"content-type": "application/json", "authorization": f"Bearer {name}"} for name in ("red", "blue"))
    assert running.call("POST", "/prompt", asked(), red).status == 200
    assert running.call("GET", "/history/j1", headers=red).status == 200
    calls = len(upstream.calls)
    assert running.call("GET", "/history/j1", headers=blue).status == 404
    assert running.call("POST", "/prompt", asked(), blue).status == 400
    assert len(upstream.calls) == calls


CONTROLS = ("queue", "history", "interrupt", "free")


@pytest.mark.parametrize("opened", CONTROLS)
def test_what_reaches_the_jobs_of_everybody_is_closed_until_the_operator_opens_it(opened):
    dialect = Comfy.open(Setup(options={"controls": [opened]}))
    for name in CONTROLS:
        for path in (f"/{name}", f"/api/{name}"):
            assert Comfy().door("POST", path) is Door.CLOSED
            assert dialect.door("POST", path) is (Door.PASSED if name == opened else Door.CLOSED)
    assert dialect.door("GET", "/queue") is Door.JUDGED
    assert dialect.door("GET", "/history") is Door.CLOSED


@pytest.mark.parametrize("wrong", ["interrupt", ["interupt"], [["queue"]], {"queue": True}, True])
def test_a_control_that_there_is_not_stops_the_start(wrong):
    with pytest.raises(ConfigError, match=r"controls must be a list.*free, history, interrupt, queue"):
        Comfy.open(Setup(options={"controls": wrong}))
