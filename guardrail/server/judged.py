"""The walk of a judged request: read, judge, ask the generator, judge again, record, answer.

Nothing leaves before its record is written, and no record is skipped because something broke after the judging.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.server.exchange import FAILED, Broken, Exchange
from guardrail.server.gate import UpstreamFault
from guardrail.server.guarding import Case, unjudged, verdicts_on
from guardrail.server.streamed import stream
from guardrail.server.wire import Gone, Watch, not_ours, text_headers
from guardrail.types import Decision, Stage
from guardrail.upstream.dialect import Answer, Call, Fetched, Reply

Ask = Callable[[Exchange, Call, Case, Decision, Watch], Awaitable[Reply | None]]
Finish = Callable[[Reply], Awaitable[None]]


async def judge_call(exchange: Exchange, method: str, path: str) -> None:
    """Answer a call on a route that is judged. Raises what `Exchange.run` turns into the dialect's native error."""
    headers = not_ours(text_headers(exchange.scope["headers"]))
    body = await exchange.body(headers)
    shared, upstream = exchange.shared, exchange.upstream

    async def fetch_file(file_id: str) -> Fetched:
        return await shared.client.file(upstream, file_id, headers, exchange.ticket)

    began = time.perf_counter()
    query = exchange.scope["query_string"].decode("latin-1")
    call = await upstream.dialect.read(method, path, query, headers, body, exchange.fetch, fetch_file)
    shared.metrics.stage("read", time.perf_counter() - began)
    # A dialect that remembers what was asked for remembers for whom.
    if call.request.tenant != exchange.tenant:
        call = replace(call, request=replace(call.request, tenant=exchange.tenant))
    if upstream.owned is not None:
        upstream.owned.check_owner(call)
    await walk(exchange, call, _ask, exchange.reply)


async def walk(exchange: Exchange, call: Call, ask: Ask, finish: Finish) -> None:
    """Judge a call that was read, `ask` for what it asks for, and `finish` with what may leave.

    Raises what `Exchange.run` turns into the dialect's native error.
    """
    shared, upstream = exchange.shared, exchange.upstream
    exchange.route = call.route
    exchange.outcome = "failed"
    case = exchange.case = shared.guard.open(call.request, route=call.route)
    # Not cut short when the caller leaves: who asks and hangs up is in the record all the same.
    decision = await _judge(exchange, case)
    if decision is None:
        return
    if decision.action.refuses:
        receipt = await exchange.seal(decision, "refused")
        reply = upstream.dialect.refuse(replace(decision, receipt=receipt), decision.stage, call)
        await finish(replace(reply, headers=[*reply.headers, *case.headers(decision, receipt)]))
        return
    try:
        # A full queue is said before the generator works, not after.
        shared.guard.admit()
        async with Watch(exchange.receive, exchange.caller) as watch:
            answer = await ask(exchange, call, case, decision, watch)
        if answer is not None:
            await finish(answer)
    except Gone:
        await exchange.aftermath("client_gone")
    except (AuditError, Broken):
        raise
    except Overloaded as error:
        await exchange.fault_on_record(error, "turned_away")
    except UpstreamError as error:
        kind = error.kind if isinstance(error, UpstreamFault) else "bad_answer"
        shared.metrics.upstream_error(kind)
        await exchange.fault_on_record(error, f"upstream_{kind}")
    except BadRequest:
        # A reference in the generator's answer, which the caller can do nothing about.
        shared.metrics.upstream_error("reference")
        lost = UpstreamFault("reference", "the generator's answer points at a picture that cannot be had")
        await exchange.fault_on_record(lost, "upstream_reference")
    except asyncio.CancelledError:
        # A shutdown that ran out of patience.
        await asyncio.shield(exchange.aftermath("shutdown"))
        raise
    except Exception as error:
        exchange.complain("a judged request failed inside the guard", error)
        if exchange.started:
            await exchange.aftermath("failed")
            raise Broken from None
        await exchange.fault_on_record(GuardrailError(FAILED), "failed")


async def _judge(exchange: Exchange, case: Case) -> Decision | None:
    """Judge what was asked. None where that could not be done to the end: that is on record and answered already."""
    try:
        exchange.decision = await case.judge_request()
    except GuardrailError as error:
        exchange.decision = case.so_far
        await exchange.fault_on_record(error, unjudged(error))
        return None
    except Exception as error:
        exchange.complain("a request could not be judged", error)
        exchange.decision = case.so_far
        await exchange.fault_on_record(GuardrailError(FAILED), "failed")
        return None
    return exchange.decision


async def _ask(exchange: Exchange, call: Call, case: Case, decision: Decision, watch: Watch) -> Reply | None:
    """Ask the generator and judge what it says. What to answer, or None where it was streamed already."""
    shared = exchange.shared
    began = time.perf_counter()
    async with shared.client.call(exchange.upstream, call.forward) as answering:
        if call.request.stream and answering.status == 200 and answering.content_type in call.stream_types:
            await stream(exchange, call, case, decision, answering, watch)
            return None
        body = await answering.read(shared.settings.max_answer_bytes, exchange.ticket)
    exchange.upstream_s = time.perf_counter() - began
    shared.metrics.stage("upstream", exchange.upstream_s)
    return await answered(exchange, call, case, decision, watch, Reply(answering.status, answering.headers, body))


async def answered(exchange: Exchange, call: Call, case: Case, decision: Decision, watch: Watch, said: Reply) -> Reply:
    """Judge a whole answer: what may leave of what the generator `said`."""
    dialect = exchange.upstream.dialect
    answer = await dialect.read_answer(call, said.status, said.headers, said.body, exchange.fetch)
    verdicts = await verdicts_on(case, answer.images, answer.texts)
    # From here on the caller may leave, the record is written all the same.
    watch.hold()
    if not verdicts and call.poll:
        # A job that is not done yet: what was asked for is on record already.
        exchange.outcome, exchange.decision = "polled", None
        return Reply(answer.status, [*answer.headers, ("x-guardrail-decision", "unjudged")], answer.body)
    if not verdicts:
        # The generator's own error, with nothing in it to look at.
        receipt = await exchange.seal(decision, "answered" if answer.status < 400 else "upstream_said_no")
        return Reply(answer.status, [*answer.headers, *case.headers(decision, receipt)], answer.body)
    return await _close(exchange, call, case, answer, verdicts)


async def _close(exchange: Exchange, call: Call, case: Case, answer: Answer, verdicts: Sequence[Decision]) -> Reply:
    """Record the answer, then make of it what may leave."""
    dialect, one_bad = exchange.upstream.dialect, exchange.shared.settings.one_bad
    overall = case.overall(verdicts)
    if not answer.images and overall.action.refuses:
        # Texts alone are no entries that one could leave out.
        receipt = await exchange.seal(overall, "refused")
        reply = dialect.refuse(replace(overall, receipt=receipt), Stage.OUTPUT, call)
        return replace(reply, headers=[*reply.headers, *case.headers(overall, receipt)])
    refused: dict[int, Decision] = {}
    for entry, verdict in zip(answer.entries, verdicts if answer.images else (), strict=True):
        if verdict.action.refuses and (entry not in refused or verdict.action > refused[entry].action):
            refused[entry] = verdict
    if not refused:
        receipt = await exchange.seal(overall, "answered")
        return Reply(answer.status, [*answer.headers, *case.headers(overall, receipt)], answer.body)
    # An entry below 0 stands for no entry of its own: a picture somewhere else in the answer refuses all of it.
    nothing_left = one_bad == "refuse-all" or min(refused) < 0 or refused.keys() >= set(answer.entries)
    receipt = await exchange.seal(overall, "refused" if nothing_left else "partly_refused")
    told = {entry: replace(verdict, receipt=receipt) for entry, verdict in refused.items()}
    reply = dialect.without(answer, told, one_bad)
    return replace(reply, headers=[*reply.headers, *case.headers(overall, receipt)])
