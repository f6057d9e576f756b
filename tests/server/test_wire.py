"""Watching for a caller who leaves, by a `receive` that a test holds in its hand."""

from __future__ import annotations

import asyncio

import pytest

from guardrail.server.wire import Gone, Message, Watch


class Caller:
    """Leaves when it is told to; counts the questions, and those that were given up."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        self.asked = self.given_up = 0
        self.says: list[Message] = []

    async def receive(self) -> Message:
        self.asked += 1
        if self.says:
            await asyncio.sleep(0)
            return self.says.pop(0)
        try:
            await self.leaving.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return {"type": "http.disconnect"}


def test_a_caller_who_leaves_cancels_what_runs():
    async def run() -> str:
        caller = Caller()
        try:
            async with Watch(caller.receive):
                asyncio.get_running_loop().call_later(0.01, caller.leaving.set)
                await asyncio.sleep(10)
        except Gone:
            task = asyncio.current_task()
            assert task is not None
            return f"gone, {task.cancelling()} cancellations left"
        return "stayed"

    assert asyncio.run(run()) == "gone, 0 cancellations left"


def test_a_caller_who_has_left_already_is_seen_before_anything_runs():
    async def run() -> None:
        caller = Caller()
        caller.leaving.set()
        ran = False
        with pytest.raises(Gone):
            async with Watch(caller.receive):
                ran = True
        assert not ran

    asyncio.run(run())


def test_what_a_caller_sends_late_is_passed_over():
    async def run() -> None:
        caller = Caller()
        caller.says = [{"type": "http.request", "body": b"late"}, {"type": "http.request"}]

        async def work() -> None:
            async with Watch(caller.receive):
                asyncio.get_running_loop().call_later(0.01, caller.leaving.set)
                await asyncio.sleep(10)

        with pytest.raises(Gone):
            await work()
        assert caller.asked == 3

    asyncio.run(run())


def test_a_caller_who_stays_costs_one_question_that_is_given_up():
    async def run() -> None:
        caller = Caller()
        async with Watch(caller.receive) as watch:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (caller.asked, caller.given_up, watch.gone) == (1, 1, False)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        caller.leaving.set()
        await asyncio.sleep(0.01)
        assert not watch.gone

    asyncio.run(run())


def test_what_is_held_is_not_cut_in_two_and_ends_afterwards():
    async def run() -> None:
        caller = Caller()
        written = []

        async def work() -> None:
            async with Watch(caller.receive) as watch:
                watch.hold()
                caller.leaving.set()
                await asyncio.sleep(0.01)
                written.append("record")
                watch.release()

        with pytest.raises(Gone):
            await work()
        assert written == ["record"]

    asyncio.run(run())


def test_a_shutdown_is_not_taken_for_a_caller_who_left():
    async def run() -> None:
        caller = Caller()

        async def work() -> None:
            async with Watch(caller.receive):
                await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        caller.leaving.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
