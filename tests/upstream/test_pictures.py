import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.upstream import pictures
from tests.upstream.asking import b64, png


@given(st.binary(min_size=1, max_size=300))
def test_base64_comes_back_as_it_was_in_either_alphabet(data):
    standard = b64(data).encode()
    assert pictures.decode_base64(standard, 1000) == pictures.Decoded(data, True)
    url_safe = standard.translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"=")
    assert pictures.decode_base64(url_safe, 1000).data == data


@given(st.binary(max_size=200))
def test_bytes_that_are_not_base64_are_refused_and_never_raise_anything_else(data):
    for decode in (pictures.decode_base64, pictures.decode_data_url):
        try:
            decode(data, 1000)
        except pictures.PictureFault:
            continue


@pytest.mark.parametrize("text", [b"ab-_+/ab", b"QUJD!!!!", b"=", b"", b"QQ==QQ==", b"A"])
def test_wrong_base64_is_refused(text):
    with pytest.raises(pictures.PictureFault):
        pictures.decode_base64(text, 100)


def test_a_picture_is_decoded_up_to_the_limit_and_not_one_byte_over():
    data = png()
    assert pictures.decode_base64(b64(data).encode(), len(data)).data == data
    with pytest.raises(pictures.TooLarge):
        pictures.decode_base64(b64(data).encode(), len(data) - 1)


def test_url_safe_base64_is_marked_as_open_to_another_reading():
    assert pictures.decode_base64(b"-_-_", 10).plain is False


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"\x00\x00\x00\x1cftypheic", "image/heic"),
        (b"  <svg xmlns=", "image/svg+xml"),
        (b"<?xml version='1.0'?><svg>", "image/svg+xml"),
        (b"a plain text", None),
        (b"", None),
    ],
)
def test_the_first_bytes_say_what_a_file_is(head, media_type):
    assert pictures.sniff(head) == media_type


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("data:image/png;base64,AAAA", True),
        (" \n DATA:IMAGE/png;base64,AAAA", True),
        ("da\tta:image/png;base64,AAAA", True),
        ("data:,x", True),
        ("data: show a chart of it", False),
        ("a data:image", False),
    ],
)
def test_what_claims_to_be_a_data_url_is_seen(text, claims):
    assert pictures.is_data_url(text) is claims


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("https://a/b", "https"),
        ("HTTPS:a.example/b", "https"),
        ("\x01 ht\ntps://a", "https"),
        ("file:///etc/passwd", "file"),
        ("ftp://a", "ftp"),
        ("https:\\\\a", "https"),
        ("a fox: red", None),
        ("https://a is a nice place", None),
        ("1024x1024", None),
    ],
)
def test_an_address_is_known_in_every_form_that_a_browser_takes(text, scheme):
    assert pictures.url_scheme(text) == scheme


def test_base64_of_a_picture_is_seen_through_white_space():
    text = b64(png())
    assert pictures.looks_like_base64_picture(text)
    assert pictures.looks_like_base64_picture("\n ".join(text[i : i + 7] for i in range(0, len(text), 7)))
    assert not pictures.looks_like_base64_picture("a quiet harbour in the morning light, boats")
    assert not pictures.looks_like_base64_picture("BM" + "a" * 40)


@pytest.mark.parametrize(
    ("head", "plain"),
    [
        ("data:image/png;base64,", True),
        ("data:image/svg+xml;base64,", True),
        ("data:application/octet-stream;base64,", True),
        ("data:application/pdf;base64,", False),
        ("data:text/plain;base64,", False),
        ("data:video/mp4;base64,", False),
        ("data:;base64,", False),
        ("DATA:image/png;base64,", False),
        ("data:image/png;BASE64,", False),
        ("data:image/png;name=a.png;base64,", False),
    ],
)
def test_a_data_url_that_is_called_anything_but_a_picture_is_written_anew(head, plain):
    """Whoever goes by the name would read the same bytes as a document."""
    picture = png(7)
    found = pictures.decode_data_url(f"{head}{b64(picture)}".encode(), 10_000)
    assert (found.data, found.plain) == (picture, plain)
