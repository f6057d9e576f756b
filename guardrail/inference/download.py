"""Downloads: bytes over https or from a file, never more of them than whoever asks expects."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 20
ANSWER_TIMEOUT_S = 30.0

Report = Callable[[int, int], None]
"""Told how many bytes of how many are there."""


class NotHereError(Exception):
    """A source does not have the file, or cannot be reached; the message says which and why."""


def get(url: str, out: Path, size: int, report: Report, *, token: str | None = None, exact: bool = True) -> None:
    """Fetch what `url` names into `out`: `size` bytes, no more and no fewer; without `exact`, at most so many.

    Only https, also after a redirect. `token` goes to the host of `url` alone, never to one that it redirects to.
    Proxies and certificate files of the environment hold, as they do for pip.

    Raises NotHereError with the kind of failure and without the address, which may hold a secret.
    """
    if urlsplit(url).scheme != "https":
        raise NotHereError("its address does not begin with https://")
    request = urllib.request.Request(url)  # noqa: S310 - https was asked for above
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(_OnlyHttps()).open(request, timeout=ANSWER_TIMEOUT_S) as answer:
            told = answer.headers.get("Content-Length", "")
            if not exact and told.isdecimal() and int(told) <= size:
                size, exact = int(told), True  # or an answer that was cut short would look whole
            copy(answer, out, size, report, exact=exact)
    except urllib.error.HTTPError as error:
        raise NotHereError(f"it answered {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
        raise NotHereError(type(error).__name__) from error


def copy(source: Any, out: Path, size: int, report: Report, *, exact: bool = True) -> None:
    """Copy at most `size` bytes and one: what is longer is not what was asked for."""
    done = 0
    with out.open("wb") as target:
        while chunk := source.read(min(CHUNK, size + 1 - done)):
            done += len(chunk)
            target.write(chunk)
            report(min(done, size), size)
            if done > size:
                break
    if done > size or (exact and done != size):
        at_most = "" if exact else "at most "
        raise NotHereError(
            f"it gave {'more than ' if done > size else ''}{min(done, size)} bytes, expected {at_most}{size}"
        )


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme != "https":
            raise NotHereError("it redirects away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
