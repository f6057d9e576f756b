"""Answers, uploads and files: what is handed out, and what a name may be."""

import asyncio
import json

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Request
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.comfy.files import Name, of_query
from tests.upstream.asking import FORM, JSON, Store, b64, decision, form, png
from tests.upstream.comfy.asking import asked, history, inputs, nodes, read, texts, view

GOOD, BAD, PERSON = png(1), png(2), png(3)
DONE = b'{"prompt_id": "j1", "number": 1, "node_errors": {}}'


def answered(dialect, call, body, status=200, headers=JSON):
    return asyncio.run(dialect.read_answer(call, status, headers, body, Store().fetch))


def queued(dialect, **more):
    """A prompt that the server has taken, as job j1."""
    store = Store({view("person.png", "input"): PERSON})
    call = read(asked(nodes(**{"20": ("LoadImage", {"image": "person.png"})}), **more), dialect=dialect, store=store)
    answered(dialect, call, DONE)
    return call


def seen(dialect, name, store=None, folder="output"):
    return read(path="/view", method="GET", query=view(name, folder), dialect=dialect, store=store)


def test_a_picture_is_judged_with_what_was_asked_for_in_its_job():
    dialect = Comfy()
    job = queued(dialect)
    call = read(path="/history/j1", method="GET", dialect=dialect)
    answered(dialect, call, history("j1", nodes(), "x.png"))
    found = seen(dialect, "x.png")
    assert (texts(found), inputs(found)) == (texts(job), inputs(job))


def test_what_checks_work_out_of_a_picture_is_not_remembered_with_its_job():
    """Its frames take a thousand times the room that is counted for it."""
    dialect = Comfy()
    job = queued(dialect)
    job.request.inputs[0].once("picture", lambda: "its frames")
    answered(dialect, read(path="/history/j1", method="GET", dialect=dialect), history("j1", nodes(), "x.png"))
    for _ in range(2):
        (picture,) = seen(dialect, "x.png").request.inputs
        assert picture.once("picture", lambda: "anew") == "anew"
        picture.once("faces", lambda: "found")
        (kept,) = dialect.known.jobs.get("j1").request.inputs
        assert kept._memo == {}


def test_what_was_asked_for_is_recalled_from_the_history_of_the_server():
    graph = nodes(**{"20": ("LoadImage", {"image": "person.png"})})
    files = {"history": history("j1", graph, "x.png"), view("person.png", "input"): PERSON}
    call = seen(Comfy(), "x.png", Store(files))
    assert texts(call)["node[6].text"] == "a red bicycle"
    assert set(inputs(call).values()) == {PERSON}


def test_the_newest_job_of_a_name_is_the_one_that_counts():
    both = {**json.loads(history("j1", nodes("old"), "x.png")), **json.loads(history("j2", nodes("new"), "x.png"))}
    call = seen(Comfy(), "x.png", Store({"history": json.dumps(both).encode()}))
    assert texts(call)["node[6].text"] == "new"


@pytest.mark.parametrize("told", [b"{}", history("j1", nodes(), "y.png"), b'{"j1": {"outputs": {}}}'])
def test_a_picture_of_no_known_job_is_not_asked_for(told):
    with pytest.raises(BadRequest) as caught:
        seen(Comfy(), "x.png", Store({"history": told}))
    assert caught.value.status == 404


def test_a_picture_that_was_uploaded_belongs_to_no_job():
    assert seen(Comfy(), "x.png", folder="input").request == Request((), ())


def test_a_refused_picture_is_forbidden_and_its_job_has_failed():
    dialect = Comfy()
    queued(dialect)
    call = read(path="/history/j1", method="GET", dialect=dialect)
    answered(dialect, call, history("j1", nodes(), "x.png"))
    found = answered(dialect, seen(dialect, "x.png"), BAD)
    assert [one.data for one in found.images] == [BAD]
    assert dialect.without(found, {0: decision()}, "replace").status == 403
    after = json.loads(answered(dialect, call, history("j1", nodes(), "x.png")).body)["j1"]
    assert after["outputs"] == {}
    assert (after["status"]["status_str"], after["status"]["completed"]) == ("error", False)
    assert after["status"]["messages"][0][0] == "execution_error"


def test_a_picture_leaves_with_its_file_name():
    dialect = Comfy()
    headers = (("content-type", "image/png"), ("content-disposition", 'filename="x.png"'))
    found = answered(dialect, seen(dialect, "x.png", folder="input"), GOOD, headers=headers)
    assert ("content-disposition", 'filename="x.png"') in found.headers


def test_a_part_of_a_picture_is_not_asked_for():
    headers = (("Range", "bytes=0-9"), ("If-None-Match", "x"), ("Origin", "http://a.example"), ("X-Api-Key", "k"))
    call = read(path="/view", method="GET", query=view("x.png", "input"), headers=headers)
    assert [name for name, _ in call.forward.headers] == ["X-Api-Key", "accept-encoding"]


@pytest.mark.parametrize(("status", "body"), [(206, GOOD), (304, b""), (200, b"ID3 a song"), (200, b"")])
def test_what_is_no_whole_picture_is_the_servers_fault(status, body):
    dialect = Comfy()
    with pytest.raises(UpstreamError):
        answered(dialect, seen(dialect, "x.png", folder="input"), body, status)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "filename=",
        "filename=..&type=input",
        "filename=../a.png",
        "filename=a.png&subfolder=../x",
        "filename=a.png&type=etc",
        "filename=a.png&filename=b.png",
        "filename=a.png;type=input",
        "filename=a.png&preview=webp;90;type=input",
        "filename=a.png&other=1",
        "filename=x/a.png&subfolder=y",
        "filename=%2Fetc%2Fa.png",
        "filename=blake3:abc",
        "filename=a.png&type=%ff",
    ],
)
def test_a_name_that_could_be_read_in_two_ways_is_refused(query):
    with pytest.raises(BadRequest):
        of_query(query)


def test_a_name_is_read_in_each_way_that_it_is_written():
    assert of_query("filename=x/a%20b.png&type=temp&preview=webp;90") == Name("temp", "x", "a b.png")
    assert of_query("filename=a.png") == Name("output", "", "a.png")


def test_texts_and_pictures_of_a_history_are_judged():
    dialect = Comfy()
    call = read(path="/history/j9", method="GET", dialect=dialect)
    found = answered(dialect, call, history("j9", nodes(), text=["a text of more words"], a=[b64(BAD)]))
    assert ([one.text for one in found.texts], [one.data for one in found.images]) == (["a text of more words"], [BAD])
    reply = dialect.without(found, {-1: decision()}, "replace")
    assert json.loads(reply.body)["j9"]["outputs"] == {}


def test_the_history_of_another_job_is_no_answer():
    dialect = Comfy()
    call = read(path="/history/j9", method="GET", dialect=dialect)
    with pytest.raises(UpstreamError):
        answered(dialect, call, history("j1", nodes(), "x.png"))
    assert answered(dialect, call, b"{}").body == b"{}"


def test_a_job_cannot_be_asked_for_twice_under_one_id():
    dialect = Comfy()
    queued(dialect, prompt_id="j1")
    with pytest.raises(BadRequest, match="known"):
        read(asked(prompt_id="j1"), dialect=dialect)


@pytest.mark.parametrize("body", [b"{}", b'{"prompt_id": 3}', b'{"prompt_id": "../x"}', b"null", b'{"prompt_id": "j"'])
def test_a_prompt_that_gets_no_id_is_the_servers_fault(body):
    dialect = Comfy()
    with pytest.raises(UpstreamError):
        answered(dialect, read(asked(), dialect=dialect), body)


def test_an_error_of_the_server_passes():
    dialect = Comfy()
    said = b'{"error":{"type":"prompt_outputs_failed_validation","message":"x"},"node_errors":{}}'
    assert answered(dialect, read(asked(), dialect=dialect), said, 400).body == said


@pytest.mark.parametrize(
    "parts",
    [
        (("image", GOOD, "../a.png"),),
        (("image", GOOD, "a/b.png"),),
        (("image", GOOD, "a.png"), ("subfolder", b"../x")),
        (("image", GOOD, "a.png"), ("type", b"etc")),
        (("image", GOOD, "a.png"), ("other", b"x")),
        (("file", GOOD, "a.png"),),
        (("image", b"", "a.png"),),
        (("subfolder", b"x"),),
    ],
)
def test_an_upload_that_is_none_is_refused(parts):
    with pytest.raises(BadRequest):
        read(form(*parts), "/upload/image", headers=FORM)


@pytest.mark.parametrize("ref", [b"", b"x", b"[]", b'{"filename": "../a.png"}', b'{"filename": "gone.png"}'])
def test_a_mask_of_no_known_picture_is_refused(ref):
    with pytest.raises(BadRequest):
        read(form(("image", GOOD, "a.png"), ("original_ref", ref)), "/upload/mask", headers=FORM)


@pytest.mark.parametrize(("given", "sent"), [("true", "false"), ("1", "false"), ("false", "false"), ("", "")])
def test_a_name_is_written_once(given, sent):
    body = form(("image", GOOD, "a.png"), ("overwrite", given.encode()))
    call = read(body, "/upload/image", headers=FORM)
    assert call.forward.body == form(("image", GOOD, "a.png"), ("overwrite", sent.encode()))


def test_uploads_are_forms():
    with pytest.raises(BadRequest) as caught:
        read(b"{}", "/upload/image")
    assert caught.value.status == 415


def test_where_a_file_is_had():
    dialect = Comfy()
    assert dialect.file_path(view("a.png", "input")) == "/view?filename=a.png&subfolder=&type=input"
    assert dialect.file_path("history").startswith("/history?")
    with pytest.raises(BadRequest):
        dialect.file_path("filename=../a.png")
