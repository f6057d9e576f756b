"""Looking: whatever a check does, each of its factors becomes a score or an error."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from guardrail.errors import CheckError, ConfigError
from guardrail.pipeline import Unobserved
from guardrail.pipeline.looking import LONG_TEXT, Looker
from guardrail.types import Artifact, Kind, Pair, Unknown
from tests.stand_ins import Asks, Hangs, Says


def prompt(text="x"):
    return Artifact(Kind.PROMPT, "prompt", text=text)


def picture(data=b"x", slot="data[0]"):
    return Artifact(Kind.OUTPUT, slot, data=data)


def look(checks, subjects, **settings):
    looker = Looker(checks, threads=2, **{"deadline_s": 5.0, **settings})
    try:
        return asyncio.run(looker.look(subjects))
    finally:
        looker.close()


def test_a_score_becomes_a_signal_named_after_kind_and_factor():
    [[signal]] = look([Says({"gore": 0.9})], [prompt()])
    assert (signal.name, signal.slot, signal.check, signal.score) == ("prompt.gore", "prompt", "says", 0.9)


def raises(error):
    def answer(subject):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda subject: {"gore": float("nan")}, "not a probability"),
        (lambda subject: {"gore": 1.01}, "not a probability"),
        (lambda subject: {"gore": -0.01}, "not a probability"),
        (lambda subject: {"gore": "high"}, "not a number"),
        (lambda subject: {}, "said nothing about gore"),
        (lambda subject: {"gore": None}, "said nothing about gore"),
        (lambda subject: {"gore": Unknown("face too small")}, "face too small"),
        (raises(CheckError("truncated JPEG")), "truncated JPEG"),
        (raises(RuntimeError("the prompt was: hush")), "check asks raised RuntimeError"),
        (raises(SystemExit("hush")), "check asks raised SystemExit"),
        (lambda subject: {"gore": 10**400}, "not a number"),
        (lambda subject: None, "said what are no scores"),
        (lambda subject: 0.5, "said what are no scores"),
        (lambda subject: "hush", "said what are no scores"),
    ],
)
def test_whatever_is_not_a_probability_becomes_an_error(answer, said):
    [[signal]] = look([Asks(answer, ["gore"])], [prompt()])
    assert signal.score is None
    assert said in signal.error
    assert "hush" not in signal.error


def test_a_panic_of_a_library_is_an_error_like_any_other():
    class Panic(BaseException):
        pass

    found = look([Asks(raises(Panic("hush")), ["gore"])], [prompt("a"), prompt("b")])
    assert [signals[0].error for signals in found] == ["check asks raised Panic"] * 2


def test_a_picture_that_nobody_could_prepare_is_clean_to_no_check_and_its_neighbours_are_looked_at():
    def prepare(artifact):
        if artifact.data == b"bad":
            raise MemoryError("hush")
        return ()

    bad, good = picture(b"bad"), picture(b"good", "data[1]")
    [[unread], [seen]] = look([Says({"gore": 0.1}, [Kind.OUTPUT])], [bad, good], prepare=prepare)
    assert (unread.score, seen.score) == (None, 0.1)
    assert "MemoryError" in unread.error
    assert "hush" not in unread.error


@pytest.mark.parametrize(
    ("asked", "made", "score"), [(b"good", b"good", 0.1), (b"bad", b"good", None), (b"good", b"bad", None)]
)
def test_a_pair_is_looked_at_only_where_both_of_its_pictures_can_be_read(asked, made, score):
    def prepare(artifact):
        if artifact.data == b"bad":
            raise MemoryError("hush")
        return ()

    pair = Pair(Artifact(Kind.INPUT, "image[0]", data=asked), picture(made))
    [[signal]] = look([Says({"same_face": 0.1}, [Kind.PAIR])], [pair], prepare=prepare)
    assert signal.score == score


def test_how_many_pictures_wait_is_read_when_it_is_asked_for():
    class Hears(Unobserved):
        def queue(self, depth):
            self.depth = depth

    heard, check = Hears(), Hangs(["gore"])
    looker = Looker([check], threads=1, deadline_s=30.0, observer=heard)

    async def ask():
        looks = [asyncio.ensure_future(looker.look([picture(bytes([at]))])) for at in range(3)]
        await asyncio.sleep(0.05)
        waiting = heard.depth()
        check.let_go.set()
        await asyncio.gather(*looks)
        return waiting

    assert asyncio.run(ask()) == 3
    looker.close()


def test_which_signals_there_may_be_is_told_before_anything_is_asked():
    class Hears(Unobserved):
        def signals(self, names):
            self.names = list(names)

    heard = Hears()
    check = Says({"gore": 0.1, "minor": 0.2}, [Kind.INPUT, Kind.OUTPUT])
    Looker([check], threads=1, deadline_s=1.0, observer=heard).close()
    assert heard.names == ["input.gore", "input.minor", "output.gore", "output.minor"]


def test_too_few_answers_are_an_error_for_every_subject():
    class Short(Says):
        def score(self, batch):
            return [self.scores]

    found = look([Short({"gore": 0.0})], [prompt("a"), prompt("b")])
    assert all(signal.error for signals in found for signal in signals)


def test_one_bad_subject_does_not_blind_a_check_to_its_neighbours():
    def answer(subject):
        if subject.text == "bad":
            raise ValueError("no")
        return {"gore": 0.1}

    found = look([Asks(answer, ["gore"])], [prompt("good"), prompt("bad"), prompt("fine")])
    assert [signals[0].score for signals in found] == [0.1, None, 0.1]


def test_texts_go_through_a_check_in_batches():
    check = Says({"gore": 0.0})
    look([check], [prompt(str(at)) for at in range(1000)])
    assert len(check.batches) <= 1000 / 50


def test_a_check_that_hangs_becomes_an_error_and_the_others_are_kept():
    hangs = Hangs(["gore"])
    began = time.monotonic()
    [signals] = look([Says({"nudity": 0.2}, [Kind.OUTPUT]), hangs], [picture()], deadline_s=0.2)
    assert time.monotonic() - began < 5.0
    said = {signal.name: signal for signal in signals}
    assert said["output.nudity"].score == 0.2
    assert "no answer within 0.2 s" in said["output.gore"].error
    hangs.let_go.set()


def test_hung_workers_are_replaced_until_too_many_hang_and_then_nothing_passes():
    hangs = Hangs(["gore"])
    looker = Looker([hangs], threads=1, deadline_s=0.05)

    async def many():
        for at in range(8):
            [[signal]] = await looker.look([picture(bytes([at]))])
            assert signal.error

    asyncio.run(many())
    assert not looker.pictures.healthy
    hangs.let_go.set()
    while not looker.pictures.healthy:
        time.sleep(0.01)
    [[signal]] = asyncio.run(looker.look([picture(b"later")]))
    assert signal.score == 0.0
    looker.close()


def test_a_job_that_hangs_is_given_up_though_whoever_asked_went_away():
    hangs = Hangs(["gore"])
    looker = Looker([hangs], threads=1, deadline_s=0.2)

    async def leave():
        left = asyncio.ensure_future(looker.look([picture(b"poison")]))
        await asyncio.sleep(0.05)
        left.cancel()
        await asyncio.wait([left])
        await asyncio.sleep(0.5)
        return looker.pictures.submit(lambda: "next")

    assert asyncio.run(leave()).result(5.0) == "next"
    hangs.let_go.set()
    looker.close()


def test_a_verdict_is_remembered_by_bytes_and_models_and_errors_are_not():
    calls = []

    def answer(subject):
        calls.append(subject.data)
        if len(calls) == 1:
            raise CheckError("busy")
        return {"gore": 0.3}

    check = Asks(answer, ["gore"], [Kind.OUTPUT])
    looker = Looker([check], threads=1, deadline_s=5.0, cache=8)
    scores = [asyncio.run(looker.look([picture(b"same")]))[0][0].score for _ in range(3)]
    assert scores == [None, 0.3, 0.3]
    assert len(calls) == 2
    check.models = ("asks@2",)
    asyncio.run(looker.look([picture(b"same")]))
    assert len(calls) == 3
    looker.close()


def test_an_input_verdict_is_not_taken_for_an_output_verdict():
    check = Asks(
        lambda subject: {"gore": 0.1 if subject.kind is Kind.INPUT else 0.9}, ["gore"], [Kind.INPUT, Kind.OUTPUT]
    )
    same = [Artifact(Kind.INPUT, "image[0]", data=b"x"), picture(b"x")]
    found = look([check], same, cache=8)
    assert [signals[0].score for signals in found] == [0.1, 0.9]


def test_no_checks_and_a_name_that_is_there_twice_are_refused():
    with pytest.raises(ConfigError, match="nothing may pass"):
        Looker([], threads=1, deadline_s=1.0)
    with pytest.raises(ConfigError, match="says is there twice"):
        Looker([Says({"a": 0.0}), Says({"b": 0.0})], threads=1, deadline_s=1.0)


def test_a_short_text_does_not_wait_behind_a_long_one():
    hold = threading.Event()

    def answer(artifact):
        if len(artifact.text) >= LONG_TEXT:
            hold.wait(10.0)
        return {"gore": 0.1}

    looker = Looker([Asks(answer, ["gore"])], threads=1, deadline_s=10.0)

    async def ask():
        slow = asyncio.ensure_future(looker.look([prompt("x" * LONG_TEXT)]))
        await asyncio.sleep(0.05)
        [[quick]] = await asyncio.wait_for(looker.look([prompt("x" * (LONG_TEXT - 1))]), 5.0)
        assert not slow.done()
        hold.set()
        [[late]] = await slow
        return quick.score, late.score

    assert asyncio.run(ask()) == (0.1, 0.1)
    looker.close()


@pytest.mark.parametrize(("many", "few"), [(LONG_TEXT - 1, 10), (LONG_TEXT * 8, LONG_TEXT)], ids=["short", "long"])
def test_a_request_of_many_letters_lets_one_of_few_go_before_it(many, few):
    """One request may bring half a million characters, which take a minute: one job of it is waited for."""
    began, step = threading.Semaphore(0), threading.Semaphore(0)

    def answer(artifact):
        if len(artifact.text) == many:
            began.release()
            step.acquire(timeout=10.0)
        return {"gore": 0.1}

    looker = Looker([Asks(answer, ["gore"])], threads=1, deadline_s=10.0)

    async def ask():
        slow = asyncio.ensure_future(looker.look([prompt("x" * many)] * 8))
        await asyncio.to_thread(began.acquire)
        quick = asyncio.ensure_future(looker.look([prompt("y" * few)]))
        await asyncio.sleep(0.05)
        step.release()
        [[first]] = await asyncio.wait_for(quick, 5.0)
        assert not slow.done()
        step.release(7)
        rest = await slow
        return first.score, [signal.score for [signal] in rest]

    assert asyncio.run(ask()) == (0.1, [0.1] * 8)
    looker.close()


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([10] * 65, [64, 1]),
        ([LONG_TEXT - 1] * 3, [1, 1, 1]),
        ([LONG_TEXT // 2] * 4, [2, 2]),
        ([10, LONG_TEXT - 1, 1, 10], [1, 2, 1]),
    ],
)
def test_a_job_has_as_many_texts_as_are_read_in_the_time_of_one(lengths, expected):
    check = Says({"gore": 0.1})
    look([check], [prompt("x" * length) for length in lengths])
    assert check.batches == expected


def test_what_a_check_notes_of_a_picture_is_remembered_with_its_verdict():
    def answer(subject):
        subject.notes = (*subject.notes, "looks 23 years old")
        return {"minor": 0.5}

    first, second = picture(), picture()
    looker = Looker([Asks(answer, ["minor"], kinds=(Kind.OUTPUT,))], threads=1, deadline_s=5.0, cache=8)
    try:
        for one in (first, second):
            asyncio.run(looker.look([one]))
    finally:
        looker.close()
    assert first.notes == second.notes == ("looks 23 years old",)


def test_what_a_request_says_of_its_picture_is_said_in_no_other_request():
    looker = Looker([Says({"gore": 0.1}, [Kind.OUTPUT])], threads=1, deadline_s=5.0, cache=8)
    first, second, third = picture(), picture(), picture()
    first.notes, third.notes = ("called holiday.png",), ("called again.png",)
    for one in (first, second, third):
        asyncio.run(looker.look([one]))
    looker.close()
    assert (first.notes, second.notes, third.notes) == (("called holiday.png",), (), ("called again.png",))


def test_a_note_of_an_input_is_none_of_the_same_picture_as_an_output():
    def answer(subject):
        subject.notes = (*subject.notes, "a passport")
        return {"document": 0.5}

    of_inputs = Asks(answer, ["document"], [Kind.INPUT], "documents")
    looker = Looker([of_inputs, Says({"gore": 0.1}, [Kind.INPUT, Kind.OUTPUT])], threads=1, deadline_s=5.0, cache=8)
    sent, made, again = Artifact(Kind.INPUT, "image[0]", data=b"same"), picture(b"same"), picture(b"same")
    for one in (sent, made, again):
        asyncio.run(looker.look([one]))
    looker.close()
    assert (sent.notes, made.notes, again.notes) == (("a passport",), (), ())


def test_what_an_earlier_model_noted_is_not_said_beside_the_score_of_the_next():
    age = Asks(lambda subject: {"minor": 0.5}, ["minor"], [Kind.OUTPUT], "age")

    def reads(years):
        def answer(subject):
            subject.notes = (*subject.notes, f"looks {years} years old")
            return {"minor": 0.5}

        return answer

    looker = Looker([age, Says({"gore": 0.1}, [Kind.OUTPUT])], threads=1, deadline_s=5.0, cache=8)
    found = []
    for model, years in (("age@1", 23), ("age@2", 31)):
        age.models, age.answer = (model,), reads(years)
        found.append(picture(b"same"))
        asyncio.run(looker.look([found[-1]]))
    looker.close()
    assert [one.notes for one in found] == [("looks 23 years old",), ("looks 31 years old",)]


def test_notes_stay_as_long_as_the_verdict_that_they_belong_to():
    def prepare(artifact):
        return (f"{artifact.data.decode()}: 8 of 40 frames",)

    check = Says({"gore": 0.1}, [Kind.OUTPUT])
    looker = Looker([check], threads=1, deadline_s=5.0, cache=2, prepare=prepare)
    try:
        for data in (b"a", b"b", b"a", b"c"):
            asyncio.run(looker.look([picture(data)]))
        again = picture(b"a")
        asyncio.run(looker.look([again]))
    finally:
        looker.close()
    assert len(check.batches) == 3
    assert again.notes == ("a: 8 of 40 frames",)


def test_a_verdict_is_not_remembered_where_what_it_rests_on_changed_meanwhile():
    check = Asks(lambda subject: {"known": 0.0}, ["known"], [Kind.OUTPUT])

    def recovers(subject):
        check.models = ("bank@8",)
        return {"known": 0.0}

    check.models, check.answer = ("bank@unreadable",), recovers
    looker = Looker([check], threads=1, deadline_s=5.0, cache=8)
    asyncio.run(looker.look([picture(b"same")]))
    check.models = ("bank@unreadable",)
    check.answer = raises(CheckError("the bank cannot be read"))
    [[signal]] = asyncio.run(looker.look([picture(b"same")]))
    assert signal.error == "the bank cannot be read"
    looker.close()


def test_a_pair_is_made_of_pictures_prepared_as_the_operator_says_though_their_verdicts_are_remembered():
    def prepare(artifact):
        artifact.once("frames", lambda: 12)
        return ()

    pairs = Asks(lambda pair: {"seen": pair.input.once("frames", lambda: 8) / 100}, ["seen"], [Kind.PAIR], "pairs")
    looker = Looker(
        [Says({"gore": 0.1}, [Kind.INPUT, Kind.OUTPUT]), pairs], threads=1, deadline_s=5.0, cache=8, prepare=prepare
    )

    async def seen(data):
        shown, made = Artifact(Kind.INPUT, "image[0]", data=b"same"), picture(data)
        await looker.look([shown])
        return (await looker.look([made, Pair(shown, made)]))[1][0].score

    assert [asyncio.run(seen(data)) for data in (b"first", b"second")] == [0.12, 0.12]
    looker.close()


def test_of_a_pair_with_a_picture_that_nobody_could_prepare_no_check_says_anything():
    def prepare(artifact):
        if artifact.data == b"bad":
            raise MemoryError
        return ()

    pair = Pair(Artifact(Kind.INPUT, "image[0]", data=b"bad"), picture(b"good"))
    [[signal]] = look([Says({"same": 0.0}, [Kind.PAIR])], [pair], prepare=prepare)
    assert (signal.score, "MemoryError" in signal.error) == (None, True)
