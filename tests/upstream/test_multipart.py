from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.upstream.multipart import MultipartFault, TooManyParts, boundary_of, media_type, parts
from tests.timing import best_s

HEAD = b'--b0\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
END = b"\r\n--b0--\r\n"


def cut(body: bytes, most: int = 10) -> list[tuple[str, bool, bytes]]:
    return [(part.name, part.is_file, body[part.start : part.end]) for part in parts(body, b"b0", most)]


def one(disposition: str, extra: str = "", content: bytes = b"x") -> bytes:
    return f"--b0\r\nContent-Disposition: {disposition}\r\n{extra}\r\n".encode() + content + END


def test_fields_and_files_are_cut_to_the_byte():
    body = HEAD + b"a \r\n fox\r\n" + one('form-data; name="image[]"; filename="a.png"', content=b"\r\n\r\n--b")
    assert cut(body) == [("prompt", False, b"a \r\n fox"), ("image[]", True, b"\r\n\r\n--b")]


def test_an_empty_field_is_empty():
    assert cut(HEAD + b"" + END) == [("prompt", False, b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n" + HEAD + b"x" + END,
        HEAD + b"x" + END + b"epilogue",
        HEAD + b"x",
        HEAD + b"x\r\n--b0",
        HEAD + b"x\r\n--b0 \r\n",
        HEAD + b"x\r\n--b0X\r\n" + HEAD[6:] + b"y" + END,
        HEAD + b"x\n--b0\n" + HEAD[6:] + b"y" + END,
        HEAD + b"text --b0 in the middle" + END,
        HEAD.replace(b"\r\n", b"\n") + b"x" + END,
        b"--b0\r\n\r\nno headers" + END,
        b'--b0\r\nContent-Disposition: form-data\r\n folded; name="prompt"\r\n\r\nx' + END,
        one('form-data; name="prompt"; name="image"'),
        one('form-data; name="prompt"; NAME="image"'),
        one("form-data; name*=utf-8''prompt"),
        one('form-data; name="a\\"; filename="b"'),
        one("form-data; name=\"image\"; filename*=utf-8''a.png"),
        one("form-data"),
        one('form-data; name=""'),
        one('form-data; name="pro mpt"'),
        one('form-data; name="_charset_"'),
        one('attachment; name="prompt"'),
        one('form-data; name="prompt"', "Content-Transfer-Encoding: base64\r\n"),
        one('form-data; name="prompt"', "Content-Transfer-Encoding: quoted-printable\r\n"),
        one('form-data; name="prompt"', "Content-Encoding: gzip\r\n"),
        one('form-data; name="prompt"', "Content-Type: text/plain; charset=utf-16\r\n"),
        one('form-data; name="prompt"', "Content-Type: multipart/mixed; boundary=c\r\n"),
        one('form-data; name="prompt"', 'Content-Disposition: form-data; name="image"\r\n'),
        one('form-data; name="prompt"', "X: " + "y" * 9000 + "\r\n"),
        HEAD + b"x\r\n" + HEAD + b"y" + END,
        HEAD + b"x\r\n" + one('form-data; name="Prompt"'),
        one('form-data; name="image"; filename="a"')[:-8] + b"--b0" + one('form-data; name="image"')[4:],
    ],
)
def test_what_parsers_read_differently_is_refused(body):
    with pytest.raises(MultipartFault):
        cut(body)


def test_files_of_one_name_may_repeat_and_all_are_seen():
    part = one('form-data; name="image"; filename="a"', content=b"1")[:-8]
    assert [name for name, _, _ in cut(part + part + END[2:])] == ["image", "image"]


def test_parts_are_read_to_the_limit_and_no_further():
    body = b"".join(one(f'form-data; name="f{i}"')[:-8] for i in range(3)) + END[2:]
    assert len(cut(body, 3)) == 3
    with pytest.raises(TooManyParts, match="more than 2"):
        cut(body, 2)


def test_a_hundred_thousand_tiny_parts_cost_next_to_nothing():
    body = one('form-data; name="a[]"')[:-8] * 100_000 + END[2:]

    def refused():
        with pytest.raises(TooManyParts):
            cut(body, 64)

    assert best_s(refused) < 0.1


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.binary(max_size=50)), max_size=6, unique_by=lambda p: p[0]))
def test_any_contents_without_the_boundary_come_back_as_they_were(fields):
    fields = [(name, content) for name, content in fields if b"--b0" not in content + b"\r\n"]
    body = b"".join(one(f'form-data; name="{name}"', content=content)[:-8] for name, content in fields) + END[2:]
    if fields:
        assert cut(body) == [(name, False, content) for name, content in fields]


@given(
    st.lists(st.sampled_from([b"--b0", b"\r\n", b"\n", b"--", HEAD, b'; name="x"', b"a", b"\x00", END]), max_size=12)
)
def test_no_mixture_of_pieces_raises_anything_but_a_fault(pieces):
    try:
        cut(b"".join(pieces))
    except MultipartFault:
        return


def lenient_names(body: bytes) -> list[str | None]:
    """The names that the standard library's mail parser sees: it takes bare line feeds, folding and much else."""
    message = BytesParser().parsebytes(b"Content-Type: multipart/form-data; boundary=b0\r\n\r\n" + body)
    found = message.get_payload() if message.is_multipart() else []
    return [str(part.get_param("name", header="content-disposition")) for part in found if not isinstance(part, str)]


LENIENT = [
    b"--b0\r\n",
    b"--b0\n",
    b"\n--b0\n",
    b"\r\n--b0\r\n",
    b"\r\n--b0--\r\n",
    b"\n",
    b"\r",
    b"text",
    b"--b0--",
    b'Content-Disposition: form-data; name="prompt"\r\n\r\n',
    b'Content-Disposition: form-data; name="image"\n\n',
    b'Content-Disposition: form-data;\r\n name="mask"\r\n\r\n',
    b"content-disposition:form-data; name=size\r\n\r\n",
]


@given(st.lists(st.sampled_from(LENIENT), max_size=9), st.booleans())
def test_what_is_accepted_holds_no_part_that_a_lenient_parser_sees_and_this_one_does_not(pieces, framed):
    body = b"".join([HEAD, *pieces, END]) if framed else b"".join(pieces)
    try:
        seen = [name for name, _, _ in cut(body)]
    except MultipartFault:
        return
    assert lenient_names(body) == seen


@given(st.text(max_size=60))
def test_no_content_type_raises_anything_but_a_fault(header):
    for text in (header, f"multipart/form-data; boundary={header}"):
        try:
            boundary_of(media_type(text)[1])
        except MultipartFault:
            continue


@pytest.mark.parametrize(
    "header",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        'multipart/form-data; boundary="a\\""',
        "multipart/form-data; boundary=" + "a" * 71,
        "multipart/form-data; boundary*=utf-8''a; boundary=b",
    ],
)
def test_a_boundary_that_is_missing_or_can_be_read_in_two_ways_is_refused(header):
    with pytest.raises(MultipartFault):
        boundary_of(media_type(header)[1])


def test_a_quoted_boundary_is_read():
    assert boundary_of(media_type('multipart/form-data; boundary="a b"')[1]) == b"a b"


@pytest.mark.parametrize(
    "header",
    [
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset*0=utf; charset*1=-7",
        'application/json; a="b; charset=utf-7"',
        'application/json; charset=utf-8; a="b; Charset=utf-7"',
    ],
)
def test_a_character_set_that_is_said_in_a_way_that_only_some_read_is_refused(header):
    with pytest.raises(MultipartFault):
        media_type(header)


def test_a_boundary_that_is_called_one_is_read():
    assert boundary_of(media_type("multipart/form-data; boundary=----WebKitFormBoundaryA")[1])
