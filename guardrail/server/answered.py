"""Routes that the guard answers by itself: no generator is asked."""

from __future__ import annotations

from guardrail.errors import GuardrailError
from guardrail.server.exchange import FAILED, Exchange
from guardrail.server.judging import Judging
from guardrail.server.wire import not_ours, text_headers
from guardrail.upstream.dialect import Answers


async def answer_call(exchange: Exchange, method: str, path: str) -> None:
    """Answer a call on a route that is the guard's own. Raises what `Exchange.run` turns into the native error."""
    dialect = exchange.upstream.dialect
    exchange.route = "answered"
    if not isinstance(dialect, Answers):
        raise GuardrailError(FAILED)
    headers = not_ours(text_headers(exchange.scope["headers"]))
    body = await exchange.body(headers)
    exchange.outcome = "failed"
    judge = Judging(exchange.shared, exchange.tenant)
    query = exchange.scope["query_string"].decode("latin-1")
    try:
        reply = await dialect.answer(method, path, query, headers, body, judge, exchange.fetch)
    finally:
        exchange.decision = judge.last
        exchange.case_id = judge.id
    exchange.outcome = "judged"
    await exchange.reply(reply)
