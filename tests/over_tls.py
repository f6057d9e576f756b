"""A web server over TLS on this machine, whose certificate is trusted: what downloads are tested against."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Site:
    """`answers` by path: status, body, and where to redirect; `asked` what came: path and Authorization."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, tuple[int, bytes, str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.short = 0
        """So many bytes fewer are sent than were promised."""


@contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A `Site` while it runs."""
    pem = tmp_path / "site.pem"
    pem.write_bytes(certificate())
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    site = Site()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append((self.path, self.headers.get("Authorization")))
            status, body, location = site.answers.get(self.path, (404, b"", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body[: len(body) - site.short])

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.url = f"https://127.0.0.1:{server.server_address[1]}/"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def certificate() -> bytes:
    """A certificate for 127.0.0.1 that vouches for itself, and its private key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM) + private
