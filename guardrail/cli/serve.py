"""`guardrail serve`: the guard in front of one or more generators."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardrail.audit import Unfit
from guardrail.cli import common
from guardrail.cli.common import progress, settings
from guardrail.cli.workers import supervise
from guardrail.config import Configuration
from guardrail.errors import AuditError, ConfigError

if TYPE_CHECKING:
    from guardrail.server.settings import ServerSettings, Upstream
    from guardrail.upstream.fetch import SafeFetch

MB = 1_000_000
NO_RECORD = 1
"""Status of a start that could not reach the record; one that is set wrongly, or that a person must look at, has 2."""

app = typer.Typer(add_completion=False, subcommand_metavar="")


@app.callback(invoke_without_command=True)
def serve(
    ctx: typer.Context,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="A generator, as dialect=address: openai=https://host/v1. `moderation` takes no address.",
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes sharing the port.")] = None,
) -> None:
    """Stand in front of a generator and judge what is asked for and what comes back.

    SIGTERM finishes what is in flight and ends; SIGHUP reads the policies again.
    """
    hold_hang_ups()
    configuration = settings(
        ctx,
        server__upstreams=_upstreams(upstream) if upstream else None,
        server__host=host,
        server__port=port,
        server__workers=workers,
        policy__default=policy,
    )
    if not configuration.settings.server.upstreams:
        raise ConfigError(
            "no generator to stand in front of: name one with --upstream openai=https://host/v1, with "
            "server.upstreams in the settings file, or with GUARDRAIL_SERVER_UPSTREAMS"
        )
    count = configuration.settings.server.workers
    if count == 1:
        run(configuration)
    else:
        from guardrail.cli.build import ensure_weights, try_out

        if apart := forgetful(configuration):
            progress.print(apart)
        _check_server(configuration)
        try_out(configuration)
        ensure_weights(configuration)
        stop_logs = start_logs(configuration)
        try:
            status = supervise(partial(_worker, configuration), count)
        finally:
            stop_logs()
        raise SystemExit(status)


def hold_hang_ups() -> None:
    """Let SIGHUP wait until the server listens to it: by itself it ends a process that is still starting.

    Whatever this thread starts, threads and processes, begins the same way.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def start_logs(configuration: Configuration) -> Callable[[], None]:
    """Write this process's logs as the settings say; returns what flushes and stops them."""
    from guardrail.server import logs

    chosen = configuration.settings.log
    return logs.start(logging.getLevelNamesMapping()[chosen.level.upper()], text=chosen.format == "text")


def run(
    configuration: Configuration, *, reuse_port: bool = False, listening: Callable[[], None] = lambda: None
) -> None:
    """One server process, until it is told to end. `listening` hears once requests are taken."""
    from guardrail.cli.build import open_guard
    from guardrail.server import Metrics, build_app, logs
    from guardrail.server import serve as listen_and_serve
    from guardrail.server.process import listen, tune_malloc

    tune_malloc()  # before there are threads, each of which would keep memory of its own
    chosen = configuration.settings
    metrics = Metrics()
    text = chosen.log.format == "text"
    stop_logs = start_logs(configuration)

    def say(host: str, port: int) -> None:
        policies = guard.book.labels()
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        said = f"guardrail listens on {address} with policy {', '.join(policies)}"
        if text:
            progress.print(said, markup=False, soft_wrap=True)
        else:
            # Whatever the level: who starts a guard waits for this line.
            logs.say(logging.getLogger("guardrail.server"), said, {"address": address, "policies": list(policies)})
        listening()

    try:
        # What is quickly told wrong comes before what takes seconds to open, and a download on the first start.
        upstreams, server = upstreams_of(configuration), server_settings(configuration)
        listen(chosen.server.host, chosen.server.port, reuse_port=reuse_port).close()
        guard = open_guard(configuration, observer=metrics)
        application = build_app(guard, upstreams, server, metrics)
        if chosen.policy.watch:
            application.watch(guard.book.saved)
        listen_and_serve(
            application,
            chosen.server.host,
            chosen.server.port,
            drain_s=chosen.server.drain_s,
            reuse_port=reuse_port,
            on_listening=say,
        )
    except Unfit:
        raise  # a wrong key or a broken log is no better the next time: status 2, as for what is set wrongly
    except AuditError as error:
        # Nothing is set wrongly, and a database may come up later: whoever looks after the process tries again.
        sys.stderr.write(f"guardrail: {error}\n")
        raise SystemExit(NO_RECORD) from None
    finally:
        stop_logs()


def forgetful(configuration: Configuration) -> str:
    """What is to be said where several processes serve a protocol whose calls belong together; else nothing."""
    from guardrail.upstream.registry import ONE_PROCESS

    chosen = configuration.settings.server
    named = [name for name, one in chosen.upstreams.items() if (one.dialect or name) in ONE_PROCESS]
    if chosen.workers == 1 or not named:
        return ""
    return (
        f"warning: server.workers is {chosen.workers}, but {', '.join(named)} remembers jobs and conversations in one "
        "process: a poll, a stream or a next turn that reaches another one is refused (404 or 400). "
        "Run one worker for it, or one guard for each caller"
    )


def upstreams_of(configuration: Configuration) -> dict[str, Upstream]:
    """The generators of a configuration: one at the root, several each under its name unless it says where."""
    from guardrail.server.settings import Upstream
    from guardrail.upstream.dialect import Setup
    from guardrail.upstream.limits import Limits
    from guardrail.upstream.registry import NO_ADDRESS, open_dialect

    chosen = configuration.settings
    sizes, getter = chosen.limits, _getter(configuration)
    limits = Limits(
        body_bytes=sizes.body_mb * MB,
        images=sizes.images,
        image_bytes=sizes.image_mb * MB,
        prompt_chars=sizes.prompt_chars,
    )
    found = {}
    for name, one in chosen.server.upstreams.items():
        speaks = one.dialect or name
        mount = one.mount or ("/" if len(chosen.server.upstreams) == 1 else f"/{name}")
        setup = Setup(mount.rstrip("/"), one.public_url.rstrip("/"), limits, one.options, configuration.key)
        dialect = open_dialect(speaks, setup)
        if not one.url and speaks not in NO_ADDRESS:
            raise ConfigError(f"server.upstreams: {name} has no address; write {name}: https://host/v1")
        more: dict[str, Any] = {"fetch": getter, "post": getter.post} if chosen.fetch.enabled else {}
        found[name] = Upstream(
            dialect,
            one.url or None,
            mount,
            name=name,
            timeout_s=one.timeout_s,
            connect_timeout_s=one.connect_timeout_s,
            idle_timeout_s=one.idle_timeout_s,
            concurrency=one.concurrency,
            retries=one.retries,
            breaker_failures=one.breaker_failures,
            breaker_s=one.breaker_s,
            **more,
        )
    return found


def _getter(configuration: Configuration) -> SafeFetch:
    """What gets the addresses that callers name. Raises ConfigError for a network that is none."""
    from guardrail.upstream.fetch import FetchLimits, FetchRules, SafeFetch

    fetch, image_mb = configuration.settings.fetch, configuration.settings.limits.image_mb
    try:
        networks = tuple(ipaddress.ip_network(network) for network in fetch.allow)
    except ValueError as error:
        raise ConfigError(f"fetch.allow: {error}; networks are written as 10.1.0.0/16") from None
    rules = FetchRules(
        http=fetch.insecure_http,
        hosts=frozenset(host.lower() for host in fetch.hosts) or None,
        networks=networks,
        ports=frozenset(fetch.ports),
    )
    return SafeFetch(limits=FetchLimits(image_mb * MB, fetch.timeout_s), rules=rules)


def server_settings(configuration: Configuration) -> ServerSettings:
    """What the server is told, from the settings that hold. Raises ConfigError for a tenant that nobody can be."""
    from guardrail.server.settings import TENANT, ServerSettings

    chosen = configuration.settings.server
    limits = configuration.settings.limits
    keys = frozenset({hashlib.sha256(chosen.access_key.encode()).hexdigest()}) if chosen.access_key else frozenset()
    made = ServerSettings(
        one_bad=chosen.one_bad,
        max_body_bytes=limits.body_mb * MB,
        max_answer_bytes=limits.answer_mb * MB,
        max_in_flight=chosen.max_in_flight,
        max_connections=chosen.max_connections,
        max_connections_per_address=chosen.max_connections_per_address or None,
        connect_timeout_s=chosen.connect_timeout_s,
        upstream_timeout_s=chosen.upstream_timeout_s,
        access_keys=keys,
        tenant_header=chosen.tenant_header or None,
        tenant_keys=chosen.tenant_keys,
        tenants=frozenset(configuration.settings.policy.tenants),
    )
    named = {name for name in made.tenants if made.tenant_header and TENANT.fullmatch(name)}
    nobody = made.tenants - named - {*made.tenant_keys.values(), made.default_tenant}
    if nobody:
        raise ConfigError(
            f"policy.tenants: no caller can be {min(nobody)!r}, so its policy would never hold; say in "
            "server.tenant_keys which keys are its own, or in server.tenant_header which header of a gateway names it"
        )
    return made


def _upstreams(given: list[str]) -> dict[str, str]:
    named = {}
    for item in given:
        name, equals, address = item.partition("=")
        if not name or "://" in name or (equals and not address):
            said = name if equals and name and "://" not in name else "(address alone)"
            raise ConfigError(f"--upstream {said}: name=address is expected, as in openai=https://host/v1")
        if name in named:
            raise ConfigError(
                f"--upstream {name} is given twice; two generators of one dialect are told apart by names of their own "
                "in server.upstreams, as in studio: {dialect: openai, url: https://host/v1}"
            )
        named[name] = address
    return named


def _check_server(configuration: Configuration) -> None:
    """What of the server's settings would stop every worker alike, said once. Raises ConfigError."""
    from guardrail.server.process import listen

    chosen = configuration.settings.server
    if chosen.port == 0:
        raise ConfigError("server.port: several workers share one port, so 0 (any free one) cannot be used")
    upstreams_of(configuration)
    server_settings(configuration)
    # Not as the workers will: they would share it with another guard that is still there.
    listen(chosen.host, chosen.port).close()


def _worker(configuration: Configuration, listening: Callable[[], None]) -> None:
    common.run(lambda: run(configuration, reuse_port=True, listening=listening))
