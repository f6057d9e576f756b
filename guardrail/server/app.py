"""The application: finds the upstream of a call, asks who calls, and starts and stops what the server runs on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from guardrail.errors import AuditError, BadRequest, ConfigError, Overloaded
from guardrail.server.admission import Admission
from guardrail.server.answered import answer_call
from guardrail.server.client import Client
from guardrail.server.connections import Connections
from guardrail.server.control import PATHS, control
from guardrail.server.exchange import Broken, Exchange, Services
from guardrail.server.gate import UpstreamFault
from guardrail.server.guarding import Guard
from guardrail.server.hooked import hook_call
from guardrail.server.judged import judge_call
from guardrail.server.logs import REQUEST_LOG, say, where
from guardrail.server.metrics import Metrics
from guardrail.server.passed import pass_call
from guardrail.server.settings import TENANT, ServerSettings, Upstream
from guardrail.server.sockets import POLICY, relay
from guardrail.server.wire import RawHeaders, Receive, Scope, Send, send_reply
from guardrail.upstream.dialect import Door, Foreseen

log = logging.getLogger("guardrail.server")
requests = logging.getLogger(REQUEST_LOG)

KEY_HEADER = b"x-guardrail-key"
API_KEYS = frozenset({b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key"})
API_KEY_FIELDS = frozenset({b"key"})  # of a query: Google's APIs take a key there too
ASKS = frozenset({Door.JUDGED, Door.PASSED})
LAST_RECORDS_S = 5.0
WATCH_S = 1.0
LONGEST_PAUSE_S = 60.0  # between two tries of a warm-up


def build_app(guard: Guard, upstreams: Mapping[str, Upstream], settings: ServerSettings, observer: Metrics) -> App:
    """The server as an ASGI application. `observer` is the one that the guard reports to as well.

    Raises ConfigError when there is no upstream, or when two share a mount.
    """
    return App(guard, upstreams, settings, observer)


class App:
    """Plain ASGI for data routes, FastAPI for control routes."""

    def __init__(
        self, guard: Guard, upstreams: Mapping[str, Upstream], settings: ServerSettings, metrics: Metrics
    ) -> None:
        if not upstreams:
            raise ConfigError("no upstream: name at least one generator, such as openai=https://host/v1")
        named = [one if one.name else replace(one, name=name) for name, one in upstreams.items()]
        mounts = sorted(((one.mount.rstrip("/"), one) for one in named), key=lambda m: -len(m[0]))
        twice = {mount for mount, _ in mounts if sum(mount == other for other, _ in mounts) > 1}
        if twice:
            raise ConfigError(f"two upstreams are mounted at {min(twice) or '/'}; give each a path of its own")
        self.guard = guard
        self.settings = settings
        self.metrics = metrics
        self.client = Client(settings)
        self.admission = Admission(settings.max_in_flight, settings.room, settings.retry_after_s)
        self.sockets = Admission(settings.max_sockets, 1, settings.retry_after_s)
        self.connections = Connections(
            settings.max_connections, settings.max_connections_per_address, metrics.connection_refused
        )
        metrics.watch_load(lambda: self.admission.requests, lambda: self.admission.bytes, lambda: len(self.connections))
        asked = [(one, self.client.gate(one)) for one in named if one.base_url is not None]
        for _, gate in asked:
            metrics.watch_gate(gate)
        for one in named:
            if isinstance(one.dialect, Foreseen):
                metrics.foresee(one.dialect.foreseen)
        self._mounts = mounts
        self._services = Services(guard, self.client, settings, metrics, self.admission)
        self._control = control(guard, metrics, asked)
        self._tasks: list[asyncio.Task[None]] = []
        self._changed: Callable[[], bool] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["raw_path"].decode("latin-1")
            if path in PATHS:
                await self._control(scope, receive, send)
            else:
                await self._data(path, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._socket(scope["raw_path"].decode("latin-1"), scope, receive, send)

    # ------------------------------------------------------------------------------------------------ data routes

    def _mounted(self, path: str) -> tuple[str, Upstream] | None:
        return next((one for one in self._mounts if not one[0] or path.startswith(one[0] + "/")), None)

    async def _socket(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket that is not wanted is closed before it is accepted, which callers see as a 403."""
        found = self._mounted(path)
        if found is None:
            await send({"type": "websocket.close", "code": POLICY})
            return
        mount, upstream = found
        exchange = Exchange(self._services, upstream, scope, receive, send)
        below = path[len(mount) :]
        try:
            exchange.tenant = self._caller(scope["headers"], scope["query_string"])
            if upstream.dialect.door("GET", below) is not Door.SOCKET:
                raise BadRequest("this route is no websocket", status=404, code="route_not_guarded")
            ticket = self.sockets.enter()
        except (BadRequest, Overloaded):
            exchange.route, exchange.status = "closed", 403
            await send({"type": "websocket.close", "code": POLICY})
            self._say(exchange)
            return
        try:
            await relay(exchange, below, receive, send)
        finally:
            ticket.close()
            self._say(exchange)

    async def _data(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._mounted(path)
        if found is None:
            body = b'{"error":{"message":"no generator is mounted here","code":"route_not_guarded"}}'
            named = [("content-type", "application/json"), ("x-guardrail-decision", "none")]
            await send_reply(send, 404, named, body)
            return
        mount, upstream = found
        exchange = Exchange(self._services, upstream, scope, receive, send)
        below = path[len(mount) :]
        try:
            await exchange.run(lambda: self._walk(exchange, below))
        except Broken:
            exchange.outcome += "_broken"
            # uvicorn cuts the connection of an application that returns without finishing its answer.
        finally:
            self._say(exchange)

    async def _walk(self, exchange: Exchange, path: str) -> None:
        method: str = exchange.scope["method"]
        door = exchange.upstream.dialect.door(method, path)
        if door is Door.HOOK:
            exchange.tenant = self.settings.default_tenant
            await hook_call(exchange, method, path)
            return
        exchange.tenant = self._caller(exchange.scope["headers"], exchange.scope["query_string"])
        if door in ASKS:
            # Before anything is read or judged: a generator that is down costs nobody's time.
            try:
                self.client.gate(exchange.upstream).check()
            except UpstreamFault as fault:
                exchange.outcome = "upstream_open"
                self.metrics.upstream_error(fault.kind)
                raise
        if door is Door.JUDGED:
            await judge_call(exchange, method, path)
        elif door is Door.PASSED:
            await pass_call(exchange, method, path)
        elif door is Door.ANSWERED:
            await answer_call(exchange, method, path)
        elif door is Door.SOCKET:
            exchange.route = "socket"
            raise BadRequest("this route is a websocket", status=426, code="websocket_expected")
        else:
            exchange.route = "closed"
            raise BadRequest(
                "this route is closed: the guard does not judge it, so it does not pass it on; "
                "the reference of the dialect lists the routes that are open",
                status=404,
                code="route_not_guarded",
            )

    def _caller(self, headers: RawHeaders, query: bytes) -> str:
        """The tenant of a caller. Raises BadRequest (401) without Guardrail's own key where one is asked for."""
        settings = self.settings
        if not settings.access_keys and not settings.tenant_keys and settings.tenant_header is None:
            return settings.default_tenant
        named = dict(reversed(headers))
        if settings.access_keys:
            given = hashlib.sha256(named.get(KEY_HEADER, b"")).hexdigest()
            # Every key is compared, so that time does not tell which one came close.
            if not sum(hmac.compare_digest(given, known) for known in settings.access_keys):
                raise BadRequest(
                    "a valid x-guardrail-key header is needed here; ask the operator for one",
                    status=401,
                    code="invalid_guardrail_key",
                )
        telling = set(API_KEYS) if settings.tenant_keys else set()
        if settings.tenant_header is not None:
            telling.add(settings.tenant_header.lower().encode("latin-1"))
        if len(telling) and max(Counter(name for name, _ in headers if name in telling).values(), default=0) > 1:
            # Which of the two the generator goes by is not known, so neither says whose policy holds.
            raise BadRequest("a header that says who calls is given twice", code="invalid_header")
        if settings.tenant_keys:
            told = {settings.tenant_keys.get(hashlib.sha256(key).hexdigest()) for key in _keys(headers, query)} - {None}
            if len(told) > 1:
                raise BadRequest("keys of two tenants are given", code="invalid_header")
            if told:
                return str(*told)
        if settings.tenant_header is not None:
            name_said = named.get(settings.tenant_header.lower().encode("latin-1"), b"").decode("latin-1")
            if name_said:
                if not TENANT.fullmatch(name_said) or (settings.tenants and name_said not in settings.tenants):
                    raise BadRequest(
                        f"the tenant that {settings.tenant_header} names is not known here", code="unknown_tenant"
                    )
                return name_said
        return settings.default_tenant

    def _say(self, exchange: Exchange) -> None:
        """One log line and one count for each request."""
        seconds = time.perf_counter() - exchange.began
        decision = exchange.decision
        action = decision.action.word if decision is not None else "none"
        self.metrics.answered(exchange.route, action, exchange.status, seconds)
        if requests.isEnabledFor(logging.INFO):
            fields = {
                "id": exchange.case.id if exchange.case is not None else exchange.case_id,
                "upstream": exchange.upstream.name,
                "route": exchange.route,
                "tenant": exchange.tenant,
                "status": exchange.status,
                "outcome": exchange.outcome,
                "decision": action,
                "stage": decision.stage.value if decision is not None else None,
                "rules": list(decision.rules) if decision is not None else [],
                "ms": round(seconds * 1000, 1),
                "upstream_ms": round(exchange.upstream_s * 1000, 1),
                "bytes_in": exchange.bytes_in,
                "bytes_out": exchange.bytes_out,
            }
            say(requests, "request", fields)

    # --------------------------------------------------------------------------------------------- start and stop

    def watch(self, changed: Callable[[], bool]) -> None:
        """Reload the policies whenever `changed` says so, asked each second. To be said before the server starts."""
        self._changed = changed

    async def _look_after(self, changed: Callable[[], bool]) -> None:
        while True:
            if changed():
                await self.reload()
            await asyncio.sleep(WATCH_S)

    async def reload(self) -> None:
        """Read the policies again; what is wrong with them is logged, and the old ones stay."""
        try:
            faults = await self.guard.reload()
        except AuditError as error:
            self.metrics.audit_failure()
            log.error("a policy reload could not be recorded", extra={"fields": {"fault": where(error)}})
        except Exception as error:
            log.error("policies could not be reloaded", extra={"fields": {"fault": where(error)}})
        else:
            said = "policies not reloaded, the old ones stay" if faults else "policies reloaded"
            log.log(logging.ERROR if faults else logging.WARNING, said, extra={"fields": {"faults": faults}})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.client.open()
        # In the background: /healthz and /readyz answer while models warm up.
        self._tasks = [asyncio.ensure_future(self._warm())]
        if self._changed is not None:
            self._tasks.append(asyncio.ensure_future(self._look_after(self._changed)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._stop()
        except Exception as error:
            log.error("the guard did not stop cleanly", extra={"fields": {"fault": where(error)}})
            await send({"type": "lifespan.shutdown.failed", "message": "the guard did not stop cleanly"})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _warm(self) -> None:
        """Warm the guard up, and try again until it is: not ready meanwhile, and what is asked fails closed."""
        pause_s, told = self.settings.warm_pause_s, False
        while why := await self._cold():
            if not told:
                # Once: /readyz has the reason of the last try.
                log.error("the guard is not warm and is tried again", extra={"fields": {"why": why}})
                told = True
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if told:
            log.warning("the guard is warm")

    async def _cold(self) -> str:
        try:
            return await self.guard.start()
        except Exception as error:
            return where(error)

    async def _stop(self) -> None:
        """Let requests that a shutdown cut off write their records, then close what they were written to."""
        until = time.monotonic() + LAST_RECORDS_S
        while self.admission.requests and time.monotonic() < until:  # noqa: ASYNC110 - a count, at shutdown only
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await self.client.close()
        await self.guard.close()


def _keys(headers: RawHeaders, query: bytes) -> Iterator[bytes]:
    """Whatever a generator could take for the caller's key: some take the word after the scheme, some the last one."""
    for name, value in headers:
        if name in API_KEYS:
            yield from value.split()
    for field in query.replace(b";", b"&").split(b"&"):
        name, _, value = field.partition(b"=")
        if unquote_to_bytes(name).lower() in API_KEY_FIELDS:
            yield unquote_to_bytes(value)
