"""The guard as a library: one call judges a prompt, inputs and outputs, from any thread, and leaves a record."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import threading
import time
from dataclasses import replace

import pytest

from guardrail import Action, Guard
from guardrail.errors import AuditError, BadRequest, ConfigError, Overloaded
from guardrail.inference.image.decode import Limits
from guardrail.pipeline import Question, Unobserved
from guardrail.pipeline.case import STREAMING
from guardrail.pipeline.question import MOST_BYTES
from guardrail.pipeline.receipt import is_about
from guardrail.policy import PolicyBook
from guardrail.policy.unjudged import UNDECIDED
from guardrail.types import Artifact, Kind, Request, Stage
from tests.stand_ins import Asks, Hangs, Says, png


def test_a_clean_request_is_allowed_with_a_record(guard, audit):
    decision = guard.check(prompt="a red bicycle", inputs=[png("street")], outputs=[png("street, redder")])
    assert decision.action is Action.ALLOW
    assert decision.stage is Stage.OUTPUT
    record = audit.get(decision.receipt.id)
    assert record.entry.action == "allow"
    assert {look["slot"] for look in record.entry.body["receipt"]["looks"]} == {
        "prompt",
        "image[0]",
        "data[0]",
        "image[0]>data[0]",
    }


def test_a_refusal_says_its_rule_what_it_saw_and_the_stage_at_which_it_fell(guard):
    decision = guard.check(prompt="undress her", inputs=[png("a person")], outputs=[png("a person, bare")])
    assert decision.action is Action.BLOCK
    assert decision.stage is Stage.INPUT
    assert "undress-request" in decision.rules
    reason = next(reason for reason in decision.reasons if reason.rule == "undress-request")
    assert reason.saw == {"prompt.undress": 0.9, "input.person": 1.0}


def test_a_record_tells_its_policy_beyond_doubt_and_what_only_watched(checks, audit, tmp_path):
    path = tmp_path / "watching.yaml"
    path.write_text(
        "version: 1\nname: p\nmode: shadow\nrules:\n  - {id: undress, when: {prompt.undress: 0.5}, action: block}\n"
    )
    book = PolicyBook(path)
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=audit, threads=1)
    decision = guard.check(prompt="undress her")
    assert decision.action is Action.ALLOW
    body = audit.get(decision.receipt.id).entry.body
    assert body["policy_sha256"] == book.policy_of("default").digest
    assert [(reason["rule"], reason["acts"]) for reason in body["reasons"]] == [("undress", False)]


def test_the_same_words_over_a_picture_without_a_person_are_allowed(guard):
    assert guard.check(prompt="undress her", inputs=[png("a tree")]).action is Action.ALLOW


def test_a_record_holds_neither_the_prompt_nor_the_picture_nor_a_plain_digest(guard, audit):
    prompt, picture = "sexual secret-wish", png("person at secret-place")
    decision = guard.check(prompt=prompt, inputs=[picture])
    text = json.dumps(audit.get(decision.receipt.id).entry.body)
    artifact = Artifact(Kind.INPUT, "x", data=picture)
    for hidden in (prompt, "secret", artifact.digest.hex()[:16], artifact.sha256.hex()[:16]):
        assert hidden not in text


def test_check_works_from_many_threads_and_inside_a_running_event_loop(guard):
    actions = []
    threads = [threading.Thread(target=lambda: actions.append(guard.check(prompt="explicit").action)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def inside():
        return guard.check(prompt="explicit").action, (await guard.acheck(prompt="explicit")).action

    assert {*actions, *asyncio.run(inside())} == {Action.BLOCK}
    assert len(actions) == 8


def test_nothing_to_judge_is_no_pass(guard):
    with pytest.raises(BadRequest, match="nothing to judge"):
        guard.check()


def test_a_file_that_cannot_be_read_is_named_by_its_argument_and_path(guard, tmp_path):
    with pytest.raises(
        BadRequest, match=r"inputs\[0\]: .* is expected; '.*missing\.jpg' cannot be read: No such"
    ) as told:
        guard.check(inputs=[tmp_path / "missing.jpg"])
    assert told.value.param == "inputs[0]"


def test_several_questions_are_judged_at_once_and_in_order(guard, checks):
    decisions = guard.check_many([Question("explicit" if at % 2 else "clean") for at in range(300)])
    assert [decision.action for decision in decisions] == [Action.ALLOW, Action.BLOCK] * 150
    assert len(checks[0].batches) < 10


def test_of_many_questions_the_last_is_looked_at_too_however_long_all_of_them_take(checks, book):
    def slow(artifact):
        time.sleep(0.05)
        return {"person": 0.0, "exposure": 0.9 if b"bare" in artifact.data else 0.0}

    pictures = Asks(slow, ["person", "exposure"], [Kind.INPUT, Kind.OUTPUT], "bytes")
    guard = Guard([checks[0], pictures, checks[2]], book, digest_key=b"d" * 32, threads=1, deadline_s=1.0)
    questions = [Question(prompt="clean", outputs=[png(str(at))]) for at in range(39)]
    decisions = guard.check_many([*questions, Question(outputs=[png("bare")])])
    assert [decision.action.word for decision in decisions] == ["allow"] * 39 + ["block"]
    guard.looker.close()


def test_a_policy_that_names_a_signal_no_check_gives_is_refused_at_start(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nname: x\nrules:\n  - id: r\n    when: {prompt.sexual: 0.5}\n    action: block\n")
    with pytest.raises(ConfigError, match=r"prompt\.sexual"):
        Guard([Says({"gore": 0.0})], PolicyBook(path), digest_key=b"d" * 32)


def test_an_unknown_signal_holds(guard, checks):
    checks[1].answer = lambda subject: {"person": float("nan"), "exposure": 0.0}
    decision = guard.check(prompt="undress her", inputs=[png("x")])
    assert decision.action is Action.HOLD
    assert "input.person" in decision.evidence.errors()


def test_a_text_that_is_blocked_does_not_wait_for_the_pictures(guard, checks, book, audit):
    slow = Hangs(["person", "exposure"], [Kind.INPUT, Kind.OUTPUT], "bytes")
    waiting = Guard([checks[0], slow, checks[2]], book, digest_key=b"d" * 32, audit=audit, threads=1, deadline_s=20.0)

    async def ask():
        case = waiting.open(
            Request(
                texts=(Artifact(Kind.PROMPT, "prompt", text="explicit"),),
                inputs=(Artifact(Kind.INPUT, "image[0]", data=png("x")),),
            ),
            route="test",
        )
        decision = await asyncio.wait_for(case.judge_request(), 5.0)
        return decision, await case.seal(decision, status="refused")

    decision, receipt = asyncio.run(ask())
    slow.let_go.set()
    assert decision.action is Action.BLOCK
    assert "not looked at" in receipt.looks[1].unchecked["*"]
    waiting.looker.close()


def test_a_full_queue_turns_pictures_away_and_still_judges_texts(checks, book):
    hangs = Hangs(["person", "exposure"], [Kind.INPUT, Kind.OUTPUT], "bytes")
    busy = Guard([checks[0], hangs, checks[2]], book, digest_key=b"d" * 32, threads=1, queue=2, deadline_s=20.0)

    def case(text, *inputs):
        texts = (Artifact(Kind.PROMPT, "prompt", text=text),)
        pictures = tuple(Artifact(Kind.INPUT, f"image[{at}]", data=data) for at, data in enumerate(inputs))
        return busy.open(Request(texts=texts, inputs=pictures), route="test")

    async def ask():
        first = asyncio.ensure_future(case("clean", png("1"), png("2"), png("3")).judge_request())
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await case("clean", png("4")).judge_request()
        assert (await case("explicit").judge_request()).action is Action.BLOCK
        hangs.let_go.set()
        assert (await first).action is Action.ALLOW

    asyncio.run(ask())
    busy.looker.close()


def test_a_full_queue_that_no_longer_matters_is_no_fault_in_the_log(checks, book):
    busy = Guard(checks, book, digest_key=b"d" * 32, threads=1, queue=1)
    let_go = threading.Event()
    for _ in range(2):
        busy.looker.pictures.submit(lambda: let_go.wait(10.0))
    complaints = []

    async def ask():
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said["message"]))
        texts = (Artifact(Kind.PROMPT, "prompt", text="explicit"),)
        inputs = (Artifact(Kind.INPUT, "image[0]", data=png("x")),)
        decision = await busy.open(Request(texts=texts, inputs=inputs), route="test").judge_request()
        gc.collect()
        return decision.action

    assert asyncio.run(ask()) is Action.BLOCK
    let_go.set()
    busy.looker.close()
    assert complaints == []


def test_a_candidate_in_shadow_judges_each_output_for_itself_too(checks, audit, tmp_path):
    path = tmp_path / "bare-person.yaml"
    path.write_text(
        "version: 1\nname: p\nrules:\n"
        "  - {id: bare-person, when: {output.person: 0.5, output.exposure: 0.5}, action: block}\n"
    )
    guard = Guard(checks, PolicyBook(path, shadow=[path]), digest_key=b"d" * 32, audit=audit, threads=1)

    async def ask(*pictures):
        case = guard.open(Request(texts=(Artifact(Kind.PROMPT, "prompt", text="x"),), inputs=()), route="test")
        await case.judge_request()
        outputs = [Artifact(Kind.OUTPUT, f"data[{at}]", data=data) for at, data in enumerate(pictures)]
        overall = case.overall(await case.judge_outputs(outputs))
        await case.seal(overall, status="answered")
        [shadow] = audit.get(case.id).entry.body["shadow"]
        return overall.action.word, shadow["action"], shadow["rules"]

    assert asyncio.run(ask(png("person"), png("bare"))) == ("allow", "allow", [])
    assert asyncio.run(ask(png("tree"), png("person, bare"))) == ("block", "block", ["bare-person"])
    guard.looker.close()


def test_a_record_of_the_library_says_how_long_looking_took(checks, book, audit):
    def slow(artifact):
        time.sleep(0.1)
        return {"undress": 0.0, "sexual": 0.0}

    guard = Guard(
        [Asks(slow, ["undress", "sexual"], [Kind.PROMPT], "words"), *checks[1:]],
        book,
        digest_key=b"d" * 32,
        audit=audit,
    )
    receipt = guard.check(prompt="clean").receipt
    assert audit.get(receipt.id).entry.body["took_ms"] >= 100
    guard.looker.close()


def test_a_picture_that_no_enabled_check_looks_at_is_not_said_to_have_been_refused(tmp_path, audit):
    path = tmp_path / "texts.yaml"
    path.write_text("version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n")
    texts_only = Guard([Says({"sexual": 0.0})], PolicyBook(path), digest_key=b"d" * 32, audit=audit)
    decision = texts_only.check(prompt="clean", inputs=[png("x")])
    [_, look] = decision.receipt.looks
    assert decision.action is Action.ALLOW
    assert look.checked == ()
    assert look.unchecked == {"no check": "none that is enabled looks at such a thing"}
    texts_only.looker.close()


def test_each_output_is_judged_for_itself(guard):
    async def ask():
        case = guard.open(
            Request(
                texts=(Artifact(Kind.PROMPT, "prompt", text="clean"),),
                inputs=(Artifact(Kind.INPUT, "image[0]", data=png("a person")),),
            ),
            route="test",
        )
        assert (await case.judge_request()).action is Action.ALLOW
        outputs = [
            Artifact(Kind.OUTPUT, f"data[{at}]", data=data)
            for at, data in enumerate((png("tree"), png("person, bare")))
        ]
        decisions = await case.judge_outputs(outputs)
        overall = case.overall(decisions)
        return decisions, overall, await case.seal(overall, status="answered")

    decisions, overall, receipt = asyncio.run(ask())
    assert [decision.action for decision in decisions] == [Action.ALLOW, Action.BLOCK]
    assert overall.action is Action.BLOCK
    assert "undress-result" in overall.rules
    assert [look.slot for look in receipt.looks] == [
        "prompt",
        "image[0]",
        "data[0]",
        "data[1]",
        "image[0]>data[0]",
        "image[0]>data[1]",
    ]


def test_a_reload_changes_new_cases_only_and_is_recorded(guard, book, audit):
    request = Request(texts=(Artifact(Kind.PROMPT, "prompt", text="sexual"),), inputs=())
    before = guard.open(request, route="test")
    path = book.files[0]
    path.write_text(path.read_text().replace("action: flag", "action: block"))
    assert asyncio.run(guard.reload()) == []
    after = guard.open(request, route="test")
    assert asyncio.run(before.judge_request()).action is Action.FLAG
    assert asyncio.run(after.judge_request()).action is Action.BLOCK
    assert any(record.entry.kind == "event" for record in audit.entries())


def test_a_broken_policy_file_keeps_the_old_policy(guard, book):
    book.files[0].write_text("rules: [")
    faults = asyncio.run(guard.reload())
    assert faults
    assert guard.check(prompt="explicit").action is Action.BLOCK


def test_a_guard_is_ready_only_once_it_is_warm(guard, checks):
    assert guard.ready()[0] is False
    asyncio.run(guard.start())
    assert guard.ready() == (True, {})


def test_a_check_that_cannot_look_keeps_the_guard_from_being_ready(guard, checks):
    checks[1].answer = lambda subject: {}
    asyncio.run(guard.start())
    fine, why = guard.ready()
    assert not fine
    assert "bytes" in why["models"]


def request(text, *pictures):
    inputs = tuple(Artifact(Kind.INPUT, f"image[{at}]", data=data) for at, data in enumerate(pictures))
    return Request(texts=(Artifact(Kind.PROMPT, "prompt", text=text),), inputs=inputs)


def test_a_first_look_that_takes_longer_than_the_deadline_does_not_keep_the_guard_cold(checks, book):
    times = iter([0.6])

    def slow_at_first(artifact):
        time.sleep(next(times, 0.0))
        return {"undress": 0.0, "sexual": 0.0}

    words = Asks(slow_at_first, ["undress", "sexual"], [Kind.PROMPT], "words")
    guard = Guard([words, *checks[1:]], book, digest_key=b"d" * 32, threads=2, deadline_s=0.4)
    asyncio.run(guard.start())
    assert guard.ready() == (True, {})
    guard.looker.close()


def test_a_guard_that_stayed_cold_is_warm_once_its_check_looks_again(guard, checks):
    answer = checks[1].answer
    checks[1].answer = lambda subject: {}
    why = asyncio.run(guard.start())
    assert why == guard.ready()[1]["models"] != ""
    checks[1].answer = answer
    assert asyncio.run(guard.start()) == ""
    assert guard.ready() == (True, {})


def test_a_second_warm_up_loses_no_more_workers_to_a_check_that_hangs(checks, book):
    hangs = Hangs(["undress", "sexual"], [Kind.PROMPT], "words")
    guard = Guard([hangs, *checks[1:]], book, digest_key=b"d" * 32, threads=2, deadline_s=0.1)
    try:
        assert "words" in asyncio.run(guard.start())
        began = time.perf_counter()
        assert "words" in asyncio.run(guard.start())
        assert time.perf_counter() - began < 0.09, "it was tried again"
        assert guard.looker.texts.healthy
        hangs.let_go.set()
        until = time.monotonic() + 5
        while asyncio.run(guard.start()) and time.monotonic() < until:
            time.sleep(0.02)
        assert guard.ready() == (True, {})
    finally:
        hangs.let_go.set()
        guard.looker.close()


def test_an_input_that_cannot_be_read_is_the_callers_to_mend(guard):
    async def ask():
        await guard.open(request("clean", png("fine"), png("cut")[:-20]), route="test").judge_request()

    with pytest.raises(BadRequest) as caught:
        asyncio.run(ask())
    assert (caught.value.param, caught.value.code) == ("image[1]", "invalid_image")


def test_the_operators_limits_hold_before_anything_is_decoded(checks, book):
    small = Guard(checks, book, digest_key=b"d" * 32, threads=1, limits=Limits(pixels=100))

    async def ask(side):
        return await small.open(request("clean", png("x", side)), route="test").judge_request()

    assert asyncio.run(ask(10)).action is Action.ALLOW
    with pytest.raises(BadRequest, match="100"):
        asyncio.run(ask(11))
    small.looker.close()


def test_a_receipt_keeps_its_notes_when_the_verdict_is_remembered(guard):
    trailing = png("x") + b"0123456789"
    first, again = (guard.check(inputs=[trailing]).receipt.looks[0].notes for _ in range(2))
    assert first == again != ()


def test_a_receipt_says_what_its_own_request_said_of_a_picture(guard):
    async def looks(remarks):
        asked = request("clean", png("x") + b"0123456789")
        case = guard.open(asked, route="test")
        decision = await case.judge_request()
        asked.inputs[0].remarks = remarks
        return (await case.seal(decision, status="answered")).looks[1].notes

    told, later = asyncio.run(looks(("the mask was not looked at",))), asyncio.run(looks(()))
    assert told == (*later, "the mask was not looked at")
    assert later == ("10 bytes after the end of the picture",)


def test_every_reload_that_changes_something_has_a_record_of_its_own(guard, book, audit):
    path = book.files[0]
    for action in ("hold", "block"):
        path.write_text(
            path.read_text().replace("action: flag", f"action: {action}").replace("action: hold", f"action: {action}")
        )
        assert asyncio.run(guard.reload()) == []
    assert len({record.entry.id for record in audit.entries() if record.entry.kind == "event"}) == 2


def test_the_record_of_a_reload_holds_the_whole_digests_of_what_was_in_force(guard, book, audit):
    """Eight digits of a label are made to collide in an afternoon: the record must tell the two policies apart."""
    old = book.default
    path = book.files[0]
    path.write_text(path.read_text().replace("action: flag", "action: block"))
    assert asyncio.run(guard.reload()) == []
    [event] = [record.entry for record in audit.entries() if record.entry.kind == "event"]
    assert event.body["sha256"] == {
        "before": {old.digest: old.label},
        "after": {book.default.digest: book.default.label},
    }


def test_a_tenant_that_moves_to_a_policy_which_another_has_already_is_a_reload_on_record(checks, audit, tmp_path):
    one = "version: 1\nname: one\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
    two = one.replace("name: one", "name: two").replace("block", "flag")
    files = {name: tmp_path / f"{name}.yaml" for name in ("default", "a", "b")}
    for name, text in (("default", one), ("a", one), ("b", two)):
        files[name].write_text(text)
    book = PolicyBook(files["default"], tenants={"a": files["a"], "b": files["b"]})
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=audit, threads=1)
    assert asyncio.run(guard.reload()) == []
    assert audit.entries(kind="event") == []
    files["a"].write_text(two)
    assert asyncio.run(guard.reload()) == []
    [record] = audit.entries(kind="event")
    assert record.entry.action == "reloaded"
    [(tenant, (before, after))] = record.entry.body["tenants"].items()
    assert (tenant, before[:4], after[:4]) == ("a", "one@", "two@")
    guard.looker.close()


class Full:
    """An audit log on a full disk, until there is room."""

    def __init__(self, log):
        self.log, self.room = log, False

    async def append(self, entry):
        if not self.room:
            raise AuditError("no space")
        return await self.log.append(entry)

    def writable(self):
        return self.room


def test_a_start_puts_on_record_which_policies_hold_for_whom_from_then_on(checks, book, audit, tmp_path):
    own = "version: 1\nname: {}\nrules:\n  - {{id: r, when: {{prompt.sexual: 0.5}}, action: block}}\n"
    files = {name: tmp_path / f"{name}.yaml" for name in ("school", "candidate")}
    for name, file in files.items():
        file.write_text(own.format(name))
    book = PolicyBook(book.files[0], tenants={"school": files["school"]}, shadow=[files["candidate"]])
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=audit, threads=1)
    assert asyncio.run(guard.start()) == ""
    [event] = [record.entry for record in audit.entries()]
    school, candidate = book.policy_of("school"), book.shadow[0]
    assert (event.kind, event.action, event.tenant) == ("event", "started", "*")
    assert event.body == {
        "guard": event.body["guard"],
        "before": [],
        "after": [book.default.label, school.label, candidate.label],
        "sha256": {"before": {}, "after": {one.digest: one.label for one in (book.default, school, candidate)}},
        "tenants": {"school": [None, school.label]},
        "shadow": [candidate.label],
        "faults": [],
    }
    guard.looker.close()


def test_a_start_that_takes_several_tries_is_on_record_once_and_before_what_it_decides(guard, checks, audit):
    answer = checks[1].answer
    checks[1].answer = lambda subject: {}
    assert asyncio.run(guard.start()) != ""
    guard.check(prompt="clean")
    checks[1].answer = answer
    assert asyncio.run(guard.start()) == ""
    assert [record.entry.action for record in audit.reader.scan()] == ["started", "allow"]


def test_a_guard_whose_policies_are_not_on_record_is_not_ready_until_they_are(checks, book, audit):
    log = Full(audit)
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=log, threads=1)
    assert "not on record" in asyncio.run(guard.start())
    log.room = True
    fine, why = guard.ready()
    assert (fine, list(why)) == (False, ["audit"])
    assert asyncio.run(guard.start()) == ""
    assert guard.ready() == (True, {})
    assert [record.entry.action for record in audit.entries()] == ["started"]
    guard.looker.close()


def test_a_guard_that_need_not_record_starts_where_it_cannot(checks, book, audit):
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=Full(audit), audit_required=False, threads=1)
    assert asyncio.run(guard.start()) == ""
    assert guard.ready() == (True, {})
    guard.looker.close()


def test_where_a_record_is_required_no_decision_is_given_without_one(checks, book, audit):
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=Full(audit), threads=1)
    with pytest.raises(AuditError):
        guard.check(prompt="clean")
    guard.looker.close()


def test_where_no_record_is_required_the_receipt_says_that_there_is_none(checks, book, audit):
    log = Full(audit)
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=log, audit_required=False, threads=1)

    async def ask():
        case = guard.open(request("clean"), route="test")
        decision = await case.judge_request()
        receipt = await case.seal(decision, status="answered")
        return receipt, dict(case.headers(decision, receipt))["x-guardrail-receipt"]

    receipt, said = asyncio.run(ask())
    assert (receipt.recorded, said) == (False, f"{receipt.id}; not-recorded")
    assert guard.check(prompt="explicit").action is Action.BLOCK
    log.room = True
    receipt, said = asyncio.run(ask())
    assert (receipt.recorded, said) == (True, receipt.id)
    assert [record.entry.id for record in audit.entries()] == [receipt.id]
    guard.looker.close()


def test_a_reload_after_a_start_says_what_held_since_then(guard, book, audit):
    asyncio.run(guard.start())
    began = book.default
    book.files[0].write_text(book.files[0].read_text().replace("action: flag", "action: block"))
    assert asyncio.run(guard.reload()) == []
    started, reloaded = (record.entry for record in audit.reader.scan(kind="event"))
    assert started.body["guard"] == reloaded.body["guard"] != ""
    assert started.body["after"] == reloaded.body["before"] == [began.label]
    assert reloaded.body["sha256"]["before"] == {began.digest: began.label}


def test_a_reload_that_could_not_be_recorded_is_recorded_with_the_next_one(checks, book, audit):
    log = Full(audit)
    guard = Guard(checks, book, digest_key=b"d" * 32, audit=log, threads=1)
    before = book.labels()
    book.files[0].write_text(book.files[0].read_text().replace("action: flag", "action: block"))
    with pytest.raises(AuditError):
        asyncio.run(guard.reload())
    log.room = True
    for _ in range(2):
        assert asyncio.run(guard.reload()) == []
    [record] = audit.entries(kind="event")
    assert (record.entry.body["before"], record.entry.body["after"]) == (before, book.labels())
    guard.looker.close()


@pytest.mark.parametrize("told", ["u-1", "anna@example.org", "u" * 257, "\x01" * 199_000, "\ud800"])
def test_whom_a_caller_says_they_ask_for_is_on_record_as_a_digest_and_found_by_who_knows_the_name(guard, audit, told):
    async def ask(tenant):
        case = guard.open(replace(request("clean"), subject=told, tenant=tenant), route="test")
        await case.seal(await case.judge_request(), status="answered")
        return audit.get(case.id).entry

    one, again, other = (asyncio.run(ask(tenant)) for tenant in ("default", "default", "school"))
    assert one.body["subject"] == again.body["subject"] != other.body["subject"]
    for entry in (one, other):
        assert re.fullmatch("digest:[0-9a-f]{32}", entry.body["subject"])
        assert is_about(entry.body, told, entry.tenant, b"d" * 32)
        assert not is_about(entry.body, told + "x", entry.tenant, b"d" * 32)
        assert not is_about(entry.body, told, entry.tenant, b"e" * 32)
    assert not is_about(one.body, told, "school", b"d" * 32)


@pytest.mark.parametrize(
    ("kept", "told"),
    [("anna@example.org", "anna@example.org"), ("digest:ffc1f0fd826bf635081fa6bbc1cfeb62", "u" * 257)],
)
def test_a_record_of_before_subjects_were_digests_is_found_too(kept, told):
    assert is_about({"subject": kept}, told, "default", b"d" * 32)
    assert not is_about({"subject": kept}, told[1:], "default", b"d" * 32)
    assert not is_about({"subject": None}, told, "default", b"d" * 32)
    assert not is_about({}, told, "default", b"d" * 32)


class Counts(Unobserved):
    def __init__(self):
        self.decided = []

    def decision(self, action, stage):
        self.decided.append(action)


def test_a_streamed_answer_is_one_decision_of_the_metrics(checks, book):
    heard = Counts()
    guard = Guard(checks, book, digest_key=b"d" * 32, threads=1, observer=heard)

    async def ask():
        case = guard.open(request("clean"), route="test")
        decision = await case.judge_request()
        await case.seal(decision, status=STREAMING)
        await case.seal(decision, status="answered")

    asyncio.run(ask())
    assert heard.decided == ["allow"]
    guard.looker.close()


def test_a_text_that_came_back_alone_is_judged(guard):
    async def ask():
        case = guard.open(request("clean"), route="test")
        await case.judge_request()
        [decision] = await case.judge_outputs((), [Artifact(Kind.PROMPT, "data[0].revised_prompt", text="explicit")])
        return decision.action

    assert asyncio.run(ask()) is Action.BLOCK


def test_a_broken_picture_does_not_take_back_what_is_known_of_the_rest(guard):
    async def ask(text, *pictures):
        case = guard.open(request(text, *pictures), route="test")
        try:
            return await case.judge_request()
        except BadRequest:
            return case.so_far

    broken = png("cut")[:-20]
    refused = asyncio.run(ask("undress her", png("a person"), broken))
    assert (refused.action, refused.rules) == (Action.BLOCK, ("undress-request",))
    turned_back = asyncio.run(ask("sexual", png("fine"), broken))
    assert (turned_back.action, turned_back.would) == (Action.BLOCK, Action.FLAG)
    assert [reason.rule for reason in turned_back.reasons] == ["guard:unreadable_input", "sexual-prompt"]


def test_a_picture_that_cannot_be_read_is_blocked_by_name_and_its_policy_said_what_it_says_of_the_rest(guard, audit):
    """Nobody could look at it, so nobody may read it as a pass; and nobody can review it, so it is not held."""

    async def ask():
        case = guard.open(request("clean", png("fine"), png("cut")[:-20]), route="test")
        with pytest.raises(BadRequest) as caught:
            await case.judge_request()
        return case.so_far, await case.seal(case.so_far, status="unreadable_input"), str(caught.value)

    decision, receipt, said = asyncio.run(ask())
    entry = audit.get(receipt.id).entry
    assert (decision.action, decision.would, decision.stage.value) == (Action.BLOCK, Action.ALLOW, "input")
    assert dict(guard.open(request("x"), route="test").headers(decision, receipt))["x-guardrail-decision"] == "block"
    assert (entry.action, entry.body["would"]) == ("block", "allow")
    [reason] = entry.body["reasons"]
    assert reason["rule"] == "guard:unreadable_input"
    assert reason["says"] == said
    assert said.startswith("image[1]: ")


@pytest.mark.parametrize("status", sorted(UNDECIDED))
def test_where_nothing_was_decided_a_record_says_so_and_no_decision_is_counted(checks, book, audit, status):
    heard = Counts()
    guard = Guard(checks, book, digest_key=b"d" * 32, threads=1, observer=heard, audit=audit)

    async def ask(text):
        case = guard.open(request(text), route="test")
        await case.seal(await case.judge_request(), status=status)
        return audit.get(case.id).entry

    entry = asyncio.run(ask("sexual"))
    assert (entry.action, entry.body["would"], entry.body["status"]) == ("none", "flag", status)
    assert heard.decided == []
    # What was refused was decided: nothing after it makes that undone.
    assert asyncio.run(ask("explicit")).action == "block"
    assert heard.decided == ["block"]
    guard.looker.close()


@pytest.mark.parametrize("status", ["answered", "client_gone", "upstream_timeout", "upstream_cut"])
def test_where_all_that_was_there_was_looked_at_a_record_says_what_was_decided(guard, audit, status):
    async def ask():
        case = guard.open(request("sexual"), route="test")
        await case.seal(await case.judge_request(), status=status)
        return audit.get(case.id).entry.action

    assert asyncio.run(ask()) == "flag"


def test_a_decision_whose_record_cannot_be_written_is_not_counted(checks, book, audit):
    heard = Counts()
    guard = Guard(checks, book, digest_key=b"d" * 32, threads=1, observer=heard, audit=audit)
    audit.close()

    async def ask():
        case = guard.open(request("clean"), route="test")
        await case.seal(await case.judge_request(), status="answered")

    with pytest.raises(AuditError):
        asyncio.run(ask())
    assert heard.decided == []
    guard.looker.close()


def test_what_is_not_a_file_is_never_read(guard, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(BadRequest, match="it is no file"):
            guard.check(inputs=[path])


def test_a_file_that_no_picture_is_as_large_as_is_not_read(guard, tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(BadRequest, match="larger than"):
        guard.check(inputs=[tmp_path / "huge.png"])


@pytest.mark.parametrize("slot", ["mask", "markup", "field:extra"])
def test_whoever_is_in_a_mask_is_looked_for_in_the_result(guard, slot):
    """The name of a slot is the caller's word: a photograph that is sent as a mask is still somebody's."""

    async def ask():
        asked = Request(texts=(), inputs=(Artifact(Kind.INPUT, slot, data=png("a person")),))
        case = guard.open(asked, route="test")
        await case.judge_request()
        return await case.judge_outputs([Artifact(Kind.OUTPUT, "data[0]", data=png("a person, bare"))])

    (decision,) = asyncio.run(ask())
    assert "undress-result" in decision.rules


def test_a_picture_that_cannot_be_read_is_clean_to_no_check_not_even_one_that_would_not_look(guard, checks):
    decision = guard.check(inputs=[png("cut")[:-20]], outputs=[png("cut")[:-20]])
    of_pictures = [signal for signal in decision.evidence.signals if signal.check == "bytes"]
    assert len(of_pictures) == 4
    assert all(signal.score is None for signal in of_pictures)
    assert checks[1].batches == []
    for look in decision.receipt.looks[:2]:
        assert (look.checked, set(look.unchecked)) == ((), {"bytes"})
