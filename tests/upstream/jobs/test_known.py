"""Jobs that are known: bounded, without what checks worked out, and waited for."""

import asyncio
import time

from guardrail.types import Artifact, Kind, Request
from guardrail.upstream.jobs.known import Job, Jobs
from guardrail.upstream.memory import Memory


def job(size: int = 10, *, begun: bool = True) -> Job:
    picture = Artifact(Kind.INPUT, "image", data=b"x" * size)
    picture.once("decoded", lambda: "much")
    return Job(
        Request((Artifact(Kind.PROMPT, "prompt", text="a red bicycle"),), (picture,), tenant="acme"), begun=begun
    )


def test_a_job_is_kept_with_its_tenant_and_without_what_was_worked_out():
    jobs = Jobs()
    jobs.put("j", job())
    kept = jobs.get("j")
    assert kept is not None
    assert (kept.request.tenant, kept.request.inputs[0].data) == ("acme", b"x" * 10)
    assert kept.request.inputs[0]._memo == {}


def test_what_is_worked_out_of_a_job_that_is_fetched_is_not_kept_either():
    jobs = Jobs()
    jobs.put("j", job())
    for _ in range(2):
        taken = jobs.get("j")
        assert taken is not None
        assert taken.request.inputs[0]._memo == {}
        taken.request.inputs[0].once("decoded", lambda: "much")


def test_the_oldest_go_first():
    jobs = Jobs(Memory(entries=9, size=250))
    for name in "abc":
        jobs.put(name, job(100))
    assert [jobs.get(name) is not None for name in "abc"] == [False, True, True]


async def test_a_job_is_waited_for():
    jobs = Jobs()

    async def later() -> None:
        await asyncio.sleep(0.15)
        jobs.put("j", job())

    begun = asyncio.ensure_future(later())
    assert await jobs.wait("j", 5) is not None
    await begun


async def test_nothing_is_waited_for_longer_than_it_may():
    jobs = Jobs()
    jobs.put("polled", job(begun=False))
    began = time.monotonic()
    assert await jobs.wait("polled", 0.3) is None
    assert await jobs.wait("unknown", 0) is None
    assert time.monotonic() - began < 2
