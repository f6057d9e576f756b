"""What the demo says of its requests is what became of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from guardrail.cli.demo import TRIES, _show

REFUSED = b'{"error": {"code": "moderation_blocked", "moderation_details": {"categories": ["a-rule"]}}}'


class RefusesAll(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200, b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(400, REFUSED)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def base() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), RefusesAll)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_demo_counts_the_answers_that_there_were_and_names_what_it_did_not_expect(base, capsys):
    assert _show(base, 3, lambda: 3) is True
    said = " ".join(capsys.readouterr().out.split())
    assert "called 0 times for 0 answers" in said
    numbers = ", ".join(str(number) for number, one in enumerate(TRIES, 1) if not one.refused)
    assert f"as they come: {numbers}." in said
