import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import BadRequest
from guardrail.upstream.fetch import MOST_LOOK_UPS, FetchLimits, FetchRules, SafeFetch, is_public
from tests.upstream.asking import png

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PICTURE = png(7)


class Names:
    """A resolver that answers from a list, one answer per look-up, and counts them."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if not self.answers:
            raise OSError("no such name")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Site:
    """A tiny HTTP server on the loopback: answers by path, remembers the requests it got."""

    def __init__(self, pages: dict[str, bytes], ssl_context: ssl.SSLContext | None = None) -> None:
        self.pages = pages
        self.ssl = ssl_context
        self.requests: list[bytes] = []
        self.port = 0

    async def __aenter__(self) -> "Site":
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request)
        page = self.pages[request.split(b" ")[1].decode()]
        if page == b"hang":
            await asyncio.sleep(30)
        writer.write(page)
        await writer.drain()
        writer.close()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: image/png", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def found(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def rules(site: Site, **more: object) -> FetchRules:
    return FetchRules(http=True, networks=LOOPBACK, ports=frozenset({site.port}), **more)  # type: ignore[arg-type]


async def refused(fetch: Callable[..., Awaitable[object]], url: str) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        await fetch(url, param="images[0].image_url")
    assert caught.value.param == "images[0].image_url"
    assert "secret" not in str(caught.value)
    return caught.value


async def test_a_file_is_fetched_without_the_callers_headers():
    async with Site({"/a.png?sig=secret": ok(PICTURE)}) as site:
        names = Names(["127.0.0.1"])
        got = await SafeFetch(rules=rules(site), resolve=names)(
            f"http://pics.example:{site.port}/a.png?sig=secret", param="x"
        )
        assert (got.data, got.content_type) == (PICTURE, "image/png")
        assert names.asked == ["pics.example"]
        request = site.requests[0].lower()
        assert f"host: pics.example:{site.port}".encode() in request
        assert b"cookie" not in request
        assert b"authorization" not in request
        assert b"accept-encoding: identity" in request


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.9",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "fec0::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "100::1",
        "3fff::1",
    ],
)
async def test_an_address_that_is_not_public_is_refused_as_itself_and_behind_a_name(address):
    assert not is_public(ipaddress.ip_address(address))
    names = Names([address])
    error = await refused(SafeFetch(resolve=names), "https://looks-fine.example/a.png?secret")
    assert error.code == "url_not_allowed"
    literal = f"[{address}]" if ":" in address else address
    assert (await refused(SafeFetch(resolve=names), f"https://{literal}/?secret")).code == "url_not_allowed"
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.15.255.255",
        "172.32.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "2606:4700::1111",
        "2a00:1450::1",
    ],
)
def test_public_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


async def test_one_private_address_among_public_ones_refuses_the_name():
    names = Names(["8.8.8.8", "10.0.0.1"])
    assert (await refused(SafeFetch(resolve=names), "https://mixed.example/")).code == "url_not_allowed"


async def test_a_name_is_looked_up_once_so_a_second_answer_is_never_asked_for():
    """DNS rebinding: the first answer is allowed and the second is not; the connection goes to the first."""
    async with Site({"/a": ok(PICTURE)}) as site:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        got = await SafeFetch(rules=rules(site), resolve=names)(f"http://rebind.example:{site.port}/a", param="x")
        assert got.data == PICTURE
        assert len(names.asked) == 1
        assert (
            await refused(SafeFetch(rules=rules(site), resolve=names), f"http://rebind.example:{site.port}/a")
        ).code == ("url_not_allowed")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "gopher://a.example/x",
        "data:image/png;base64,AAAA",
        "//a.example/x",
        "https:a.example/x",
        "https://user:secret@a.example/x",
        "https://a.example:22/x",
        "https://a.example:80/x",
        "https://a.example:0/x",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://127.0.0.01/",
        "https://%31%32%37.0.0.1/",
        "https://[::1%25eth0]/",
        "https://[::1/",
        "https://a.example\\@127.0.0.1/",
        "https://a.example#@127.0.0.1/",
        "https://127.0.0.1\t/",
        "https:// a.example/",
        "https://ａ.example/",
        "https://-a.example/",
        "https://a..example/",
        "https:///x",
        "https://" + "a" * 9000,
        "",
    ],
)
async def test_an_address_in_an_unusual_form_is_refused_before_anything_is_looked_up(url):
    names = Names(["8.8.8.8"])
    names.answers = []
    error = await refused(SafeFetch(resolve=names), url)
    assert error.code in ("invalid_url", "url_not_allowed", "url_unreachable")
    if url != "https://a.example#@127.0.0.1/":  # a plain host with a fragment: read alike by all
        assert names.asked == []


async def test_a_redirect_is_not_followed():
    async with Site({"/a": found("http://127.0.0.1/secret")}) as site:
        error = await refused(
            SafeFetch(rules=rules(site), resolve=Names(["127.0.0.1"])), f"http://a.example:{site.port}/a"
        )
        assert error.code == "url_not_allowed"
        assert len(site.requests) == 1


async def test_a_redirect_to_a_private_address_is_refused_even_where_redirects_are_allowed():
    async with Site({"/a": b""}) as site:
        site.pages["/a"] = found(f"http://b.example:{site.port}/b?secret")
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        allowed = rules(site, redirects=2, redirect_hosts=frozenset({"b.example"}))
        error = await refused(SafeFetch(rules=allowed, resolve=names), f"http://a.example:{site.port}/a")
        assert error.code == "url_not_allowed"
        assert names.asked == ["a.example", "b.example"]
        assert len(site.requests) == 1


async def test_a_redirect_is_followed_only_to_a_host_that_is_allowed():
    async with Site({"/b": ok(PICTURE)}) as site:
        site.pages["/a"] = found(f"http://b.example:{site.port}/b")
        url = f"http://a.example:{site.port}/a"
        yes = rules(site, redirects=1, redirect_hosts=frozenset({"b.example"}))
        no = rules(site, redirects=1, redirect_hosts=frozenset({"c.example"}))
        assert (await SafeFetch(rules=yes, resolve=Names(["127.0.0.1"]))(url, param="x")).data == PICTURE
        assert (await refused(SafeFetch(rules=no, resolve=Names(["127.0.0.1"])), url)).code == "url_not_allowed"


async def test_redirects_that_never_end_are_refused():
    async with Site({"/a": found("/a")}) as site:
        allowed = rules(site, redirects=3, redirect_hosts=frozenset({"a.example"}))
        await refused(SafeFetch(rules=allowed, resolve=Names(["127.0.0.1"])), f"http://a.example:{site.port}/a")
        assert len(site.requests) == 4


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_is_read_to_the_limit_and_not_one_byte_over(announced):
    body = b"x" * 1000
    headers = ["Content-Length: 1000"] if announced else []
    async with Site({"/a": ok(body, *headers)}) as site:
        url = f"http://a.example:{site.port}/a"

        def fetch(most: int) -> SafeFetch:
            return SafeFetch(limits=FetchLimits(max_bytes=most), rules=rules(site), resolve=Names(["127.0.0.1"]))

        assert len((await fetch(1000)(url, param="x")).data) == 1000
        error = await refused(fetch(999), url)
        assert (error.status, error.code) == (413, "image_too_large")


async def test_a_file_that_takes_too_long_is_given_up():
    async with Site({"/a": b"hang"}) as site:
        fetch = SafeFetch(limits=FetchLimits(timeout_s=0.2), rules=rules(site), resolve=Names(["127.0.0.1"]))
        assert "within 0.2 s" in str(await refused(fetch, f"http://a.example:{site.port}/a"))


async def test_a_look_up_that_takes_too_long_is_given_up():
    async def slow(host: str) -> Sequence[str]:
        await asyncio.sleep(30)
        return []

    fetch = SafeFetch(limits=FetchLimits(timeout_s=0.1), resolve=slow)
    assert (await refused(fetch, "https://a.example/")).code == "url_unreachable"


async def test_names_that_take_long_keep_no_thread_from_anybody_else(monkeypatch):
    """A look-up cannot be called off; on the loop's own threads the guard looks up its generator."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(20) and [])
    fetch = SafeFetch(limits=FetchLimits(timeout_s=0.2))
    before = set(threading.enumerate())  # other tests' look-ups among them
    try:
        asked = [refused(fetch, f"https://slow-{number}.example/") for number in range(2 * MOST_LOOK_UPS)]
        assert {error.code for error in await asyncio.gather(*asked)} == {"url_unreachable"}
        begun = set(threading.enumerate()) - before
        looking = [thread for thread in begun if thread.name.startswith("guardrail-names")]
        assert len(looking) <= MOST_LOOK_UPS
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "mine"), 5) == "mine"
    finally:
        answered.set()


@pytest.mark.parametrize(
    "page",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut short",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxxxx",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"not http at all\r\n\r\n",
        b"",
    ],
)
async def test_a_site_that_gives_no_file_is_a_clear_error(page):
    async with Site({"/a": page}) as site:
        await refused(SafeFetch(rules=rules(site), resolve=Names(["127.0.0.1"])), f"http://a.example:{site.port}/a")


async def test_only_hosts_of_the_allow_list_are_asked_where_there_is_one():
    async with Site({"/a": ok(PICTURE)}) as site:
        fetch = SafeFetch(rules=rules(site, hosts=frozenset({"a.example"})), resolve=Names(["127.0.0.1"]))
        assert (await fetch(f"http://A.Example:{site.port}/a", param="x")).data == PICTURE
        assert (await refused(fetch, f"http://b.example:{site.port}/a")).code == "url_not_allowed"


@pytest.fixture
def certificate(tmp_path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context for the name pics.example, and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pics.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("pics.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


async def test_the_certificate_must_be_that_of_the_name_though_the_connection_goes_to_an_address(certificate):
    server, client = certificate
    async with Site({"/a": ok(PICTURE)}, server) as site:
        only = FetchRules(networks=LOOPBACK, ports=frozenset({site.port}))
        fetch = SafeFetch(rules=only, resolve=Names(["127.0.0.1"]), ssl_context=client)
        assert (await fetch(f"https://pics.example:{site.port}/a", param="x")).data == PICTURE
        assert (await refused(fetch, f"https://other.example:{site.port}/a")).code == "url_unreachable"


async def no_such_name(host: str) -> Sequence[str]:
    raise OSError("no such name")


ANY = SafeFetch(resolve=no_such_name)  # one for all examples: loading the trust roots takes longer than the test


@given(st.text(max_size=80), st.sampled_from(["", "https://", "https://[", "https://a@", "https://1."]))
def test_no_address_raises_anything_but_a_bad_request(text, start):
    with pytest.raises(BadRequest):
        asyncio.run(ANY(start + text, param="x"))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- webhooks


async def test_a_webhook_is_posted_to_the_vetted_address_with_its_body_and_headers():
    async with Site({"/hook?x=1": b"HTTP/1.1 204 No Content\r\n\r\n"}) as site:
        fetch = SafeFetch(rules=rules(site), resolve=Names(["127.0.0.1"]))
        url = f"http://client.example:{site.port}/hook?x=1"
        assert await fetch.post(url, [("webhook-id", "m1")], b'{"id":"p1"}', param="webhook") == 204
        (request,) = site.requests
        assert request.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
        assert b"webhook-id: m1\r\n" in request
        assert b"authorization" not in request.lower()


@pytest.mark.parametrize(("status", "told"), [("500 Oops", 500), ("302 Found\r\nLocation: http://127.0.0.1/", 302)])
async def test_a_webhook_that_fails_or_redirects_is_told_of_and_not_followed(status, told):
    async with Site({"/hook": f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()}) as site:
        fetch = SafeFetch(rules=rules(site), resolve=Names(["127.0.0.1"]))
        assert await fetch.post(f"http://a.example:{site.port}/hook", [], b"{}", param="webhook") == told
        assert len(site.requests) == 1


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1"])
async def test_a_webhook_goes_to_no_private_address(address):
    fetch = SafeFetch(resolve=Names([address]))
    with pytest.raises(BadRequest) as caught:
        await fetch.post("https://client.example/hook", [], b"{}", param="webhook")
    assert caught.value.code == "url_not_allowed"


async def test_a_webhook_that_hangs_is_given_up():
    async with Site({"/hook": b"hang"}) as site:
        fetch = SafeFetch(limits=FetchLimits(timeout_s=0.2), rules=rules(site), resolve=Names(["127.0.0.1"]))
        with pytest.raises(BadRequest) as caught:
            await fetch.post(f"http://a.example:{site.port}/hook", [], b"{}", param="webhook")
        assert caught.value.code == "url_unreachable"
