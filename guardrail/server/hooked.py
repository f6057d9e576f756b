"""Calls from outside that no caller makes: news of a job, judged like the answer to a poll and handed on."""

from __future__ import annotations

import asyncio
import time

from guardrail.errors import BadRequest, GuardrailError, Overloaded
from guardrail.server.exchange import FAILED, Exchange
from guardrail.server.guarding import Case
from guardrail.server.judged import answered, walk
from guardrail.server.wire import Watch, not_ours, text_headers
from guardrail.types import Decision
from guardrail.upstream.dialect import Call, Headers, Hooks, News, Reply

PAUSES_S = (1.0, 4.0)
"""Before the second try and the third."""
PATIENCE_S = 15.0
"""For all tries together. Whoever called waits for it, is told what came of it, and calls again by its own schedule."""
_AGAIN = frozenset({408, 425, 429})
_DONE = Reply(200, [("content-type", "application/json")], b"{}")
_NOT_TAKEN = Reply(502, [("content-type", "application/json")], b'{"error":"whoever is to be told did not take it"}')


async def hook_call(exchange: Exchange, method: str, path: str) -> None:
    """Answer a call on a route that the dialect has opened to others than callers.

    Raises what `Exchange.run` turns into the native error.
    """
    dialect = exchange.upstream.dialect
    exchange.route = "hook"
    if not isinstance(dialect, Hooks):
        raise GuardrailError(FAILED)
    headers = not_ours(text_headers(exchange.scope["headers"]))
    body = await exchange.body(headers)
    exchange.outcome = "failed"
    query = exchange.scope["query_string"].decode("latin-1")
    found = await dialect.called(method, path, query, headers, body, exchange.fetch)
    if isinstance(found, Reply):
        exchange.outcome = "handed_out" if found.status == 200 else "not_handed_out"
        await exchange.reply(found)
        return
    exchange.tenant = found.call.request.tenant
    news = found
    mark = (exchange.upstream.name, news.mark)
    before = exchange.shared.told.get(mark) if news.mark else None
    if before is not None:
        exchange.outcome = "told_before"
        if not before:
            raise Overloaded("this very news is being handed on", retry_after_s=PATIENCE_S)
        await exchange.reply(_DONE)
        return
    if news.mark:
        exchange.shared.told.put(mark, False)

    async def read(exchange: Exchange, call: Call, case: Case, decision: Decision, watch: Watch) -> Reply | None:
        return await answered(exchange, call, case, decision, watch, Reply(200, news.headers, news.body))

    async def hand_on(reply: Reply) -> None:
        taken = await _hand_on(exchange, dialect, news, reply)
        if taken and news.mark:
            exchange.shared.told.put(mark, True)
        await exchange.reply(_DONE if taken else _NOT_TAKEN)

    try:
        await walk(exchange, news.call, read, hand_on)
    finally:
        if exchange.shared.told.get(mark) is False:
            exchange.shared.told.forget(mark)


async def _hand_on(exchange: Exchange, dialect: Hooks, news: News, reply: Reply) -> bool:
    """Tell the target, some times over; False where it did not take it."""
    headers, body = dialect.handed_on(news, reply)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for pause in (*PAUSES_S, None):
                if await _tell(exchange, news.target, headers, body):
                    return True
                if pause is not None:
                    await asyncio.sleep(pause)
    except (_Refused, TimeoutError):
        pass
    finally:
        exchange.shared.metrics.stage("hand_on", time.perf_counter() - began)
    exchange.outcome += "_not_taken"
    return False


class _Refused(Exception):
    """There is no use in telling it again."""


async def _tell(exchange: Exchange, target: str, headers: Headers, body: bytes) -> bool:
    try:
        status = await exchange.upstream.post(target, headers, body, param="webhook")
    except BadRequest as error:
        if error.code == "url_unreachable":
            return False
        raise _Refused from None
    if 200 <= status < 300:
        return True
    if status in _AGAIN or status >= 500:
        return False
    raise _Refused
