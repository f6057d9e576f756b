import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.upstream.embedded import embedded
from tests.timing import assert_linear
from tests.upstream.asking import b64, png

PICTURE = png(7, 40)
URL = f"data:image/png;base64,{b64(PICTURE)}"


@pytest.mark.parametrize("around", ["{}", "![a b]({})", "<img alt='x' src=\"{}\">", "look:{}", "DATA and {} and more"])
def test_a_data_url_is_taken_out_of_its_text(around):
    found = embedded(around.format(URL))
    assert found.data == (URL,)
    assert b64(PICTURE)[:30] not in found.text
    assert not found.opaque


def test_two_data_urls_are_two_and_the_words_stay():
    found = embedded(f"one {URL} two {URL} three")
    assert found.data == (URL, URL)
    assert found.text.split() == ["one", "two", "three"]


@pytest.mark.parametrize(
    "text",
    [
        "how do I write data:image/png;base64, in a page?",
        "a link: https://a.example/page and [one](https://a.example/b)",
        "x // a comment, see http://a.example/",
        "```python\nreturn a[1](b)  # data:image/\n```",
        "你好" * 3000,
    ],
)
def test_words_about_pictures_are_words(text):
    found = embedded(text)
    assert (found.text, found.data, found.addresses, found.opaque, found.svg) == (text, (), (), False, "")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://a.example/x", "https://a.example/x"),
        (" https://a.example/x \n", "https://a.example/x"),
        ("see https://a.example/x.PNG?sig=1, it is good", "https://a.example/x.PNG?sig=1"),
        ("![a](https://a.example/x)", "https://a.example/x"),
        ("![a]( <https://a.example/x> )", "https://a.example/x"),
        ("![a](//a.example/x)", "https://a.example/x"),
        ("[![a](https://a.example/x)](https://b.example/)", "https://a.example/x"),
        ("<IMG width=3 src=https://a.example/x>", "https://a.example/x"),
        ("<img src='//a.example/x'/>", "https://a.example/x"),
        ("![a][b]\n\n[b]: https://a.example/x", "https://a.example/x"),
    ],
)
def test_addresses_that_are_shown_as_pictures_are_found(text, address):
    assert embedded(text).addresses[:1] == (address,)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("there: [view the image](https://a.example/x) so", "https://a.example/x"),
        ("[Afbeelding](https://a.example/x)", "https://a.example/x"),
        ("[点击查看图片](https://a.example/x)", "https://a.example/x"),
        ("it is at https://image.a.example/prompt/a%20cat today", "https://image.a.example/prompt/a%20cat"),
        ("it is at https://a.example/get?file=a.png&sig=1 today", "https://a.example/get?file=a.png&sig=1"),
        ("it is at https://a.example/get?id=1&format=webp today", "https://a.example/get?id=1&format=webp"),
    ],
)
def test_links_that_may_lead_to_pictures_are_found(text, link):
    found = embedded(text)
    assert (found.addresses, found.links) == ((), (link,))


@pytest.mark.parametrize(
    "text",
    [
        "[the report](https://a.example/x)",
        "[imaginary](https://a.example/x)",
        "it is at https://a.example/images/x today",
        "it is at https://a.example/get?format=json today",
        "[a] picture (https://a.example/x)",
    ],
)
def test_other_links_are_links(text):
    found = embedded(text)
    assert (found.addresses, found.links) == ((), ())


def test_an_address_alone_is_one_only_where_nothing_stands_around_it():
    assert embedded("https://a.example/x", whole=False).addresses == ()
    assert embedded("[b]: https://a.example/x").addresses == ()
    assert embedded("[b]: https://a.example/x", named=True).addresses == ("https://a.example/x",)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 5000,
        b64(png(1, 60)),
        "and: " + b64(png(1, 60)),
        "\n".join([b64(bytes(range(200)))[:60]] * 9),
        "data:image/svg+xml;utf8,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%3E",
        f"<img src='{URL[:200]}\n{b64(bytes(range(200)))}'>",
        URL[:-20] + "%3D%3D",
    ],
)
def test_what_may_be_a_picture_and_cannot_be_read_is_said(text):
    assert embedded(text).opaque


def test_svg_is_found_from_its_first_tag():
    assert embedded("here:\n<SVG xmlns='x'><rect/></SVG>").svg.startswith("<SVG")


@pytest.mark.parametrize(
    "piece", ["data:", "data:image/", "![", "](", "<img ", "https://", "//a ", "[b]: ", ";base64,", "A" * 50 + " "]
)
def test_a_hostile_text_takes_linear_time(piece):
    assert_linear(embedded, piece * 20_000)


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_hides_a_data_url(before, after):
    found = embedded(f"{before} {URL} {after}")
    assert found.opaque or URL in found.data
