"""The contract of a dialect, as tests: subclass it, give captures, get the tests.

    class TestPainter(DialectContract):
        dialect = Painter.open(Setup())
        captures = (Capture("generate", "/paint", body=b'{"words": "a red bicycle"}', texts=("a red bicycle",),
                            answer=b'{"picture": "iVBOR..."}', outputs=(PNG,)),)

A capture is what a real client sent and a real server answered, byte for byte. pytest collects the subclass by itself;
nothing here needs it otherwise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import pybase64

from guardrail.errors import AuditError, BadRequest, CheckError, ConfigError, GuardrailError, Overloaded, UpstreamError
from guardrail.types import Action, Decision, Kind, Reason, Receipt, Stage
from guardrail.upstream.dialect import (
    HOP_BY_HOP,
    Answer,
    Call,
    Dialect,
    Door,
    Event,
    Fetched,
    Foreseen,
    Headers,
    OneBad,
    Setup,
)

JSON: Headers = (("content-type", "application/json"),)
SENT_ANEW = HOP_BY_HOP | {"host", "content-length", "accept-encoding", "expect"}
CREDENTIAL = "Bearer sk-contract-7f3a"
# Clients try again on these, so none of them may say that a request was refused.
RETRIED = frozenset({408, 409, 425, 429, *range(500, 600)})
ODD_PATHS = ("/", "//", "/..", "/v1/../admin", "/unknown", "/v1/unknown", "/healthz")
# Put at every place of a body: words that no capture has, and what begins like a picture that no capture has.
SENTENCE = "words that stand where nobody looks"
STRANGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 16
GARBAGE = (b"", b"<html><body>It works</body></html>", b"{}", b"null", b"[", b'{"data": "x"}', b"\xff\xfe\x00")


@dataclass(frozen=True)
class Capture:
    """One call of a client, and what the generator answered.

    `texts` and `pictures` are what stands in the request, anywhere; `outputs` are the pictures in the answer. `sent` is
    the body that goes on where it is not the one that came: a reference resolved, a switch clamped (then `clamped`
    names it). `files` are what references lead to, by address or id. `told` is the answer as it leaves where that is
    not as it came: an address of the guard in place of the generator's. `streamed` says that the answer is a stream.
    """

    name: str
    path: str
    body: bytes = field(default=b"", repr=False)
    answer: bytes = field(default=b"", repr=False)
    texts: Sequence[str] = field(default=(), repr=False)
    pictures: Sequence[bytes] = field(default=(), repr=False)
    outputs: Sequence[bytes] = field(default=(), repr=False)
    method: str = "POST"
    query: str = ""
    headers: Headers = JSON
    answer_status: int = 200
    answer_headers: Headers = JSON
    sent: bytes | None = field(default=None, repr=False)
    clamped: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    told: bytes | None = field(default=None, repr=False)
    streamed: bool = False


class DialectContract:
    """What every dialect keeps. `closed` are further routes that must not be open."""

    dialect: ClassVar[Dialect]
    captures: ClassVar[Sequence[Capture]] = ()
    closed: ClassVar[Sequence[tuple[str, str]]] = ()
    garbage: ClassVar[Sequence[bytes]] = GARBAGE

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test that asks for a capture with each of them."""
        captures = self.captures
        if "stream" in metafunc.fixturenames:
            chosen = [one for one in captures if one.streamed]
            metafunc.parametrize("stream", chosen, ids=[one.name for one in chosen])
        if "whole" in metafunc.fixturenames:
            chosen = [one for one in captures if not one.streamed]
            metafunc.parametrize("whole", chosen, ids=[one.name for one in chosen])
        if "capture" in metafunc.fixturenames:
            metafunc.parametrize("capture", captures, ids=[one.name for one in captures])

    # ---------------------------------------------------------------------------------------------------- requests

    def test_there_is_something_to_go_by(self) -> None:
        assert self.captures
        assert self.dialect.name

    def test_its_routes_are_judged(self, capture: Capture) -> None:
        assert self.dialect.door(capture.method, capture.path) is Door.JUDGED

    def test_a_request_goes_on_as_it_came(self, capture: Capture) -> None:
        forward = self.read(capture).forward
        target = f"{capture.path}?{capture.query}" if capture.query else capture.path
        assert (forward.method, forward.path) == (capture.method, target)
        assert forward.body == (capture.body if capture.sent is None else capture.sent)

    def test_what_was_clamped_is_said(self, capture: Capture) -> None:
        assert sorted(self.read(capture).request.clamped) == sorted(capture.clamped)

    def test_credentials_and_headers_go_on_untouched_and_ours_do_not(self, capture: Capture) -> None:
        given = [
            *capture.headers,
            ("Authorization", CREDENTIAL),
            ("X-Client-Version", "3.1"),
            ("X-Guardrail-Key", "ours"),
        ]
        went = [(name.lower(), value) for name, value in self.read(capture, headers=given).forward.headers]
        for name, value in given:
            low = name.lower()
            if low.startswith("x-guardrail-"):
                assert low not in [there for there, _ in went]
            elif low not in SENT_ANEW:
                assert (low, value) in went

    def test_credentials_are_in_no_representation(self, capture: Capture) -> None:
        call = self.read(capture, headers=[*capture.headers, ("Authorization", CREDENTIAL)])
        assert CREDENTIAL not in repr(call)
        assert all(text not in repr(call) for text in capture.texts if len(text) > 8)

    def test_every_text_is_judged(self, capture: Capture) -> None:
        judged = [artifact.text or "" for artifact in self.read(capture).request.texts]
        missed = [text for text in capture.texts if not any(text in one for one in judged)]
        assert missed == []

    def test_every_input_picture_is_judged_and_no_other(self, capture: Capture) -> None:
        inputs = self.read(capture).request.inputs
        assert all(one.kind is Kind.INPUT for one in inputs)
        assert {one.data for one in inputs} == set(capture.pictures)

    def test_words_and_pictures_anywhere_in_a_body_are_judged_or_refused(self, capture: Capture) -> None:
        passed = []
        encoded = pybase64.b64encode(STRANGE).decode()
        values = (SENTENCE, {"text": SENTENCE}, {SENTENCE: 1}, encoded, f"data:image/png;base64,{encoded}")
        for where, body in changed(capture.body, values):
            try:
                call = self.read(capture, body=body)
            except BadRequest:
                continue
            seen = any(SENTENCE in (text.text or "") for text in call.request.texts)
            # Words where a picture is expected are judged as one, and no check can read it.
            seen = seen or any(one.data not in capture.pictures for one in call.request.inputs)
            there = SENTENCE.encode() in call.forward.body or carries(call.forward.body, STRANGE)
            if there and not seen:
                passed.append(where)
        assert passed == []

    def test_a_request_cut_short_is_a_bad_request_or_none_of_ours(self, capture: Capture) -> None:
        if not capture.body:
            return
        for body in (capture.body[: len(capture.body) // 2], capture.body[:-1], b"", b"\xff\xfe", b"null"):
            error = self.unreadable(capture, body)
            if error is not None:
                assert 400 <= error.status < 500
                assert all(text not in str(error) for text in capture.texts if len(text) > 8)

    # ----------------------------------------------------------------------------------------------------- answers

    def test_every_picture_of_an_answer_is_judged(self, whole: Capture) -> None:
        answer = self.answer(whole)
        assert len(answer.images) == len(answer.entries)
        assert all(one.kind is Kind.OUTPUT for one in answer.images)
        assert {one.data for one in answer.images} == set(whole.outputs)

    def test_a_clean_answer_leaves_as_it_came(self, whole: Capture) -> None:
        answer = self.answer(whole)
        told = whole.answer if whole.told is None else whole.told
        assert (answer.status, answer.body) == (whole.answer_status, told)
        reply = self.dialect.without(answer, {}, "replace")
        assert (reply.status, reply.body) == (whole.answer_status, told)

    def test_a_refused_picture_does_not_leave(self, whole: Capture) -> None:
        answer = self.answer(whole)
        one_bad: OneBad
        for one_bad in get_args(OneBad):
            for entry in set(answer.entries):
                reply = self.dialect.without(answer, {entry: refusal(Stage.OUTPUT)}, one_bad)
                for artifact, at in zip(answer.images, answer.entries, strict=True):
                    if at == entry or one_bad == "refuse-all":
                        assert not carries(reply.body, artifact.data or b""), (one_bad, entry)
                assert reply.status not in RETRIED

    def test_what_becomes_of_a_refused_call_is_foreseen(self, capture: Capture) -> None:
        """Metrics count it from 0. A dialect need not say so, but what it says must hold."""
        if not isinstance(self.dialect, Foreseen):
            return
        call = self.read(capture)
        known = self.dialect.foreseen.get(call.route)
        if known is None:
            # Nothing can be refused of a call that asks for nothing and whose answer shows nothing.
            assert call.request.texts == call.request.inputs == ()
            assert not capture.outputs
            return
        for stage in Stage:
            assert self.dialect.refuse(refusal(stage), stage, call).status in known.refused
        if not capture.streamed:
            answer = self.answer(capture)
            for entry in set(answer.entries):
                assert self.dialect.without(answer, {entry: refusal(Stage.OUTPUT)}, "replace").status in known.refused

    def test_a_picture_anywhere_in_an_answer_is_judged_or_does_not_leave(self, whole: Capture) -> None:
        passed = []
        encoded = pybase64.b64encode(STRANGE).decode()
        url = f"data:image/png;base64,{encoded}"
        for where, body in changed(whole.answer, (encoded, {"url": url}, f"here: ![it]({url}) it is")):
            try:
                answer = self.answer(whole, body)
            except UpstreamError:
                continue
            seen = any(one.data not in whole.outputs for one in answer.images)
            if carries(answer.body, STRANGE) and not seen:
                passed.append(where)
        assert passed == []

    def test_an_answer_cut_short_is_the_generators_fault(self, whole: Capture) -> None:
        if whole.outputs:
            self.raises_upstream(whole, whole.answer[: len(whole.answer) * 2 // 3])

    def test_an_answer_that_is_none_is_the_generators_fault(self, whole: Capture) -> None:
        if whole.outputs:
            for body in self.garbage:
                self.raises_upstream(whole, body)

    def test_a_compressed_answer_is_not_taken_for_a_clean_one(self, whole: Capture) -> None:
        headers = (*whole.answer_headers, ("content-encoding", "gzip"))
        self.raises_upstream(whole, whole.answer, headers)

    # ----------------------------------------------------------------------------------------------------- streams

    def test_a_stream_leaves_as_it_came_however_it_is_cut(self, stream: Capture) -> None:
        for size in (1 << 20, 1000, 7):
            events = self.stream(stream, size)
            assert b"".join(event.raw for event in events) == stream.answer
            assert {one.data for event in events for one in event.images} == set(stream.outputs)

    def test_no_byte_of_a_picture_leaves_before_it_is_whole(self, stream: Capture) -> None:
        for event in self.stream(stream, 1000):
            there = {one.data for one in event.images}
            assert all(one in there for one in stream.outputs if carries(event.raw, one))

    def test_a_stream_that_is_cut_is_the_generators_fault(self, stream: Capture) -> None:
        reader = self.dialect.read_stream(self.read(stream))
        try:
            reader.feed(stream.answer[: len(stream.answer) // 3])
            reader.close()
        except UpstreamError:
            return
        raise AssertionError("a stream that was cut passed for a whole one")

    def test_a_stream_can_be_refused_and_can_fail(self, stream: Capture) -> None:
        reader = self.dialect.read_stream(self.read(stream))
        said = reader.refuse(refusal(Stage.OUTPUT))
        assert said
        assert not any(carries(said, one) for one in stream.outputs)
        assert reader.fault(UpstreamError("it was cut"))

    # ------------------------------------------------------------------------------------------ refusals and faults

    def test_a_refusal_says_why_and_nothing_of_what_was_asked(self, capture: Capture) -> None:
        call = self.read(capture)
        for stage in Stage:
            reply = self.dialect.refuse(refusal(stage), stage, call)
            said = reply.body + repr(reply.headers).encode()
            assert b"rcp-contract" in said
            assert reply.status not in RETRIED
            assert not any(text.encode() in reply.body for text in capture.texts if len(text) > 8)
            assert not any(carries(reply.body, one) for one in capture.pictures)
            self.check_refusal(reply.status, reply.body, stage)

    def check_refusal(self, status: int, body: bytes, stage: Stage) -> None:
        """For a subclass: assert that this is the form that the clients of this protocol know."""

    def test_every_fault_has_a_native_form_that_says_nothing_of_the_inside(self) -> None:
        faults: tuple[tuple[GuardrailError, int | None], ...] = (
            (BadRequest("too large", status=413), 413),
            (UpstreamError("it was cut"), 502),
            (UpstreamError("it was late", status=504), 504),
            (Overloaded("full", retry_after_s=2.0), 503),
            (AuditError("disk full at /secret"), 503),
            (CheckError("secret"), 500),
            (ConfigError("secret"), 500),
        )
        for error, status in faults:
            reply = self.dialect.fault(error)
            assert reply.status == status, error
            assert b"secret" not in reply.body
            if isinstance(error, Overloaded):
                assert {name.lower(): value for name, value in reply.headers}["retry-after"] == "2"

    # ------------------------------------------------------------------------------------------------------ routes

    def test_what_is_not_known_is_closed(self) -> None:
        door = self.dialect.door
        for path in ODD_PATHS:
            assert door("POST", path) is not Door.JUDGED, path
            assert door("DELETE", path) is Door.CLOSED, path
        for capture in self.captures:
            for spelled in (capture.path + "/", capture.path + "/x", "/" + capture.path, capture.path + "%2f.."):
                assert door(capture.method, spelled) is Door.CLOSED, spelled
            assert door("TRACE", capture.path) is Door.CLOSED
        for method, path in self.closed:
            assert door(method, path) is Door.CLOSED, path

    def test_it_opens_by_itself_and_refuses_options_that_it_does_not_know(self) -> None:
        kind: Any = type(self.dialect)
        assert kind.open(Setup()).name == self.dialect.name
        try:
            kind.open(Setup(options={"no-such-option": 1}))
        except ConfigError:
            return
        raise AssertionError("an option that is not known was taken")

    # ------------------------------------------------------------------------------------------------------ helpers

    def read(self, capture: Capture, *, headers: Headers | None = None, body: bytes | None = None) -> Call:
        """The call as the server would have it read."""

        async def fetch(url: str, *, param: str = "file_id") -> Fetched:
            if url not in capture.files:
                raise BadRequest(f"the address in {param} could not be fetched", param=param, code="url_unreachable")
            return Fetched(capture.files[url], "image/png")

        return asyncio.run(
            self.dialect.read(
                capture.method,
                capture.path,
                capture.query,
                capture.headers if headers is None else headers,
                capture.body if body is None else body,
                fetch,
                fetch,
            )
        )

    def answer(self, capture: Capture, body: bytes | None = None, headers: Headers | None = None) -> Answer:
        """The answer as the server would have it read."""

        async def fetch(url: str, *, param: str) -> Fetched:
            if url not in capture.files:
                raise BadRequest(f"the address in {param} could not be fetched", param=param, code="url_unreachable")
            return Fetched(capture.files[url], "image/png")

        return asyncio.run(
            self.dialect.read_answer(
                self.read(capture),
                capture.answer_status,
                capture.answer_headers if headers is None else headers,
                capture.answer if body is None else body,
                fetch,
            )
        )

    def unreadable(self, capture: Capture, body: bytes) -> BadRequest | None:
        """What is wrong with this body, or None where it can be read."""
        try:
            self.read(capture, body=body)
        except BadRequest as error:
            return error
        return None

    def stream(self, capture: Capture, size: int) -> list[Event]:
        """The events of a streamed answer that comes in pieces of `size` bytes."""
        reader = self.dialect.read_stream(self.read(capture))
        events = [event for piece in pieces(capture.answer, size) for event in reader.feed(piece)]
        return [*events, *reader.close()]

    def raises_upstream(self, capture: Capture, body: bytes, headers: Headers | None = None) -> None:
        try:
            self.answer(capture, body, headers)
        except UpstreamError:
            return
        raise AssertionError(f"{capture.name}: no answer of a generator, and it passed: {body[:40]!r}")


def changed(body: bytes, values: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    """A JSON body with each of `values` at each place of it: in place of what is there, and as a field or an item more.
    Nothing for a body that is no JSON."""
    try:
        root = json.loads(body)
    except ValueError:
        return
    for path in _places(root, ()):
        for value in values:
            yield f"{path}: {str(value)[:40]}", json.dumps(_put(root, path, value)).encode()


def _places(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(node, dict):
        for key, member in node.items():
            yield from _places(member, (*path, key))
        yield (*path, "style")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _places(item, (*path, index))
        yield (*path, len(node))


def _put(node: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(node, list) and isinstance(step, int):
        there = node[step] if step < len(node) else None
        return [*node[:step], _put(there, rest, value), *node[step + 1 :]]
    return {**node, step: _put(node.get(step), rest, value)}


def refusal(stage: Stage, *rules: str) -> Decision:
    """A decision that refuses, on record as "rcp-contract"."""
    reasons = tuple(Reason(rule, Action.BLOCK, {}) for rule in rules or ("a-rule",))
    receipt = Receipt("rcp-contract", "contract@1", (), (), {})
    return Decision(Action.BLOCK, reasons, "contract@1", stage=stage, receipt=receipt)


def carries(body: bytes, picture: bytes) -> bool:
    """True when a picture is in these bytes: as it is, or in either alphabet of base64."""
    spelled: tuple[Callable[[bytes], bytes], ...] = (bytes, pybase64.b64encode, pybase64.urlsafe_b64encode)
    return bool(picture) and any(spell(picture).rstrip(b"=") in body for spell in spelled)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
