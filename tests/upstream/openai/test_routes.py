import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.upstream.dialect import Door
from guardrail.upstream.openai import OpenAIImages

door = OpenAIImages().door
JUDGED = [f"/v1/images/{name}" for name in ("generations", "edits", "variations")]
PASSED = ["/v1/models", "/v1/models/gpt-image-1.5", "/v1/models/ft:gpt-4o_x"]


@pytest.mark.parametrize("path", JUDGED)
def test_picture_routes_are_judged_with_and_without_version(path):
    assert door("POST", path) is Door.JUDGED
    assert door("POST", path.removeprefix("/v1")) is Door.JUDGED


@pytest.mark.parametrize("path", PASSED)
def test_the_list_of_models_passes(path):
    assert door("GET", path) is Door.PASSED


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/images/generations"),
        ("post", "/v1/images/generations"),
        ("PUT", "/v1/images/edits"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/x"),
        ("HEAD", "/v1/models"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files/file-1/content"),
        ("POST", "/v1/content_provenance_checks"),
        ("POST", "/v1/images"),
        ("POST", "/v2/images/generations"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/."),
        ("GET", "/v1/models/.."),
        ("GET", "/v1/models/../files"),
        ("GET", "/v1/models/..%2ffiles"),
        ("GET", "/v1/models/%2e%2e"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/models/a\n"),
        ("GET", "/v1/models\n"),
        ("GET", "/v1/models/..;"),
        ("GET", "/v1/models/" + "a" * 129),
    ],
)
def test_whatever_is_not_on_the_list_is_closed(method, path):
    assert door(method, path) is Door.CLOSED


TRICKS = [
    "%2e",
    "%2E%2E",
    "//",
    "/./",
    "/../",
    ";",
    ";x=1",
    "/",
    "%2f",
    "%00",
    " ",
    "\t",
    "?",
    "#",
    "\\",
    "A",
    "é",
    "\u2215",
]


@given(st.sampled_from(JUDGED + PASSED), st.data(), st.sampled_from(TRICKS), st.sampled_from(["GET", "POST"]))
def test_no_trick_in_a_path_opens_a_door(path, data, trick, method):
    at = data.draw(st.integers(0, len(path)))
    bent = path[:at] + trick + path[at:]
    letters_of_a_model = method == "GET" and trick == "A" and at >= len("/v1/models/")
    assert letters_of_a_model or door(method, bent) is Door.CLOSED


@given(st.sampled_from(JUDGED), st.integers(0, 21))
def test_another_case_is_another_path(path, at):
    bent = path[:at] + path[at : at + 1].upper() + path[at + 1 :]
    assert bent == path or door("POST", bent) is Door.CLOSED
