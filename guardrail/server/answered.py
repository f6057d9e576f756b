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
    except Exception as error:
        about = judge.about(error)
        if about is None:
            raise
        judge.last, judge.id = about.decision, about.id
        if not isinstance(error, GuardrailError):
            exchange.complain("a question could not be judged", error)
        await exchange.fault(error if isinstance(error, GuardrailError) else GuardrailError(FAILED), about.headers)
        exchange.outcome = about.status
        return
    finally:
        exchange.decision, exchange.case_id = judge.last, judge.id
    exchange.outcome = "judged"
    await exchange.reply(reply)
