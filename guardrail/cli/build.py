"""Puts a guard together from the settings that hold: the only place that knows both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from guardrail.cli.common import progress
from guardrail.cli.records import open_audit
from guardrail.config import Configuration
from guardrail.inference.image.decode import Limits
from guardrail.inference.weights import Models, Sources
from guardrail.pipeline import Guard, Observer
from guardrail.policy import PolicyBook

MB = 1_000_000


def open_models(configuration: Configuration) -> Models:
    """The weights of this configuration, as they are in the cache."""
    return Models(configuration.cache, providers=configuration.settings.models.providers)


def open_guard(
    configuration: Configuration,
    *,
    record: bool = True,
    decide: bool = True,
    observer: Observer | None = None,
    patience_s: float = 0.0,
) -> Guard:
    """The guard that a configuration describes, its weights fetched where they are not there yet.

    `record` opens the audit log, `decide` the policies; `patience_s` is the least deadline of a stage, in seconds.
    Raises ConfigError and AuditError with what to do.
    """
    chosen = configuration.settings
    try_out(configuration, decide=decide)
    ensure_weights(configuration)
    return Guard.from_policy(
        chosen.policy.default if decide else None,
        home=configuration.state,
        models=open_models(configuration),
        checks=chosen.checks.enabled,
        options=chosen.checks.options,
        tenants=chosen.policy.tenants,
        shadow=chosen.policy.shadow,
        audit=open_audit(configuration) if record else None,
        audit_required=chosen.audit.required,
        threads=chosen.checks.threads,
        queue=chosen.checks.queue,
        deadline_s=max(chosen.checks.deadline_s, patience_s),
        cache=chosen.checks.cache,
        limits=Limits(
            bytes=chosen.limits.image_mb * MB,
            pixels=chosen.limits.megapixels * MB,
            looked_at=chosen.limits.frames,
        ),
        observer=observer,
    )


def try_out(configuration: Configuration, *, decide: bool = True) -> None:
    """Find out what can be told wrong without weights, which may take minutes to fetch. Raises ConfigError."""
    chosen = configuration.settings.policy
    configuration.key("digest")
    if decide:
        PolicyBook(chosen.default, tenants=chosen.tenants, shadow=chosen.shadow)


def ensure_weights(configuration: Configuration) -> None:
    """Fetch what the enabled checks need and the cache does not have, with a progress bar on standard error."""
    models = open_models(configuration)
    wanted = models.manifest.required_by(configuration.settings.checks.enabled)
    if models.missing(wanted):
        with_progress(lambda report: models.pull(wanted, sources=sources(configuration), progress=report))


def sources(configuration: Configuration) -> Sources:
    """Where this configuration lets weights come from."""
    chosen = configuration.settings.models
    return Sources(folder=Path(chosen.folder).expanduser() if chosen.folder else None, hub=chosen.hub or None)


def with_progress(work: Callable[[Callable[[str, int, int], None]], Any]) -> Any:
    """Run `work(report)`; `report(name, done, total)` moves one bar per name, in bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress) as bar:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)

        return work(report)
