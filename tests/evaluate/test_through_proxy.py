"""A proxy as the judge: what is an answer, what a refusal, and what is neither."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.pools import Threads
from guardrail.evaluate.report import gathered
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import read_suite
from guardrail.evaluate.through_proxy import ProxyJudge, read_headers
from guardrail.server import Upstream
from guardrail.types import Action, Decision, Reason, Stage
from guardrail.upstream.openai import OpenAIImages
from tests.evaluate.guarded import guarded
from tests.evaluate.stand_ins import row, write_suite
from tests.stand_ins import png

RULE = Decision(Action.BLOCK, (Reason("undress-request", Action.BLOCK, {}),), "test@1")


class Proxy(BaseHTTPRequestHandler):
    """Answers by the words of the prompt, a refusal as the real proxy words it."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append((self.path, body, self.headers.get("authorization")))
        status, decision, answer = 200, "allow", b'{"data": []}'
        if b"undress" in body:
            status, decision, answer = 400, "block", OpenAIImages().refuse(RULE, Stage.PROMPT).body
        elif b"hold" in body:
            status, decision, answer = 400, "hold", OpenAIImages().refuse(RULE, Stage.PROMPT).body
        elif b"flag" in body:
            decision = "flag"
        elif b"replaced" in body:
            decision = "block"
        elif b"broken" in body:
            status, answer = 503, b"{}"
        elif b"wrong" in body:
            status, answer = 400, json.dumps({"error": {"code": "invalid_request"}}).encode()
        self.send_response(status)
        self.send_header("x-guardrail-decision", decision)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.calls = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def judge(proxy, **more):
    return ProxyJudge(f"http://127.0.0.1:{proxy.server_port}/v1", model="m", **more)


@pytest.mark.parametrize(
    ("text", "action", "refused", "rules"),
    [
        ("a tree", "allow", 0.0, ()),
        ("flag", "flag", 0.0, ()),
        ("undress her", "block", 1.0, ("undress-request",)),
        ("hold it", "hold", 1.0, ("undress-request",)),
        ("replaced", "block", 1.0, ()),
    ],
)
def test_the_answer_says_what_was_decided(proxy, text, action, refused, rules):
    (seen,) = judge(proxy).judge([Row("r", {}, texts=(text,))])
    assert (seen.action, seen.scores, seen.rules) == (action, {"proxy.refused": refused}, rules)
    assert seen.took_ms > 0


@pytest.mark.parametrize("text", ["broken", "wrong"])
def test_what_is_neither_answer_nor_refusal_is_unscored(proxy, text):
    (seen,) = judge(proxy).judge([Row("r", {}, texts=(text,))])
    assert (seen.action, seen.scores) == ("unscored", {})
    assert "proxy.refused" in seen.errors


def test_a_proxy_that_is_not_there_is_unscored():
    (seen,) = ProxyJudge("http://127.0.0.1:9", model="m").judge([Row("r", {}, texts=("x",))])
    assert seen.action == "unscored"


def test_an_edit_goes_out_with_its_picture_and_the_callers_headers(proxy):
    judge(proxy, headers={"authorization": "Bearer k"}).judge([Row("r", {}, texts=("a tree",), inputs=(png("x"),))])
    [(path, body, key)] = proxy.calls
    assert path == "/v1/images/edits"
    assert png("x") in body
    assert key == "Bearer k"


def test_texts_that_came_apart_are_calls_of_their_own(proxy):
    (seen,) = judge(proxy).judge([Row("r", {}, texts=("a tree", "undress", "never asked"))])
    assert seen.action == "block"
    assert len(proxy.calls) == 2


def test_a_whole_suite_runs_through_a_proxy(proxy, tmp_path):
    folder = write_suite(
        tmp_path / "s",
        [row(n, "undress" if n % 2 else "a tree", undress=n % 2, sexual=0) for n in range(20)],
        task="proxy",
    )
    told = run(Plan(read_suite(folder)), Threads(judge(proxy), 4), tmp_path / "run")
    assert told["signals"] == {"sexual": "proxy.refused", "undress": "proxy.refused"}
    assert told["unscored"] == 0
    assert len(proxy.calls) == 20


def test_a_run_through_a_proxy_is_not_taken_for_one_of_today(proxy, tmp_path):
    folder = write_suite(tmp_path / "s", [row(0, "a tree", undress=0, sexual=0)], task="proxy")
    plan = Plan(read_suite(folder))
    run(plan, Threads(judge(proxy)), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"proxy@127\.0\.0\.1:\d+ may be another by now.*--fresh"):
        run(plan, Threads(judge(proxy)), tmp_path / "run")
    for other in ({"headers_digest": "ab"}, {"model": "n"}):
        with pytest.raises(ConfigError, match="something else"):
            run(plan, Threads(ProxyJudge(**{"url": f"http://127.0.0.1:{proxy.server_port}/v1", "model": "m", **other})),
                tmp_path / "run")  # fmt: skip
    assert len(proxy.calls) == 1
    run(plan, Threads(judge(proxy)), tmp_path / "run", fresh=True)
    assert len(proxy.calls) == 2


class Generator(BaseHTTPRequestHandler):
    """Paints one byte for whatever is asked."""

    def do_POST(self):
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(png("x")).decode()}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_a_guard_that_runs_is_measured_with_its_decisions_and_its_latency(tmp_path):
    """Our own server, in front of a generator that is not called for what is refused; texts and edits of pictures."""
    generator = ThreadingHTTPServer(("127.0.0.1", 0), Generator)
    generator.asked = []
    threading.Thread(target=generator.serve_forever, daemon=True).start()
    texts = ["a sexual scene", "a red bicycle", "a sexual edit", "a blue coat"]
    rows = [row(n, text, sexual=1 - n % 2) | ({"input": "p.png"} if n > 1 else {}) for n, text in enumerate(texts)]
    folder = write_suite(tmp_path / "suite", rows, task="proxy", factors=["sexual"])
    (folder / "p.png").write_bytes(png("picture"))
    upstream = Upstream(OpenAIImages(), f"http://127.0.0.1:{generator.server_port}/v1")
    try:
        with guarded(tmp_path, {"openai": upstream}) as address:
            told = run(Plan(read_suite(folder)), Threads(ProxyJudge(address, model="m"), 2), tmp_path / "run")
    finally:
        generator.shutdown()
        generator.server_close()
    assert (told["rows"], told["unscored"]) == (4, 0)
    found = list(runs.rows(tmp_path / "run"))
    assert [(one["action"], one["rules"]) for one in found] == [("block", ["s"]), ("allow", [])] * 2
    assert sorted(generator.asked) == ["/v1/images/edits", "/v1/images/generations"]
    report = gathered([tmp_path / "run"]).runs[0]
    assert (report.decisions.recall.hits, report.decisions.over_refusal.hits) == (2, 0)
    assert report.took_ms["p50"] > 0


def test_headers_come_from_a_file(tmp_path):
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer k\n\nX-Tenant: a\n")
    assert read_headers(file) == {"authorization": "Bearer k", "x-tenant": "a"}
    file.write_text("Bearer k\n")
    with pytest.raises(ConfigError, match="headers:1") as told:
        read_headers(file)
    assert "Bearer" not in str(told.value)


@pytest.mark.parametrize("url", ["ftp://x", "localhost:80", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="http or https"):
        ProxyJudge(url, model="m")
