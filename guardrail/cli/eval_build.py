"""Puts an evaluation together from the settings that hold: suite, pool, cache and progress."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from guardrail.cli.build import open_guard
from guardrail.cli.common import progress
from guardrail.config import Configuration
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.cache import Cache, code_digest
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.fetched import Fetched
from guardrail.evaluate.judging import About, GuardJudge, checks_for
from guardrail.evaluate.pools import Pool, Processes, Threads
from guardrail.evaluate.suite import Suite, Where, ad_hoc, find_suites, read_suite, remapped
from guardrail.evaluate.survey import Survey
from guardrail.types import Kind

SAY_EVERY_S = 5.0
FEW_ROWS = 512
"""Up to so many texts one process is quicker: another needs seconds to open its models."""
COUNTING = frozenset(
    {
        "checks.enabled",
        "checks.options",
        "limits.image_mb",
        "limits.megapixels",
        "limits.frames",
        "models.providers",
    }
)
"""The settings that scores depend on, beside the models, which have digests of their own."""
PATIENCE_S = 600.0
"""Deadline of a stage while measuring: a busy machine must not turn into rows that could not be told."""


@dataclass(frozen=True)
class OpenGuardJudge:
    """Opens the checks that look at `kinds`, in whatever process it is called."""

    configuration: Configuration
    kinds: frozenset[Kind]

    def __call__(self) -> GuardJudge:
        narrowed = self.narrowed()
        return GuardJudge(open_guard(narrowed, record=False, decide=False), settings_that_count(narrowed))

    def narrowed(self) -> Configuration:
        """The settings, with those checks alone and their options."""
        chosen = self.configuration.settings
        names = checks_for(self.kinds, chosen.checks.enabled)
        options = {name: given for name, given in chosen.checks.options.items() if name in names}
        checks = chosen.checks.model_copy(
            update={"enabled": list(names), "options": options, "deadline_s": PATIENCE_S, "cache": 0, "threads": 1}
        )
        return replace(self.configuration, settings=chosen.model_copy(update={"checks": checks}))


def settings_that_count(configuration: Configuration) -> dict[str, str]:
    """Digests of the settings that scores depend on, by name; credentials among them count as set or not."""
    return {name: digest_of(value) for name, value, _ in configuration.shown() if name in COUNTING}


def digest_of(value: str) -> str:
    """The first 64 bits of a text's digest: enough to tell two settings apart."""
    return blake3(value.encode()).hexdigest(8)


def suite_folders(configuration: Configuration) -> list[Path]:
    """Where suites are looked for: those of a clone, then those of the operator."""
    return [Path("eval/suites"), configuration.home / "evaluate" / "suites"]


def fetched_of(configuration: Configuration) -> Fetched:
    """Where the rows of public benchmarks lie that were fetched."""
    return Fetched(configuration.home / "evaluate")


def placed(configuration: Configuration, folder: Path, source: Path | None) -> Suite:
    """The suite of a folder, its rows from `source`, or from what was fetched, where it has none of its own."""
    suite, fetched = read_suite(folder, source=source), fetched_of(configuration)
    if suite.root is None and fetched.complete(suite.id, suite.fetch):
        return read_suite(folder, source=fetched.folder(suite.id))
    return suite


def pairs_of(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """NAME=VALUE, as often as it is given."""
    found = {}
    for item in given or ():
        name, equals, value = item.partition("=")
        if not (equals and name and value):
            raise ConfigError(f"{option} {item}: NAME=VALUE is expected")
        found[name] = value
    return found


def open_suite(
    configuration: Configuration,
    name: str,
    *,
    source: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    slices: Mapping[str, str] | None = None,
    task: str | None = None,
) -> Suite:
    """A suite by name, by its folder, or a file of rows with `columns` and `labels` given here."""
    columns, labels, slices = dict(columns or {}), dict(labels or {}), dict(slices or {})
    known = find_suites(suite_folders(configuration))
    place = known.get(name) or Path(name)
    if place.is_dir() and (place / "suite.yaml").is_file():
        suite = remapped(placed(configuration, place, source), columns, labels)
        return replace(suite, task=task) if task else suite
    if place.exists():
        column = columns.pop("image", "path") if task == "image" else columns.pop("text", "text")
        made = ad_hoc(place, text=column, labels=labels, slices=slices, task=task or "prompt")
        return remapped(made, columns, {})
    raise ConfigError(
        f"no suite {name!r}; there are {', '.join(sorted(known)) or 'none here'}, or name a folder or file"
    )


def open_pool(configuration: Configuration, kinds: frozenset[Kind], workers: int, ray: str | None = None) -> Pool:
    """Where the guard's checks judge: in this process, in several, or over Ray."""
    opens = OpenGuardJudge(configuration, kinds)
    if ray is not None:
        from guardrail.evaluate.over_ray import RayPool

        return RayPool(opens, workers, None if ray == "local" else ray)
    return Threads(opens()) if workers == 1 else Processes(opens, workers)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def reporting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Say how far it is, how fast, and how long it will take; a bar on a terminal, lines elsewhere."""
    began = time.monotonic()
    first: list[int] = []
    said = [began]

    def rate(done: int) -> float:
        return (done - first[0]) / max(time.monotonic() - began, 1e-6)

    if not progress.is_terminal:

        def plain(done: int, total: int) -> None:
            first[:] = first or [done]
            now = time.monotonic()
            if now - said[0] >= SAY_EVERY_S or done >= total:
                said[0] = now
                left = (total - done) / rate(done) if done > first[0] else 0.0
                words = f"{what}: {done} of {total} rows, {rate(done):.0f}/s, {left:.0f} s left"
                progress.print(words, soft_wrap=True)

        yield plain
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress) as bar:
        task = bar.add_task(escape(what), total=None, rate=0.0)

        def moving(done: int, total: int) -> None:
            first[:] = first or [done]
            bar.update(task, completed=done, total=total, rate=rate(done))

        yield moving


def execute(
    configuration: Configuration,
    plan: Plan,
    pool: Pool,
    name: str,
    *,
    cached: bool = True,
    surveyed: Survey | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Run a plan into the folder of runs, with the cache and the progress of the command; a kept run is said so."""
    folder = runs.runs_folder(configuration.home) / runs.checked(name)
    with ExitStack() as closing:
        cache = None
        if cached and pool.about.label:
            file = configuration.home / "evaluate" / "cache.db"
            cache = closing.enter_context(Cache(file, configuration.key("evaluate"), remembered_as(pool.about)))
        kept = not fresh and (folder / runs.RUN).is_file()
        report = closing.enter_context(reporting(name))
        told = run(plan, pool, folder, cache=cache, report=report, surveyed=surveyed, fresh=fresh)
    if kept:
        progress.print(
            f"{name}: kept from before, with the same rows, policy, models, settings and code; --fresh runs it again",
            markup=False,
            soft_wrap=True,
        )
    return told


def remembered_as(about: About) -> str:
    """What tells the scores of this judge from those of any other, for the cache."""
    return json.dumps([about.label, code_digest(), dict(about.settings)], sort_keys=True)


def workers_for(asked: int, surveyed: Survey, limit: int | None = None, where: Where = ()) -> int:
    """Processes to judge with: what was asked for, else one for few rows and one a core for many."""
    parts = [surveyed.slices.get(name, {}).get(value, 0) for name, value in where]
    few = min(surveyed.rows, limit or surveyed.rows, *parts) <= FEW_ROWS
    return asked or (1 if few else cores())
