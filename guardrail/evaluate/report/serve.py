"""A report over HTTP on this machine only, for a browser that cannot open the file."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


def server(html: str, port: int = 0) -> ThreadingHTTPServer:
    """A server of one page on the loopback; 0 takes a free port. `serve_forever` runs it.

    Only this machine is answered, and only by its own name: a page elsewhere that points a name of its own here
    (DNS rebinding) gets nothing.
    """
    body = html.encode()

    class Page(BaseHTTPRequestHandler):
        server_version = "guardrail"
        sys_version = ""

        def do_GET(self) -> None:
            if self.headers.get("host") not in names:
                self.send_error(403)
            elif self.path != "/":
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.send_header("cache-control", "no-store")
                self.send_header("x-content-type-options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the base class
            """Nothing is logged."""

    serving = ThreadingHTTPServer((HOST, port), Page)
    names = {f"{name}:{serving.server_port}" for name in (HOST, "localhost")}
    return serving
