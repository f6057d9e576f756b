"""Stand-ins behind the interfaces that the dialect uses: a store of files behind addresses and ids, and decisions."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import pybase64
from PIL import Image

from guardrail.errors import BadRequest
from guardrail.types import Action, Decision, Reason, Receipt
from guardrail.upstream.dialect import Answer, Call, Dialect, Fetched, Headers
from guardrail.upstream.openai import OpenAIImages

JSON: Headers = (("Content-Type", "application/json"),)


def png(colour: int = 0, side: int = 4) -> bytes:
    """A small grey picture; another shade gives other bytes."""
    out = io.BytesIO()
    Image.new("L", (side, side), colour).save(out, "PNG")
    return out.getvalue()


def b64(data: bytes) -> str:
    return pybase64.b64encode(data).decode()


class Store:
    """Files behind addresses and ids; counts how often each was asked for."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.asked: list[str] = []

    async def fetch(self, url: str, *, param: str) -> Fetched:
        self.asked.append(url)
        if url not in self.files:
            raise BadRequest(f"the address in {param} could not be fetched", param=param, code="url_unreachable")
        return Fetched(self.files[url], "image/png")

    async def fetch_file(self, file_id: str) -> Fetched:
        return await self.fetch(file_id, param="file_id")


class Asking:
    """Reads what clients and a server of one protocol say, as the guard's server would."""

    def __init__(self, opened: Callable[[], Dialect], path: str) -> None:
        self._opened = opened
        self._path = path

    def read(
        self,
        body: bytes = b"",
        path: str = "",
        *,
        dialect: Dialect | None = None,
        store: Store | None = None,
        method: str = "POST",
        headers: Headers = JSON,
        query: str = "",
    ) -> Call:
        store, reader = store or Store(), dialect or self._opened()
        asked = reader.read(method, path or self._path, query, headers, body, store.fetch, store.fetch_file)
        return asyncio.run(asked)

    def answered(
        self,
        call: Call,
        body: bytes,
        status: int = 200,
        headers: Headers = JSON,
        *,
        dialect: Dialect | None = None,
        store: Store | None = None,
    ) -> Answer:
        reader = dialect or self._opened()
        return asyncio.run(reader.read_answer(call, status, headers, body, (store or Store()).fetch))


def texts(call: Call) -> dict[str, str]:
    return {one.slot: one.text or "" for one in call.request.texts}


def inputs(call: Call) -> dict[str, bytes]:
    return {one.slot: one.data or b"" for one in call.request.inputs}


async def ask(
    body: bytes | Mapping[str, Any],
    route: str = "generations",
    *,
    headers: Headers = JSON,
    query: str = "",
    store: Store | None = None,
    dialect: OpenAIImages | None = None,
) -> Call:
    """Read a call as the server would."""
    store = store or Store()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader = dialect or OpenAIImages()
    return await reader.read("POST", f"/v1/images/{route}", query, headers, raw, store.fetch, store.fetch_file)


def decision(action: Action = Action.BLOCK, *rules: str, receipt: str | None = "rcp-1") -> Decision:
    reasons = tuple(Reason(rule, action, {}) for rule in (rules or ("undress-output",)))
    made = Receipt(receipt, "default@1", (), (), {}) if receipt is not None else None
    return Decision(action, reasons, "default@1", receipt=made)


BOUNDARY = "----formboundary7MA4"
FORM: Headers = (("content-type", f"multipart/form-data; boundary={BOUNDARY}"),)


def form(*parts: tuple[str, bytes] | tuple[str, bytes, str]) -> bytes:
    """A multipart body of fields (name, value) and files (name, content, filename)."""
    out = b""
    for part in parts:
        disposition = f'form-data; name="{part[0]}"' + (f'; filename="{part[2]}"' if len(part) == 3 else "")
        out += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n".encode()
        out += b"Content-Type: application/octet-stream\r\n" if len(part) == 3 else b""
        out += b"\r\n" + part[1] + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()
