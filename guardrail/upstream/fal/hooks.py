"""Webhooks of fal: the guard is told in the client's place, and tells the client what may leave, signed anew.

fal signs with keys that it publishes (Ed25519); so does the guard, under `/.well-known/jwks.json` of its mount.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from guardrail.errors import Overloaded
from guardrail.upstream.bodies import no_such_route
from guardrail.upstream.dialect import Fetch, Headers, News, Reply
from guardrail.upstream.fal.routes import Route
from guardrail.upstream.fal.state import State
from guardrail.upstream.jobs import hooks
from guardrail.upstream.jobs.state import JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.spans import scan, text_of

HEADER = "x-fal-webhook-"
_SIGNED = "signed"
_MOST_KEYS = 16


def jwks(state: State) -> Reply:
    """The key that the guard signs with, as fal publishes its own."""
    x = base64.urlsafe_b64encode(state.signer.public_key().public_bytes_raw()).decode().rstrip("=")
    keys = {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "guardrail", "x": x}]}
    return Reply(200, [("content-type", "application/json")], json.dumps(keys).encode())


def signed(request_id: str, user_id: str, timestamp: str, body: bytes) -> bytes:
    """What is signed of a call, as fal has it."""
    return "\n".join((request_id, user_id, timestamp, hashlib.sha256(body).hexdigest())).encode()


async def called(state: State, path: str, headers: Headers, body: bytes, fetch: Fetch) -> News:
    """The news that fal called with.

    Raises BadRequest for what it has not signed, Overloaded where it should call again: this process does not know the
    job.
    """
    said = hooks.opened(state.seal, path)
    if said is None:
        raise no_such_route()
    named = {name.lower().removeprefix(HEADER): value for name, value in headers if name.lower().startswith(HEADER)}
    request_id, user_id, timestamp = (named.get(key, "") for key in ("request-id", "user-id", "timestamp"))
    hooks.check_time(timestamp)
    try:
        signature = bytes.fromhex(named.get("signature", ""))
    except ValueError:
        raise hooks.unsigned("its signature is none") from None
    message = signed(request_id, user_id, timestamp, body)
    if not any(_verifies(key, signature, message) for key in await _keys(state, fetch)):
        raise hooks.unsigned("its signature is wrong")
    job_id, job = await hooks.job_of(body, "request_id", said, state.jobs, state.limits, state.wait_s)
    told = {PUBLIC: state.hooks, JOB_ID: job_id, ROUTE: Route.NEWS, _SIGNED: (request_id, user_id)}
    return hooks.news(job, path, request_id, body, said["url"], told, route=Route.NEWS.value)


def handed_on(state: State, news: News, reply: Reply) -> tuple[Headers, bytes]:
    """What the client's webhook is told; a refusal as the error that fal tells of."""
    body = reply.body
    job_id = str(news.call.state[JOB_ID])
    if reply.status != 200:
        told: dict[str, Any] = {
            "request_id": job_id,
            "gateway_request_id": job_id,
            "status": "ERROR",
            "error": f"Invalid status code: {reply.status}",
            "payload": json.loads(reply.body),
        }
        body = json.dumps(told).encode()
    request_id, user_id = news.call.state[_SIGNED]
    timestamp = str(int(time.time()))
    signature = state.signer.sign(signed(request_id, user_id, timestamp, body)).hex()
    headers = [
        ("content-type", "application/json"),
        (HEADER + "request-id", request_id),
        (HEADER + "user-id", user_id),
        (HEADER + "timestamp", timestamp),
        (HEADER + "signature", signature),
        *((name, value) for name, value in reply.headers if name.lower().startswith("x-guardrail-")),
    ]
    return headers, body


async def _keys(state: State, fetch: Fetch) -> tuple[bytes, ...]:
    """fal's own public keys, kept for an hour. Raises BadRequest where they cannot be had."""
    known = state.keys.get("keys")
    if known is not None:
        return known
    data = (await fetch(state.jwks, param="webhook")).data
    try:
        root = scan(data, state.limits.json)
        listed = root.get("keys")
        found = tuple(
            base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
            for one in (listed.items if listed is not None else ())[:_MOST_KEYS]
            if (x := text_of(one, "x", data)) and text_of(one, "crv", data) == "Ed25519"
        )
    except ValueError:
        found = ()
    if not found:
        raise Overloaded("the keys that news is signed with cannot be read", retry_after_s=30.0)
    state.keys.put("keys", found)
    return found


def _verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
