"""Addresses that callers and generators give: fetched once, from the public internet, and the same bytes judged."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from guardrail.cli.generator import paint
from guardrail.upstream.fetch import FetchLimits, FetchRules, SafeFetch
from tests.server import upstream as script
from tests.system import hostile
from tests.system.conftest import Begin, System

PICTURE = paint("a lake")

CLOSED = (
    "https://127.0.0.1/a.png",
    "https://localhost/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/a.png",
    "https://172.16.0.1/a.png",
    "https://192.168.1.1/a.png",
    "https://100.64.0.1/a.png",
    "https://[::1]/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[fe80::1]/a.png",
    "https://[fd00::1]/a.png",
    "https://2130706433/a.png",
    "https://0x7f.1/a.png",
    "https://0177.0.0.1/a.png",
    "http://93.184.216.34/a.png",
    "https://93.184.216.34:22/a.png",
    "https://user@93.184.216.34/a.png",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "ftp://93.184.216.34/a.png",
    "gopher://127.0.0.1:6379/x",
)


@pytest.mark.parametrize("url", CLOSED)
def test_an_address_that_is_not_of_the_public_internet_is_refused(system: System, url):
    got = system.edit_url(url)
    assert (got.status, got.code) == (400, "url_not_allowed")
    assert got.error["param"] == "images[0].image_url"
    assert "passwd" not in got.body.decode()
    assert system.upstream.calls == []


@pytest.mark.parametrize("url", CLOSED)
def test_a_generator_that_points_there_is_no_answer(system: System, url):
    body = json.dumps({"created": 1, "data": [{"url": url}]}).encode()
    system.upstream.script = lambda heard: script.whole(body)
    got = system.generate()
    assert (got.status, got.code) == (502, "upstream_error")
    assert url not in got.body.decode()
    assert system.record(got)["status"] == "upstream_bad_answer"


class Site:
    """A web server on the loopback: answers by path, and remembers which paths were asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Site:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        server.close()
        self._loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.asked.append(path)
        page = self.pages.get(path)
        writer.write(page if page is not None else ok(PICTURE))
        await writer.drain()
        writer.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


class Names:
    """A resolver that gives one answer after the other, then the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Sequence[str]] = [["127.0.0.1"]]
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture(scope="module")
def names() -> Names:
    return Names()


@pytest.fixture(scope="module")
def _fetching(begin: Begin, site: Site, names: Names) -> System:
    """A system whose operator lets it fetch from one private address, 127.0.0.1, and from no other."""
    rules = FetchRules(http=True, networks=(ipaddress.ip_network("127.0.0.1/32"),), ports=frozenset({site.port}))
    fetch = SafeFetch(limits=FetchLimits(max_bytes=2_000_000, timeout_s=2.0), rules=rules, resolve=names)
    return begin("fetching", fetch=fetch)


@pytest.fixture
def fetching(_fetching: System, site: Site, names: Names, bounded: None) -> Iterator[System]:
    _fetching.begin()
    site.pages.clear()
    site.asked.clear()
    names.asked.clear()
    names.answers[:] = [["127.0.0.1"]]
    yield _fetching
    assert _fetching.alive()


def test_the_bytes_behind_an_address_are_fetched_once_judged_and_sent_on(fetching: System, site: Site, names: Names):
    # A name that means another place at its second look-up has no second look-up.
    names.answers[:] = [["127.0.0.1"], ["169.254.169.254"]]
    got = fetching.edit_url(f"http://pictures.test:{site.port}/a.png")
    assert got.status == 200, got.body
    assert (site.asked, names.asked) == (["/a.png"], ["pictures.test"])
    sent = json.loads(fetching.upstream.calls[0].body)["images"][0]["image_url"]
    assert sent.startswith("data:image/jpeg;base64,")
    assert fetching.record(got)["status"] == "answered"


@pytest.mark.parametrize("answer", [["127.0.0.2"], ["10.0.0.1"], ["127.0.0.1", "192.168.1.1"], ["::1"], ["0.0.0.0"]])
def test_a_name_with_a_private_address_is_refused_also_when_it_has_an_open_one(
    fetching: System, site: Site, names: Names, answer
):
    names.answers[:] = [answer]
    got = fetching.edit_url(f"http://pictures.test:{site.port}/a.png")
    assert (got.status, got.code) == (400, "url_not_allowed")
    assert site.asked == []
    assert fetching.upstream.calls == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/b.png", "http://169.254.169.254/x", "file:///etc/passwd", "/b"]
)
def test_a_redirect_is_not_followed(fetching: System, site: Site, target):
    site.pages["/a.png"] = moved(target.format(port=site.port))
    got = fetching.edit_url(f"http://pictures.test:{site.port}/a.png")
    assert (got.status, got.code) == (400, "url_not_allowed")
    assert site.asked == ["/a.png"]
    assert fetching.upstream.calls == []


@pytest.mark.parametrize("name", hostile.BROKEN)
def test_what_cannot_be_read_behind_an_address_is_refused(fetching: System, site: Site, name):
    site.pages["/a.png"] = ok(hostile.broken()[name])
    got = fetching.edit_url(f"http://pictures.test:{site.port}/a.png")
    assert (got.status, got.code) == (400, "invalid_image")
    assert fetching.upstream.calls == []


def test_a_file_of_any_size_behind_an_address_is_not_taken(fetching: System, site: Site):
    site.pages["/a.png"] = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + bytes(3_000_000)
    got = fetching.edit_url(f"http://pictures.test:{site.port}/a.png")
    assert (got.status, got.code) == (413, "image_too_large")
    assert fetching.upstream.calls == []


def test_an_address_that_does_not_answer_is_given_up(fetching: System):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        got = fetching.edit_url(f"http://pictures.test:{port}/a.png")
    assert got.status == 400
    assert got.code in {"url_unreachable", "url_not_allowed"}
    assert fetching.upstream.calls == []


def of_urls(*urls: str) -> script.Script:
    return script.whole(json.dumps({"created": 1, "data": [{"url": url} for url in urls]}).encode())


@pytest.mark.parametrize("name", hostile.BROKEN)
def test_a_bad_result_behind_an_address_is_replaced_and_its_address_does_not_leave(fetching: System, site: Site, name):
    site.pages["/bad"] = ok(hostile.broken()[name])
    bad, good = f"http://pictures.test:{site.port}/bad", f"http://pictures.test:{site.port}/good"
    fetching.upstream.script = lambda heard: of_urls(bad, good)
    got = fetching.generate(n=2)
    assert got.status == 200, got.body
    assert bad not in got.body.decode()
    assert got.json["data"][0]["error"]["code"] == "moderation_blocked"
    assert got.json["data"][1] == {"url": good}
    assert fetching.record(got)["status"] == "partly_refused"


def test_a_result_behind_a_dead_address_is_no_answer(fetching: System, site: Site):
    site.pages["/gone"] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    fetching.upstream.script = lambda heard: of_urls(f"http://pictures.test:{site.port}/gone")
    got = fetching.generate()
    assert (got.status, got.code) == (502, "upstream_error")
    assert "pictures.test" not in got.body.decode()
    assert fetching.record(got)["status"] == "upstream_bad_answer"
