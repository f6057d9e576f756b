"""Webhooks of Replicate: the guard is told in the client's place, and tells the client what may leave, signed anew.

Replicate signs with a secret of the account, which is read with the caller's own credentials when the webhook is
registered; what is handed on is signed with a secret derived from that one, which the same account reads at the guard.
So no account can sign in another's name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from guardrail.errors import BadRequest
from guardrail.upstream.bodies import no_such_route
from guardrail.upstream.dialect import FetchFile, Headers, News, Reply
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.jobs import hooks
from guardrail.upstream.jobs.state import JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.replicate.routes import Route
from guardrail.upstream.replicate.state import NAMED, State
from guardrail.upstream.spans import Json, JsonFault, Node, scan, text_of

SIGNING = "webhooks/default/secret"
FIELDS = ("webhook", "webhook_completed")
_EVENT, _SIGNED = "event", "signed"
_PREFIX = "whsec_"
_LEAST = 16  # bytes of a secret
_MOST_SIGNATURES = 8


async def register(
    state: State, root: Node, body: bytes, got: Gathered, headers: Headers, fetch_file: FetchFile
) -> frozenset[str]:
    """Put the guard's own address in place of a webhook; the words of those addresses. Raises BadRequest where that
    cannot be done."""
    words: set[str] = set()
    for key in FIELDS:
        node = root.get(key)
        if node is None:
            continue
        if node.kind is not Json.STRING:
            raise BadRequest(f"{key} must be an address", status=422, param=key, code="invalid_type")
        url = node.text(body)
        if url:
            hooks.check(url, state.hooks, key)
            secret = await _secret(state, headers, fetch_file)
            address, word = hooks.address(state.seal, state.hooks, url, secret=secret)
            words.add(word)
            got.clamp(key, Place(node.start, node.end, quoted=True), address.encode())
    return frozenset(words)


async def _secret(state: State, headers: Headers, fetch_file: FetchFile) -> str:
    """The secret of the caller's account. Raises BadRequest where it cannot be had."""
    account = _account(headers)
    known = state.secrets.get(account)
    if known is not None:
        return known
    data = (await fetch_file(SIGNING)).data
    try:
        found = text_of(scan(data, state.limits.json), "key", data)
    except JsonFault:
        found = ""
    if decoded(found) is None:
        raise BadRequest(
            "the signing secret of this account cannot be read, so its webhooks could not be told from others'",
            status=422,
            param="webhook",
            code="webhook_not_offered",
        )
    state.secrets.put(account, found, len(found))
    return found


def _account(headers: Headers) -> str:
    """A word for whoever's credentials these are, from which they cannot be had."""
    said = "\n".join(value for name, value in headers if name.lower() == "authorization")
    return hashlib.sha256(said.encode()).hexdigest()


def decoded(secret: str) -> bytes | None:
    """The bytes of a secret, or None for what is none."""
    try:
        data = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return None
    return data if secret.startswith(_PREFIX) and len(data) >= _LEAST else None


def derived(state: State, secret: str) -> str:
    """The secret that the guard signs with for the account whose secret this is."""
    return _PREFIX + base64.b64encode(hmac.digest(state.signing, decoded(secret) or b"", "sha256")).decode()


def sign(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    """The signature of a call, as Replicate (and Svix) has it."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(decoded(secret) or b"", signed, "sha256")).decode()


async def called(state: State, path: str, headers: Headers, body: bytes) -> News:
    """The news that Replicate called with.

    Raises BadRequest for what it has not signed, Overloaded where it should call again: this process does not know the
    job.
    """
    said = hooks.opened(state.seal, path)
    if said is None:
        raise no_such_route()
    named = {name.lower(): value for name, value in headers}
    event_id, timestamp = named.get("webhook-id", ""), named.get("webhook-timestamp", "")
    hooks.check_time(timestamp)
    expected = sign(said["secret"], event_id, timestamp, body).encode()
    given = named.get("webhook-signature", "").split()[:_MOST_SIGNATURES]
    if not event_id or not sum(hmac.compare_digest(one.encode(), expected) for one in given):
        raise hooks.unsigned("its signature is wrong")
    job_id, job = await hooks.job_of(body, "id", said, state.jobs, state.limits, state.wait_s)
    told = {PUBLIC: state.hooks, JOB_ID: job_id, NAMED: job.named, ROUTE: Route.NEWS}
    told |= {_EVENT: event_id, _SIGNED: said["secret"]}
    return hooks.news(job, path, event_id, body, said["url"], told, route=Route.NEWS.value)


def handed_on(state: State, news: News, reply: Reply) -> tuple[Headers, bytes]:
    """What the client's webhook is told, signed with the secret that its account reads at the guard."""
    event_id, secret = news.call.state[_EVENT], derived(state, news.call.state[_SIGNED])
    timestamp = str(int(time.time()))
    headers = [
        ("content-type", "application/json"),
        ("webhook-id", event_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", sign(secret, event_id, timestamp, reply.body)),
        *((name, value) for name, value in reply.headers if name.lower().startswith("x-guardrail-")),
    ]
    return headers, reply.body
