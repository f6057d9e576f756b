"""The options that commands of `guardrail eval` share, by what they are about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from blake3 import blake3

from guardrail.cli.eval_build import open_suite, pairs_of
from guardrail.config import Configuration
from guardrail.evaluate.pools import Threads
from guardrail.evaluate.suite import Suite, Where

Source = Annotated[Path | None, typer.Option("--source", help="Where the rows of a public benchmark lie.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that judge; 0 is one a core.")]


@dataclass(frozen=True)
class Reading:
    """How a suite is read, or a file of rows that is none."""

    source: Source = None
    task: Annotated[
        str | None, typer.Option("--task", help="prompt, image or pair, for a file without suite.yaml.")
    ] = None
    mapped: Annotated[
        list[str] | None, typer.Option("--map", metavar="ENTRY=COLUMN", help="text, image, id, group, ...")
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="FACTOR=RULE", help="A label: sexual=nsfw>0.5, minor=age<18."),
    ] = None
    slices: Annotated[list[str] | None, typer.Option("--slice", metavar="NAME=COLUMN", help="A slice.")] = None
    signal: Annotated[
        list[str] | None,
        typer.Option("--signal", metavar="FACTOR=SIGNAL", help="The signal that scores a factor."),
    ] = None

    def suite(self, configuration: Configuration, named: str, *, task: str | None = None) -> Suite:
        """The suite of this name, folder or file; `task` is what it is for, whatever the option says."""
        opened = open_suite(
            configuration,
            named,
            source=self.source,
            columns=pairs_of("--map", self.mapped),
            labels=pairs_of("--label", self.label),
            slices=pairs_of("--slice", self.slices),
            task=task or self.task,
        )
        return replace(opened, signals={**opened.signals, **pairs_of("--signal", self.signal)})


@dataclass(frozen=True)
class Chosen:
    """Which rows of a suite."""

    where: Annotated[list[str] | None, typer.Option("--where", metavar="SLICE=VALUE", help="Only these rows.")] = None
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many rows.")] = None

    @property
    def pairs(self) -> Where:
        return tuple(pairs_of("--where", self.where).items())


@dataclass(frozen=True)
class Proxied:
    """A running proxy that is asked instead of the guard."""

    proxy: Annotated[str | None, typer.Option("--proxy", metavar="URL", help="Ask a running proxy instead.")] = None
    proxy_model: Annotated[
        str, typer.Option("--proxy-model", metavar="NAME", help="The model that the proxy is asked for.")
    ] = "gpt-image-1"
    headers: Annotated[Path | None, typer.Option("--headers", help="File of NAME: VALUE lines for the proxy.")] = None

    def pool(self, configuration: Configuration, url: str, workers: int) -> Threads:
        """Asks the proxy at `url`, as many calls at once as there are workers."""
        from guardrail.evaluate.through_proxy import ProxyJudge, read_headers

        sent: Mapping[str, str] = read_headers(self.headers) if self.headers else {}
        # Keyed: whoever sees the folder of a run must not be able to try out which credential was used.
        digest = blake3(json.dumps(sent, sort_keys=True).encode(), key=configuration.key("evaluate")).hexdigest(8)
        return Threads(ProxyJudge(url, model=self.proxy_model, headers=sent, headers_digest=digest), workers or 4)


@dataclass(frozen=True)
class Running:
    """With what a suite is run, and what of an earlier run is kept."""

    workers: Workers = 0
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Over a Ray cluster; `local` starts one.")
    ] = None
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask anew what is remembered.")] = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what the folder holds.")] = False
