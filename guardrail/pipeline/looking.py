"""Looking: runs checks over artifacts and makes signals of what they say, and of what they could not.

This is the only place that catches what a check raises. Whatever goes wrong, each factor of each check that should
have looked becomes a signal: a score, or an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from guardrail.errors import CheckError, ConfigError
from guardrail.pipeline.workers import Workers
from guardrail.types import Artifact, Check, Kind, Pair, Signal, Subject, Unknown

TEXTS_PER_JOB = 64
LONG_TEXT = 4_000
"""Characters from which a text has a worker of its own, and most of one job of others: a 32,000-character prompt takes
more than a second, and ordinary ones (a few hundred) must not wait behind it."""

log = logging.getLogger("guardrail.pipeline")

Key = tuple[str, tuple[str, ...], Kind, bytes]


class Observer(Protocol):
    """Hears what the pipeline does; metrics stand behind it.

    Told once: `signals`, which signals there may be, and `queue`, where to read how many pictures wait or are being
    looked at.
    """

    def stage(self, name: str, seconds: float) -> None: ...
    def decision(self, action: str, stage: str) -> None: ...
    def unknown(self, signal: str) -> None: ...
    def signals(self, names: Iterable[str]) -> None: ...
    def queue(self, depth: Callable[[], int]) -> None: ...


class Unobserved:
    """Hears nothing."""

    def stage(self, name: str, seconds: float) -> None: ...
    def decision(self, action: str, stage: str) -> None: ...
    def unknown(self, signal: str) -> None: ...
    def signals(self, names: Iterable[str]) -> None: ...
    def queue(self, depth: Callable[[], int]) -> None: ...


class Verdict(NamedTuple):
    """What one check said of some bytes: its scores, and what it and the decoder noted of them."""

    scores: Mapping[str, float]
    notes: tuple[str, ...]


class Verdicts:
    """Remembers what checks said of bytes that were looked at before; the least recently used go first.

    Only whole, errorless verdicts are kept, under the names of the models that gave them: a changed registry or
    model never answers with what the old one said. Nothing is kept that a request said of its picture.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[Key, Verdict] = OrderedDict()

    def get(self, key: Key) -> Verdict | None:
        """What is kept under `key`, which from now on is the last to go."""
        found = self._kept.get(key)
        if found is not None:
            with suppress(KeyError):  # just thrown out by another thread
                self._kept.move_to_end(key)
        return found

    def put(self, key: Key, verdict: Verdict) -> None:
        self._kept[key] = verdict
        while len(self._kept) > self.size:
            with suppress(KeyError):
                self._kept.popitem(last=False)


def _pictures(subjects: Iterable[Subject]) -> Iterator[Artifact]:
    """The pictures of subjects; those of a pair too, which nobody prepared where their own verdicts were remembered."""
    for subject in subjects:
        if isinstance(subject, Pair):
            yield from (subject.input, subject.output)
        elif subject.data is not None:
            yield subject


def _batches(texts: Mapping[int, int]) -> Iterator[list[int]]:
    """Texts, given by their positions with their lengths, a job each: many short ones, few longer ones, a long one."""
    batch: list[int] = []
    size = 0
    for at, length in texts.items():
        if length >= LONG_TEXT:
            yield [at]
            continue
        if batch and (len(batch) == TEXTS_PER_JOB or size + length > LONG_TEXT):
            yield batch
            batch, size = [], 0
        batch.append(at)
        size += length
    if batch:
        yield batch


def _as_it_is(artifact: Artifact) -> tuple[str, ...]:
    """Nothing is prepared, nothing noted."""
    return ()


def _noted(subject: Subject) -> tuple[str, ...]:
    """The notes of a picture or a text; a pair has none of its own."""
    return subject.notes if isinstance(subject, Artifact) else ()


def _note(subject: Subject, notes: Iterable[str]) -> None:
    """Note of a picture or a text what is not noted yet."""
    if isinstance(subject, Artifact):
        subject.notes = tuple(dict.fromkeys((*subject.notes, *notes)))


class Looker:
    """Runs every check on every subject of its kinds, texts in batches, pictures each on a worker.

    `prepare` is called on the worker with each picture before any check sees it: it decodes it within the operator's
    limits, and gives what is to be noted of it or leaves a `fault` on the artifact.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        threads: int,
        deadline_s: float,
        cache: int = 0,
        observer: Observer | None = None,
        prepare: Callable[[Artifact], tuple[str, ...]] = _as_it_is,
    ) -> None:
        names = [check.name for check in checks]
        if not checks:
            raise ConfigError("no checks are enabled: nothing would be looked at, so nothing may pass; enable one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"check {', '.join(twice)} is there twice; each name stands for one check")
        self.checks = tuple(checks)
        self._prepare = prepare
        self.deadline_s = deadline_s
        self.pictures = Workers("picture", threads, niceness=19)
        self.texts = Workers("text", 1)
        self.long_texts = Workers("long-text", 1, niceness=10)
        self._of_kind = {kind: tuple(check for check in checks if kind in check.kinds) for kind in Kind}
        # Where every check of a kind says it is light, it is asked where it stands: a thread would cost more than it.
        self._light = {
            kind for kind, of_kind in self._of_kind.items() if all(getattr(c, "light", False) for c in of_kind)
        }
        self._verdicts = Verdicts(cache)
        self._observer = observer or Unobserved()
        self._observer.signals(sorted(self.signals))
        self._observer.queue(lambda: self.depth)

    @property
    def signals(self) -> frozenset[str]:
        """Names of all signals that these checks give."""
        return frozenset(
            f"{kind}.{factor}" for check in self.checks for kind in check.kinds for factor in check.factors
        )

    @property
    def models(self) -> tuple[str, ...]:
        """What the checks judge with, for the receipt."""
        return tuple(dict.fromkeys(model for check in self.checks for model in check.models))

    def checks_of(self, kind: Kind) -> tuple[Check, ...]:
        return self._of_kind[kind]

    @property
    def depth(self) -> int:
        """Pictures that wait for a worker or are being looked at."""
        return self.pictures.depth

    async def look(self, subjects: Sequence[Subject]) -> list[tuple[Signal, ...]]:
        """Every signal of each subject, in the order given. Never raises for what a check does.

        What is not done within the deadline becomes an error signal. Cancelling this drops what still waits. Pairs
        come after the pictures they are made of, so that no worker waits for what another is decoding.
        """
        found: list[tuple[Signal, ...]] = [()] * len(subjects)
        deadline = time.monotonic() + self.deadline_s
        texts: dict[int, int] = {}  # their lengths
        pictures: list[int] = []
        pairs: list[int] = []
        for at, subject in enumerate(subjects):
            if self._of_kind[subject.kind]:
                if isinstance(subject, Pair):
                    pairs.append(at)
                elif subject.text is None:
                    pictures.append(at)
                else:
                    texts[at] = len(subject.text)
        if not texts and not pictures and not pairs:
            return found
        size = sum(texts.values())
        for groups in ([*_batches(texts), *([at] for at in pictures)], [[at] for at in pairs]):
            jobs = [self._run([subjects[at] for at in group], deadline, size) for group in groups]
            done = await asyncio.gather(*jobs) if len(jobs) > 1 else [await job for job in jobs]
            for group, of_group in zip(groups, done, strict=True):
                for at, signals in zip(group, of_group, strict=True):
                    found[at] = signals
        for signals in found:
            for signal in signals:
                if signal.error is not None:
                    self._observer.unknown(signal.name)
        return found

    async def _run(self, subjects: Sequence[Subject], deadline: float, size: int) -> list[tuple[Signal, ...]]:
        """Run all checks of one kind over `subjects` in one job, keeping what was done when time runs out.

        `size` are the characters of all texts that are looked at together: who brings few goes first.
        """
        kind = subjects[0].kind
        checks = self._of_kind[kind]
        said: list[dict[str, tuple[Signal, ...]]] = [{} for _ in subjects]
        todo = [(check, self._remembered(check, subjects, said)) for check in checks]
        if any(missing for _, missing in todo):
            job = partial(self._job, todo, subjects, said, deadline)
            if kind in self._light:
                job()
            else:
                workers = self._workers_for(subjects[0])
                await _within(workers, job, deadline, 0 if workers is self.pictures else size)
        late = f"no answer within {self.deadline_s:g} s"
        return [
            tuple(signal for check in checks for signal in (of_one.get(check.name) or _errors(check, subject, late)))
            for subject, of_one in zip(subjects, said, strict=True)
        ]

    def _workers_for(self, subject: Subject) -> Workers:
        if isinstance(subject, Pair) or subject.text is None:
            return self.pictures
        return self.long_texts if len(subject.text) >= LONG_TEXT else self.texts

    def _remembered(
        self, check: Check, subjects: Sequence[Subject], said: Sequence[dict[str, tuple[Signal, ...]]]
    ) -> list[int]:
        """Fill in the verdicts that are remembered; the positions of those that are not."""
        if not self._verdicts.size:
            return list(range(len(subjects)))
        missing: list[int] = []
        models = check.models
        for at, subject in enumerate(subjects):
            verdict = self._verdicts.get((check.name, models, subject.kind, subject.digest))
            if verdict is None:
                missing.append(at)
            else:
                said[at][check.name] = _scored(check, subject, verdict.scores)
                _note(subject, verdict.notes)
        return missing

    def _job(
        self,
        todo: Sequence[tuple[Check, list[int]]],
        subjects: Sequence[Subject],
        said: Sequence[dict[str, tuple[Signal, ...]]],
        deadline: float,
    ) -> None:
        """Ask each check about the subjects it has yet to see, writing what it says into `said` as it goes."""
        shown = dict[bytes, tuple[str, ...]]()  # what the decoder notes of each picture
        for picture in _pictures(subjects):
            try:
                shown[picture.digest] = self._prepare(picture)
                _note(picture, shown[picture.digest])
            except Exception as error:
                picture.fault = _why("what prepares pictures", error)
        for check, missing in todo:
            if not missing:
                continue
            if time.monotonic() > deadline:
                return
            began = time.perf_counter()
            models, before = check.models, [_noted(subjects[at]) for at in missing]
            answers = _asked(check, [subjects[at] for at in missing])
            # By which of the two a registry that changed meanwhile was asked, nobody knows.
            lasting = self._verdicts.size > 0 and check.models == models
            for at, scores, old in zip(missing, answers, before, strict=True):
                if isinstance(scores, str):
                    said[at][check.name] = _errors(check, subjects[at], scores)
                    continue
                signals = _scored(check, subjects[at], scores)
                said[at][check.name] = signals
                if lasting and all(signal.score is not None for signal in signals):
                    digest = subjects[at].digest
                    notes = *shown.get(digest, ()), *(one for one in _noted(subjects[at]) if one not in old)
                    kept = {factor: float(scores[factor]) for factor in check.factors}  # type: ignore[arg-type]
                    self._verdicts.put((check.name, models, subjects[at].kind, digest), Verdict(kept, notes))
            self._observer.stage(f"check:{check.name}", time.perf_counter() - began)

    def close(self) -> None:
        self.pictures.close()
        self.texts.close()
        self.long_texts.close()


async def _within(workers: Workers, job: Callable[[], None], deadline: float, size: int) -> None:
    """Run `job` on a worker until it is done or the time has come; then it is given up, and goes on unheard.

    A future of the loop's own and one call back into it: a third of what asyncio.wrap_future and wait_for cost.
    """
    if not workers.healthy:
        return  # every factor becomes an error: too many workers hang
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[bool] = loop.create_future()

    def tell(done: bool) -> None:
        if not waiting.done():
            waiting.set_result(done)

    def finished(_: object) -> None:
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(tell, True)

    future = workers.submit(job, size)
    future.add_done_callback(finished)
    timer = loop.call_later(max(0.0, deadline - time.monotonic()), tell, False)
    try:
        if await waiting:
            future.result()
        else:
            workers.abandon(future)
    except asyncio.CancelledError:
        if not future.cancel():
            # Whoever asked went away; a job that hangs is given up at its time all the same.
            loop.call_later(max(0.0, deadline - time.monotonic()), workers.abandon, future)
        raise
    finally:
        timer.cancel()


def _asked(check: Check, batch: Sequence[Subject]) -> list[Mapping[str, float | Unknown] | str]:
    """What a check says of each subject; of a picture that cannot be read no check says anything.

    A check that would not look (an empty registry) must not call clean, or checked, what nobody could see.
    """
    blind = [_fault(subject) for subject in batch]
    said = iter(_ask(check, [subject for subject, fault in zip(batch, blind, strict=True) if fault is None]))
    return [next(said) if fault is None else fault for fault in blind]


def _fault(subject: Subject) -> str | None:
    """Why a picture of the subject cannot be read; None where each can."""
    if isinstance(subject, Pair):
        return subject.output.fault if subject.input.fault is None else subject.input.fault
    return subject.fault


def _ask(check: Check, batch: Sequence[Subject]) -> list[Mapping[str, float | Unknown] | str]:
    """What a check says of each subject; a text where it could not look at all, saying why.

    One bad subject must not blind the check to its neighbours: a batch that fails is asked again one by one.
    """
    if not batch:
        return []
    try:
        said = list(check.score(batch))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, or a panic in a library of Rust: no check ends the server
        if len(batch) > 1:
            return [answer for subject in batch for answer in _ask(check, [subject])]
        return [_why(f"check {check.name}", error)]
    if len(said) != len(batch):
        return [f"check {check.name} gave {len(said)} answers for {len(batch)} subjects"] * len(batch)
    return [one if isinstance(one, Mapping) else f"check {check.name} said what are no scores" for one in said]


def _why(who: str, error: BaseException) -> str:
    if isinstance(error, CheckError):
        return str(error)
    # Not the message: an unforeseen error may quote what it choked on.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    log.error("%s raised %s at %s", who, type(error).__name__, where)
    return f"{who} raised {type(error).__name__}"


def _scored(check: Check, subject: Subject, scores: Mapping[str, Any]) -> tuple[Signal, ...]:
    return tuple(_signal(check, subject, factor, scores.get(factor)) for factor in sorted(check.factors))


def _signal(check: Check, subject: Subject, factor: str, value: Any) -> Signal:
    name = f"{subject.kind}.{factor}"
    if isinstance(value, Unknown):
        return Signal(name, subject.slot, check.name, error=value.why)
    if value is None:
        return Signal(name, subject.slot, check.name, error=f"check {check.name} said nothing about {factor}")
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return Signal(name, subject.slot, check.name, error=f"check {check.name} said what is not a number")
    if not math.isfinite(score) or not 0.0 <= score <= 1.0:
        return Signal(name, subject.slot, check.name, error=f"check {check.name} said {score}, not a probability")
    return Signal(name, subject.slot, check.name, score=score)


def _errors(check: Check, subject: Subject, why: str) -> tuple[Signal, ...]:
    return tuple(
        Signal(f"{subject.kind}.{factor}", subject.slot, check.name, error=why) for factor in sorted(check.factors)
    )
