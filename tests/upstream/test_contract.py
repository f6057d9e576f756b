"""The contract kit finds what it is there to find: each test of it fails for a dialect that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardrail.errors import BadRequest
from guardrail.upstream.contract import Capture, DialectContract
from guardrail.upstream.dialect import Answer, Door, Reply
from guardrail.upstream.openai import OpenAIImages
from tests.upstream.asking import b64, png

PERSON, OUT, OTHER = png(12), png(22), png(32)
ANSWER = f'{{"data":[{{"b64_json":"{b64(OUT)}"}},{{"b64_json":"{b64(OTHER)}"}}]}}'.encode()
STREAM = f'data: {{"type":"image_generation.completed","b64_json":"{b64(OUT)}"}}\n\n'.encode()
WHOLE = Capture(
    "edit",
    "/v1/images/edits",
    body=f'{{"prompt":"make it autumn","image":"data:image/png;base64,{b64(PERSON)}"}}'.encode(),
    texts=("make it autumn",),
    pictures=(PERSON,),
    answer=ANSWER,
    outputs=(OUT, OTHER),
)
STREAMED = Capture(
    "stream",
    "/v1/images/generations",
    body=b'{"prompt":"a red bicycle","stream":true}',
    texts=("a red bicycle",),
    answer=STREAM,
    outputs=(OUT,),
    streamed=True,
)


class Broken(OpenAIImages):
    """Reads as the real one does, then breaks one thing."""

    def broken(self, call):
        return call

    async def read(self, *asked):
        return self.broken(await super().read(*asked))


class MissesText(Broken):
    def broken(self, call):
        return replace(call, request=replace(call.request, texts=()))


class MissesPicture(Broken):
    def broken(self, call):
        return replace(call, request=replace(call.request, inputs=()))


class Skips(Broken):
    """Does not look at fields that it does not know."""

    async def read(self, method, path, query, headers, body, *rest):
        call = await super().read(method, path, query, headers, WHOLE.body, *rest)
        return replace(call, forward=replace(call.forward, body=body))


class SkipsInAnswers(Broken):
    async def read_answer(self, call, status, headers, body, fetch):
        answer = await super().read_answer(call, status, headers, ANSWER, fetch)
        return replace(answer, body=body)


class Rewrites(Broken):
    def broken(self, call):
        return replace(call, forward=replace(call.forward, body=call.forward.body + b" "))


class LosesKey(Broken):
    def broken(self, call):
        kept = [pair for pair in call.forward.headers if pair[0].lower() != "authorization"]
        return replace(call, forward=replace(call.forward, headers=kept))


class Quotes(Broken):
    async def read(self, *asked):
        try:
            return await super().read(*asked)
        except BadRequest:
            raise BadRequest(f"cannot read {asked[4]!r}") from None


class MissesOutput(Broken):
    async def read_answer(self, *asked):
        answer = await super().read_answer(*asked)
        return replace(answer, images=answer.images[:1], entries=answer.entries[:1])


class Leaks(Broken):
    def without(self, answer, refused, one_bad):
        return Reply(answer.status, answer.headers, answer.body)


class TakesAll(Broken):
    async def read_answer(self, call, status, headers, body, fetch):
        return Answer(status, headers, body, (), ())


class Retried(Broken):
    def refuse(self, decision, stage, call=None):
        return replace(super().refuse(decision, stage, call), status=503)


class Opens(Broken):
    def door(self, method, path):
        return Door.JUDGED


class Talks(Broken):
    def fault(self, error):
        return replace(super().fault(error), body=str(error).encode())


class EndlessReader:
    """Lets every chunk go at once."""

    def feed(self, chunk):
        from guardrail.upstream.dialect import Event

        return [Event(chunk)]

    def close(self):
        return []


class Streams(Broken):
    def read_stream(self, call):
        return EndlessReader()


def kit(dialect) -> DialectContract:
    class Kit(DialectContract):
        captures = (WHOLE, STREAMED)

    Kit.dialect = dialect
    return Kit()


@pytest.mark.parametrize(
    ("broken", "test", "capture"),
    [
        (MissesText, "test_every_text_is_judged", WHOLE),
        (MissesPicture, "test_every_input_picture_is_judged_and_no_other", WHOLE),
        (Skips, "test_words_and_pictures_anywhere_in_a_body_are_judged_or_refused", WHOLE),
        (SkipsInAnswers, "test_a_picture_anywhere_in_an_answer_is_judged_or_does_not_leave", WHOLE),
        (Rewrites, "test_a_request_goes_on_as_it_came", WHOLE),
        (LosesKey, "test_credentials_and_headers_go_on_untouched_and_ours_do_not", WHOLE),
        (Quotes, "test_a_request_cut_short_is_a_bad_request_or_none_of_ours", WHOLE),
        (MissesOutput, "test_every_picture_of_an_answer_is_judged", WHOLE),
        (Leaks, "test_a_refused_picture_does_not_leave", WHOLE),
        (TakesAll, "test_an_answer_cut_short_is_the_generators_fault", WHOLE),
        (TakesAll, "test_an_answer_that_is_none_is_the_generators_fault", WHOLE),
        (TakesAll, "test_a_compressed_answer_is_not_taken_for_a_clean_one", WHOLE),
        (Retried, "test_a_refusal_says_why_and_nothing_of_what_was_asked", WHOLE),
        (Opens, "test_what_is_not_known_is_closed", None),
        (Talks, "test_every_fault_has_a_native_form_that_says_nothing_of_the_inside", None),
        (Streams, "test_a_stream_leaves_as_it_came_however_it_is_cut", STREAMED),
        (Streams, "test_no_byte_of_a_picture_leaves_before_it_is_whole", STREAMED),
        (Streams, "test_a_stream_that_is_cut_is_the_generators_fault", STREAMED),
    ],
)
def test_a_broken_dialect_is_found(broken, test, capture):
    given = () if capture is None else (capture,)
    getattr(kit(OpenAIImages()), test)(*given)
    with pytest.raises(AssertionError):
        getattr(kit(broken()), test)(*given)


def test_a_dialect_without_captures_does_not_pass_for_tested():
    empty = kit(OpenAIImages())
    type(empty).captures = ()
    with pytest.raises(AssertionError):
        empty.test_there_is_something_to_go_by()
