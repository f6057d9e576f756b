from __future__ import annotations

import math

import pytest

from guardrail.audit.entry import MAX_BODY_BYTES, MAX_NAME, Entry, Row, to_entry, to_row
from guardrail.errors import AuditError

from .support import entry


def test_the_same_body_is_stored_the_same_whatever_the_order_of_its_keys():
    assert to_row(entry("a", body={"b": 1, "a": {"d": 2, "c": 3}})).body == '{"a":{"c":3,"d":2},"b":1}'
    assert to_row(entry("a", body={"a": {"c": 3, "d": 2}, "b": 1})).body == '{"a":{"c":3,"d":2},"b":1}'


def test_an_entry_comes_back_as_it_went_in():
    made = entry("a", body={"score": 0.1 + 0.2, "none": None, "text": "a\0b ✓", "list": [1, True]})
    assert to_entry(to_row(made)) == made


@pytest.mark.parametrize("name", ["id", "tenant", "action"])
def test_a_name_that_cannot_be_stored_is_refused(name):
    to_row(entry("a", **{name: "x" * MAX_NAME}))
    for bad in ("", "x" * (MAX_NAME + 1), "a\0b", "\ud800"):
        with pytest.raises(AuditError, match=f"its {name} must be"):
            to_row(entry("a", **{name: bad}))


def test_a_time_that_is_no_number_is_refused():
    for bad in (math.nan, math.inf):
        with pytest.raises(AuditError, match="its time"):
            to_row(entry("a", at=bad))


def test_an_unknown_kind_is_refused():
    with pytest.raises(AuditError, match="decision, ruling, event"):
        to_row(entry("a", kind="verdict"))


@pytest.mark.parametrize("body", [{"x": object()}, {"x": "\ud800"}, [1], "text"])
def test_a_body_that_is_no_json_object_is_refused_and_never_quoted(body):
    with pytest.raises(AuditError) as caught:
        to_row(entry("a", body=body))
    assert "text" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_body_over_the_limit_is_refused():
    frame = len('{"x":""}')
    to_row(entry("a", body={"x": "y" * (MAX_BODY_BYTES - frame)}))
    with pytest.raises(AuditError, match="at most"):
        to_row(entry("a", body={"x": "y" * (MAX_BODY_BYTES - frame + 1)}))


def test_a_stored_row_that_is_no_entry_is_an_error_that_says_what_to_run():
    for row in (Row("decision", "a", 1.0, "t", "allow", "[1"), Row("verdict", "a", 1.0, "t", "allow", "{}")):
        with pytest.raises(AuditError, match="audit verify"):
            to_entry(row)


def test_an_entry_is_immutable():
    with pytest.raises(AttributeError):
        entry("a").id = "b"
    assert isinstance(entry("a"), Entry)
