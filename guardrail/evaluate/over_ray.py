"""Ray: the same judges over as many machines as a Ray cluster has, through Ray Data."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from guardrail.errors import ConfigError, extra
from guardrail.evaluate.judging import Seen
from guardrail.evaluate.pools import Chunk, Open

WAVE = 1024
"""Chunks handed to Ray at once: what bounds memory, and how often its actors open their models again."""


class _Actor:
    """A judge in a Ray actor; gets one chunk a call, as bytes, and gives what it saw back as bytes."""

    def __init__(self, open_judge: Open) -> None:
        self._judge = open_judge()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        seen = [self._judge.judge(rows) if rows else [] for rows in map(pickle.loads, batch["rows"])]
        return {"at": list(batch["at"]), "seen": [pickle.dumps(one) for one in seen]}


class RayPool:
    """Judges in `count` actors of the cluster at `address` (None: a local one is started).

    Raises ConfigError where Ray is not installed. Pictures that rows name must lie where every machine finds them.
    """

    def __init__(self, open_judge: Open, count: int, address: str | None = None) -> None:
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise ConfigError(f"--ray needs Ray: {extra('ray')}") from None
        self._ray = ray
        self._data: Any = import_module("ray.data")
        self._open = open_judge
        self._count = count
        if not ray.is_initialized():
            ray.init(address=address, num_cpus=None if address else count, log_to_driver=False, logging_level="ERROR")
        self.about = open_judge().about  # asked here once: every actor opens the same

    def map(self, chunks: Iterable[Chunk]) -> Iterator[list[Seen]]:
        data = self._data
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        waiting = iter(chunks)
        while wave := list(itertools.islice(waiting, WAVE)):
            rows = [{"at": at, "rows": pickle.dumps(list(chunk))} for at, chunk in enumerate(wave)]
            seen = data.from_items(rows, override_num_blocks=min(len(rows), 4 * self._count)).map_batches(
                _Actor,
                fn_constructor_args=(self._open,),
                batch_size=1,
                compute=data.ActorPoolStrategy(size=self._count),
                num_cpus=1,
            )
            for at, answer in enumerate(seen.iter_rows()):
                if answer["at"] != at:
                    raise ConfigError("Ray Data gave chunks back in another order; its preserve_order is needed")
                yield pickle.loads(answer["seen"])  # noqa: S301  ours

    def close(self) -> None:
        self._ray.shutdown()
