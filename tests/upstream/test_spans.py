import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.upstream.spans import Json, JsonFault, JsonLimits, Node, listed_numbers, scan, splice, strings
from tests.timing import best_s

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", max_size=4), inner, max_size=4),
    max_leaves=20,
)


def rebuilt(node: Node, body: bytes):
    if node.kind is Json.OBJECT:
        return {key: rebuilt(member, body) for key, member in node.members.items()}
    if node.kind is Json.ARRAY:
        return [rebuilt(item, body) for item in node.items]
    if node.kind is Json.STRING:
        return node.text(body)
    return json.loads(body[node.start : node.end])


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_a_scan_reads_what_another_parser_reads(value, ascii_only, indent):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert rebuilt(scan(body, JsonLimits(depth=64)), body) == value


@given(st.binary(max_size=200))
def test_whatever_bytes_come_a_scan_reads_them_as_another_parser_does_or_refuses(body):
    try:
        node = scan(body)
    except JsonFault:
        return
    assert rebuilt(node, body) == json.loads(body.decode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":1,"A":2}',
        b'{"x":{"y":[{"b":1,"b":2}]}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":01}',
        b'{"a":1.}',
        b'{"a":+1}',
        b'{"a":0x10}',
        b'{"a":1}x',
        b'{"a":1}{"a":2}',
        b'{"a":1,}',
        b"[1,]",
        b"{'a':1}",
        b'{"a" 1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\x41"}',
        b'{"a":"new\nline"}',
        b'{"a":"' + b"x" * 5000 + b"\x00" + b'"}',
        b'{"a":"' + b"x" * 5000 + b"\xff" + b'"}',
        b'{"prompt\\u0000":1}',
        b'{"a":"never closed}',
        b'{"a":"closed\\"}',
        b"",
        b"   ",
        '{"a":1}'.encode("utf-16"),
        b'{"a":1 /* note */}',
        b"tru",
    ],
)
def test_what_parsers_read_differently_is_refused(body):
    with pytest.raises(JsonFault):
        scan(body)


def test_nesting_is_read_to_the_limit_and_no_deeper():
    limits = JsonLimits(depth=3)
    scan(b"[[[]]]", limits)
    with pytest.raises(JsonFault, match="deeper than 3"):
        scan(b"[[[[]]]]", limits)


def test_values_are_read_to_the_limit_and_no_further():
    limits = JsonLimits(values=4)
    scan(b"[1,2,3]", limits)
    with pytest.raises(JsonFault, match="more than 4 values"):
        scan(b"[1,2,3,4]", limits)


@pytest.mark.parametrize("length", [4000, 5000])
@pytest.mark.parametrize("sign", ["\x20", "\x7f", "é", "日本"])
def test_a_string_of_any_length_is_read_with_every_sign_it_may_have(length, sign):
    text = "a" * length + sign + "b"
    body = json.dumps([text], ensure_ascii=False).encode()
    assert scan(body).items[0].text(body) == text


@pytest.mark.parametrize("length", [4000, 5000])
@pytest.mark.parametrize("bad", [b"\x00", b"\x1f", b"\xc3\xa9\x1f", b"\x80", b"\xc3"])
def test_a_string_of_any_length_is_refused_for_a_control_character_and_for_what_is_not_utf_8(length, bad):
    with pytest.raises(JsonFault, match=r"control character|not UTF-8"):
        scan(b'["' + b"a" * length + bad + b'"]')


def test_numbers_count_only_inside_lists():
    assert listed_numbers(scan(b'{"n":1,"a":[1,[2,{"b":3}]],"c":{"d":4}}')) == 3


@pytest.mark.parametrize("piece", [b'\\"', b"\\/", b" ", b"a", b"\\\\"])
def test_a_hostile_string_takes_linear_time(piece):
    def cost(count: int) -> float:
        body = b'{"a":"' + piece * count + b'"}'
        return best_s(lambda: scan(body))

    assert cost(1_000_000) < 40 * max(cost(100_000), 0.001)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_splice_leaves_every_other_byte(body, data):
    cuts = sorted(
        data.draw(st.lists(st.integers(0, len(body)), min_size=2, max_size=8).filter(lambda c: len(c) % 2 == 0))
    )
    spans = list(zip(cuts[::2], cuts[1::2], strict=True))
    edits = [(a, b, b"<new>") for a, b in spans]
    outside, at = [], 0
    for a, b in spans:
        outside.append(body[at:a])
        at = b
    outside.append(body[at:])
    assert splice(body, edits) == b"<new>".join(outside)


def test_a_splice_without_edits_gives_the_same_object_back():
    body = b"untouched bytes"
    assert splice(body, []) is body


def test_edits_that_overlap_are_refused():
    with pytest.raises(ValueError, match="overlaps"):
        splice(b"0123456789", [(0, 5, b"a"), (4, 6, b"b")])


def test_every_string_is_found_with_its_path():
    body = b'{"a":["x",{"b":"y"}],"c":"z"}'
    found = {path: node.text(body) for path, node in strings(scan(body))}
    assert found == {("a", 0): "x", ("a", 1, "b"): "y", ("c",): "z"}


def test_long_base64_is_decoded_on_the_way_where_that_is_asked_for():
    picture = bytes(range(256)) * 100
    encoded = base64.b64encode(picture)
    body = b'{"a": "%s", "b": "%s\\n", "c": "%s!"}' % (encoded, encoded, encoded)
    root = scan(body, decoded=len(picture))
    assert root.members["a"].data == picture
    assert root.members["a"].text(body) == encoded.decode()
    assert root.members["b"].data is None
    assert root.members["b"].text(body) == encoded.decode() + "\n"
    assert root.members["c"].data is None
    assert root.members["c"].text(body) == encoded.decode() + "!"
    assert scan(body).members["a"].data is None
    assert scan(body, decoded=len(picture) - 5).members["a"].data is None


@pytest.mark.parametrize("wrong", [b"\x00", b"\n", b"\x1f"])
@pytest.mark.parametrize("place", [0, 5000, -1])
def test_what_may_not_stand_in_a_string_is_found_beside_base64_too(wrong, place):
    encoded = bytearray(base64.b64encode(bytes(9000)))
    encoded[place:place] = wrong
    with pytest.raises(JsonFault, match="control character"):
        scan(b'{"a": "%s"}' % bytes(encoded), decoded=1 << 20)
