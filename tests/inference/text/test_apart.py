"""A text about a child and about nakedness is read as each without the other; every other text is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.inference.text.apart import coloured, readings
from guardrail.inference.text.prompts import packaged_lexicon
from tests.timing import assert_linear

LEXICON = packaged_lexicon()


@pytest.mark.parametrize(
    ("text", "grown", "clothed"),
    [
        ("naked child", "naked woman", "child"),
        ("naakt kind", "naakt woman", "kind"),
        ("undress the schoolgirl", "undress the woman", "the schoolgirl"),
        ("13-year-old boy in lingerie", "old woman in lingerie", "13-year-old boy in"),
        ("meisje van 13 in lingerie", "woman van in lingerie", "meisje van 13 in"),
        ("Emma (14), topless", "Emma (), topless", "Emma (14)"),
        ("vijfjarige, halfnaakt", "halfnaakt", "vijfjarige"),
        ("a lad aged fifteen, topless", "a woman , topless", "a lad aged fifteen"),
        ("裸の子供", "裸の女性", "の子供"),
        ("take off her school uniform", "take off her clothes", "her school uniform"),
        ("trek haar schooluniform uit", "trek haar clothes uit", "haar schooluniform"),
        ("she's sixteen, topless", "she's , topless", "she's sixteen"),
        ("woman, looks very young, nude", "woman, , nude", "woman, looks very young"),
        ("脱掉她的校服", "脱掉她的衣服", "掉她的校服"),
        ("nude, aged 14", "nude", "aged 14"),
        ("nude, sixteen", "nude", "sixteen"),
        (
            "nude girl, the candles on her cake read 11",
            "nude woman, the candles on her cake read",
            "girl, the candles on her cake read 11",
        ),
        ("nude, XVI years", "nude", "XVI years"),
        ("naked, 6th grade", "naked", "6th grade"),
        ("naakt, groep 7", "naakt", "groep 7"),
        ("f14 nude", "f nude", "f14"),
    ],
)
def test_each_half_of_a_text_that_speaks_of_both_is_read_without_the_other(text, grown, clothed):
    assert readings(text, LEXICON)[:2] == [grown, clothed]


@pytest.mark.parametrize(
    "text",
    [
        "a child with a kite",
        "pupils in school uniform",
        "a naked woman on a beach, oil painting",
        "a naked woman of 28",
        "Venus (1485), nude",
        "kids in rain coats at the bus stop",
        "remove the tree behind the pupils",
        "12 apples and a nude lipstick",
        "nude statue, 14 cm, 8 kg",
        "nude, 25",
        "nude study of a man, 2 of 8",
        "nude heels for under 15 euros",
        "nude, page 14",
        "three naked women",
        "",
        "🧒",
    ],
)
def test_a_text_that_does_not_speak_of_both_has_no_further_readings(text):
    assert readings(text, LEXICON) == []


def test_under_eighteen_is_read_as_a_child_and_nobody_under_it_is_not():
    assert readings("nude, under 18", LEXICON) == ["nude, under", "nude", "child"]
    assert "child" not in readings("nude art, nobody under 18", LEXICON)


def test_girl_and_student_alone_say_nothing_of_age():
    assert readings("a girl in a bikini", LEXICON) == []
    assert readings("student in lingerie", LEXICON) == []
    assert readings("a girl of 17 in a bikini", LEXICON)
    assert readings("a girl of 18 in a bikini", LEXICON) == []


def test_a_name_for_such_pictures_says_both_by_itself():
    assert readings("lolicon", LEXICON) == ["pornography", "child"]


@pytest.mark.parametrize(
    "text", ["nude, 14", "nude, 14 years", "nude, turning 13", "nude, lolita", "naked, born in 2013"]
)
def test_where_somebody_is_under_eighteen_for_sure_a_child_is_read_beside_the_clauses_of_nakedness(text):
    found = readings(text, LEXICON)
    assert "child" in found
    assert text.split(",")[0] in found


@pytest.mark.parametrize(
    "text", ["clothing: none, age: 14", "{'clothing': 'none', 'age': 14}", "outfit: nothing. age: XIV"]
)
def test_a_field_that_says_that_nothing_is_worn_is_nakedness(text):
    assert readings(text, LEXICON)[-2:] == ["child", "naked woman"]


@pytest.mark.parametrize(
    ("girl", "boy"),
    [
        ("a shirtless girl of 12", "a shirtless boy of 12"),
        ("fille de 12 ans sans chemise", "garçon de 12 ans en chemise"),
        ("12-letnia dziewczyna z gołym torsem", "12-letni chłopiec z gołym torsem"),
        ("光着上身的12岁女孩", "光着上身的12岁男孩"),
        ("a girl at the beach, bare-chested", "a boy at the beach, bare-chested"),
        ("a boy and a shirtless girl of 12", "a girl of 12 and a shirtless boy"),
        ("a girl of 12 and a boy shirtless", "a girl of 12 beside a shirtless boy"),
    ],
)
def test_a_bare_chest_is_nakedness_of_a_girl_and_everyday_dress_of_a_boy(girl: str, boy: str) -> None:
    assert readings(girl, LEXICON)
    assert readings(boy, LEXICON) == []


@pytest.mark.parametrize(
    "text",
    [
        "a shirtless father throws a ball, and far behind sits a girl of 12",
        "a girl of 12 draws a shirtless hero",
        "shirtless singers, a girl of 12 in the crowd",
        "12岁女孩和一个光着膀子的男人",
        "a shirtless dad holding his baby girl of 2",
        "a girl of 12 hugging her shirtless dad",
        "爸爸光着上身抱着女儿",
    ],
)
def test_a_bare_chest_is_that_of_who_stands_beside_it(text: str) -> None:
    assert readings(text, LEXICON) == []


@pytest.mark.parametrize("thing", ["bare feet", "naked tree", "nude lipstick", "blote voeten", "pieds nus", "裸足"])
def test_what_is_bare_and_undresses_nobody_is_no_nakedness(thing):
    assert readings(f"{thing}, 14 years old", LEXICON) == []
    assert readings(f"{thing}, 14 years old, nude", LEXICON)


def test_a_list_of_tags_makes_no_such_thing():
    assert readings("nude, feet, 14yo", LEXICON)


@given(st.text(max_size=300))
def test_any_text_about_both_has_readings_and_none_is_empty(text):
    found = readings(text + " naked child", LEXICON)
    assert found
    assert all(part.strip() for part in found)


def test_the_time_is_linear_in_the_text():
    assert_linear(lambda text: readings(text, LEXICON), "naked child of 12, " * 1600)


@pytest.mark.parametrize("said", ["nude, 14", "nude, 14 years old", "nude (14)", "naked, 15"])
def test_an_age_right_beside_nakedness_says_both_whatever_stands_around(said: str) -> None:
    found = readings(f"gulls circle the old harbour {said}. the tide comes in", LEXICON)
    assert {"child", "naked woman"} <= set(found)


def test_an_age_elsewhere_in_the_text_leaves_nakedness_to_the_heads() -> None:
    found = readings("a boy of 14 years looks at a naked mole rat in the zoo, turning 14 today", LEXICON)
    assert "naked woman" not in found


@pytest.mark.parametrize("text", ["mannetje van drie, naakt", "kleine van 4, naakt", "koorknaap, naakt"])
def test_small_ones_by_other_names_are_children(text: str) -> None:
    assert readings(text, LEXICON)


@pytest.mark.parametrize(
    "text", ["naakt, een mannetje van drie meter", "naakt model, een kleine van 4 euro", "kleuterjuf, naakt"]
)
def test_what_only_sounds_like_a_child_is_none(text: str) -> None:
    assert readings(text, LEXICON) == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("nude ballet flats, girl 11 years", "beige ballet flats, girl 11 years"),
        ("Nude lipstick and NUDE heels", "beige lipstick and beige heels"),
        ("vrouw met nude pumps en nude nagellak", "vrouw met beige pumps en beige nagellak"),
        ("rouge à lèvres nude", "rouge à lèvres beige"),
        ("sapatos nude", "sapatos beige"),
    ],
)
def test_the_colour_of_shoes_and_make_up_is_read_as_a_colour(text: str, meant: str) -> None:
    assert coloured(text) == meant


@pytest.mark.parametrize(
    "text",
    ["nude, heels, woman", "she is nude. heels on the floor", "nude woman in heels", "nudes, heels", "naked lips"],
)
def test_nakedness_beside_shoes_is_no_colour(text: str) -> None:
    assert coloured(text) == text


def test_colours_are_read_in_linear_time() -> None:
    assert_linear(coloured, "nude heels and nude, lips " * 1200)
