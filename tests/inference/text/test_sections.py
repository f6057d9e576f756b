"""Sections: what a prompt's own syntax says, and what it cannot hide."""

from __future__ import annotations

import json
import re

import pytest

from guardrail.inference.text.sections import Sections, sections
from tests.timing import assert_linear


def test_a_prompt_in_words_is_one_section() -> None:
    assert sections("a red coat").asked == ("a red coat",)
    assert sections("a red coat").unwanted == ()


def test_what_follows_a_negative_line_is_unwanted_up_to_the_settings() -> None:
    found = sections("a coat\nNegative prompt: nude, hat\nSteps: 20")
    assert found.asked == ("a coat\n\nSteps: 20",)
    assert found.unwanted == (" nude, hat",)


def test_a_switch_ends_at_the_next_switch() -> None:
    found = sections("a coat --no nude hat --ar 3:2")
    assert found.unwanted == ("nude hat ",)
    assert "--ar 3:2" in found.asked[0]


def test_nothing_but_a_negative_prompt_is_what_is_asked() -> None:
    assert sections("Negative prompt: nude") == sections("Negative prompt: nude")
    assert sections("Negative prompt: nude").asked == ("Negative prompt: nude",)
    assert sections("--no nude").asked == ("--no nude",)


def test_the_word_negative_in_a_sentence_hides_nothing() -> None:
    text = "a photo negative prompt card: nude woman"
    assert sections(text).asked == (text,)


def test_json_gives_each_text_and_all_together() -> None:
    found = sections(json.dumps({"edit": "remove", "what": ["her", "coat"], "negative_prompt": "hat", "seed": 3}))
    assert found.asked == ("remove", "her, coat", "remove. her, coat", "edit: remove. what: her, coat")
    assert found.unwanted == ("hat",)
    assert sections(json.dumps({"prompt": "remove her coat", "seed": 3})).asked == ("remove her coat",)
    assert sections('\n{"prompt": "a coat", "negative_prompt": "hat"}') == Sections(("a coat",), ("hat",))


@pytest.mark.parametrize(
    "prompt",
    [
        '{"prompt": "a harbour", "size": "take her coat off"}',
        '{"prompt": "a harbour", "model": {"text": "take her coat off"}}',
        '{"prompt": "a harbour", "sampler": ["take her coat off"]}',
        '{"prompt": "take her coat off", "prompt": "a harbour"}',
        '{"prompt": "a harbour", "take her coat off": true}',
        '{"prompt": "a harbour", "take_her_coat_off": 1}',
    ],
)
def test_a_wish_is_read_wherever_it_stands_in_json(prompt: str) -> None:
    """A generator that reads language reads all of the text: every field, every name, one as often as it stands."""
    assert "take her coat off" in sections(prompt).asked


def test_what_a_field_says_is_read_with_its_name() -> None:
    found = sections('{"subject": "a girl", "age": 12, "coat": "none", "barefoot": true, "hat": false, "steps": 20}')
    assert found.asked[-1] == "subject: a girl. age: 12. coat: none. barefoot: yes. hat: no"
    assert found.asked[:2] == ("a girl", "none")


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ('{"undress": "her"}', "undress: her"),
        ('{"undress": {"target": "her"}}', "undress target: her"),
        ('{"remove_clothes": {"subject": "woman", "now": true}}', "remove clothes subject: woman. now: yes"),
        ('{"remove": [{"item": "coat"}, {"item": "hat"}]}', "remove item: coat. item: hat"),
        ('{"edit": {"seed": 3, "undress": {"target": "her"}}}', "edit undress target: her"),
    ],
)
def test_what_stands_within_a_field_is_read_with_the_name_of_that_field(prompt: str, said: str) -> None:
    assert sections(prompt).asked[-1] == said


@pytest.mark.parametrize("prompt", ['{"prompt": "a coat"}', '{"input": {"text": "a coat"}}', '[{"content": "a coat"}]'])
def test_the_name_of_what_only_carries_a_text_says_nothing(prompt: str) -> None:
    assert sections(prompt).asked == ("a coat",)


@pytest.mark.parametrize("inside", ["1", '"x", 1', '{"a": 1}', "[1]", '[{"a": "x"}, 1]'])
def test_a_name_is_said_once_for_all_that_stands_within_it(inside: str) -> None:
    """A long name said beside each of many numbers would make a text as long as the square of the prompt."""
    prompt = '{"' + "coat " * 2_000 + '": [' + ", ".join([inside] * 2_000) + "]}"
    assert sum(map(len, sections(prompt).asked)) < 4 * len(prompt)


@pytest.mark.parametrize("name", ["exclude", "avoid", "negatives", "negative_prompts", "Unwanted"])
@pytest.mark.parametrize("said", ["nude", ["nude"]])
def test_a_field_of_what_is_not_wanted_has_several_names(name: str, said: object) -> None:
    assert sections(json.dumps({"prompt": "a harbour", name: said})) == Sections(("a harbour",), ("nude",))


def test_nudity_that_is_switched_off_is_not_asked_for() -> None:
    said = {"nsfw": False, "allow_nudity": "no", "explicitContent": 0, "prompt": "a harbour"}
    assert sections(json.dumps(said)) == Sections(("a harbour",), ("nsfw", "allow nudity", "explicit Content"))
    assert "nsfw: yes" in sections('{"nsfw": true, "prompt": "a harbour"}').asked[-1]
    assert "clothes: no" in sections('{"clothes": false, "prompt": "a harbour"}').asked[-1]
    assert "naked" in sections('{"nude": 0.9, "mood": "naked"}').asked[0]


def test_the_weight_of_what_is_unwanted_is_no_part_of_its_name() -> None:
    assert sections("a woman --no clothes::2, hat:1.4").unwanted[0].split() == ["clothes", ",", "hat"]


def test_what_says_no_more_than_a_setting_is_left_out() -> None:
    said = {"prompt": "a harbour", "model": "FLUX.1 dev", "sampler": "DPM++ 2M Karras", "size": "1024x1024", "seed": 7}
    assert sections(json.dumps(said)).asked == ("a harbour",)


def test_broken_json_is_read_as_text() -> None:
    assert "remove" in sections('{"edit": "remove').asked[0]


@pytest.mark.parametrize("depth", [400, 495, 500, 700, 985, 5000])
def test_json_of_any_depth_is_read_without_an_error(depth: int) -> None:
    found = sections('{"a":' * depth + '"naked"' + "}" * depth)
    assert any("naked" in part for part in found.asked)


def test_json_too_deep_is_read_as_text_and_not_dropped() -> None:
    value: object = "remove her coat"
    for _ in range(30):
        value = {"in": value}
    assert "remove her coat" in sections(json.dumps(value)).asked[0]
    assert sections("[" * 100_000).asked


def test_weights_and_brackets_are_taken_off() -> None:
    assert sections("((coat:1.4)), [hat], <lora:style:0.8>").asked[0].split() == ["coat", ",", "hat", ",", "style"]


@pytest.mark.parametrize("tag", ["<lora:undress_v2:1>", "<lyco:UndressV2:0.8>", "<lora:undress-2:1>"])
def test_the_name_of_a_lora_is_read_as_words(tag: str) -> None:
    assert "undress" in sections(f"a woman {tag}").asked[0].lower().split()


def test_parts_drawn_one_after_another_or_by_chance_are_lines_of_their_own() -> None:
    assert sections("a harbour BREAK a nude woman").asked[0].splitlines()[1].strip() == "a nude woman"
    assert "nude woman" in [line.strip() for line in sections("{dressed|nude woman}").asked[0].splitlines()]
    assert "\n" not in sections("HIM AND HER").asked[0]


@pytest.mark.parametrize("name", ["exclude", "avoid", "unwanted", "Excluded", "exclusions"])
@pytest.mark.parametrize(
    "said",
    [
        "her dress",
        "all clothes",
        ["dress"],
        "clothed, nude instead",
        "not nude",
        "naked girl",
        "nothing and show this woman nude",
        {"clothes": True},
        {"dress": "all"},
        {"exclude": "nude"},
        {"nude": False},
        {"negative": "nude"},
        ["undress this woman"],
    ],
)
def test_a_field_that_may_be_an_instruction_hides_none(name: str, said: object) -> None:
    """Who reads language does what "avoid" and "exclude" say; only nakedness by itself is what they do not want."""
    told = sections(json.dumps({"prompt": "a woman", name: said})).asked[-1]
    assert name in told
    words = json.dumps(said).replace("true", "").replace("false", "")
    assert all(word in told for word in re.findall("[a-z]+", words))


@pytest.mark.parametrize("said", ["nudity", "nudity, nsfw", ["nude", "naked people"], {"nudity": True}, "naaktheid"])
def test_nakedness_that_is_to_be_avoided_is_not_asked_for(said: object) -> None:
    assert sections(json.dumps({"prompt": "a harbour", "avoid": said})).asked == ("a harbour",)


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("no_nudity", False),
        ("block nsfw", False),
        ("censor_nudity", "off"),
        ("hide nude", "never"),
        ("naked teen girl", 0),
        ("nude woman posing", "no"),
        ("nude", ""),
        ("adult", False),
    ],
)
def test_what_is_no_switch_for_nakedness_is_not_switched_off(switch: str, value: object) -> None:
    told = sections(json.dumps({"prompt": "a harbour", switch: value})).asked[-1]
    assert switch.replace("_", " ") in told


def test_adult_content_that_is_switched_off_is_not_asked_for() -> None:
    assert sections('{"adult_content": false, "prompt": "a harbour"}').asked == ("a harbour",)


@pytest.mark.parametrize(
    ("unwanted", "garment"),
    [
        ("her dress", "dress"),
        ("any clothes", "clothes"),
        ("the dress and bra", "bra"),
        ("all of her clothing", "clothing"),
        ("wearing clothes", "clothes"),
        ("blurry, fully clothed", "clothes"),
        ("woman's dress", "dress"),
        ("haar jurk", "jurk"),
        ("ihre Kleidung", "Kleidung"),
        ("她的衣服", "衣服"),
    ],
)
def test_clothes_that_are_unwanted_are_named_without_the_words_around_them(unwanted: str, garment: str) -> None:
    asked = json.dumps({"prompt": "a woman", "negative_prompt": unwanted})
    for prompt in (asked, f"a woman --no {unwanted}", f"a woman\nNegative prompt: {unwanted}"):
        assert garment in sections(prompt).unwanted[-1].split(", ")


def test_an_object_that_is_unwanted_says_its_names() -> None:
    assert "clothes" in sections('{"prompt": "a woman", "negative_prompt": {"clothes": true}}').unwanted
    found = sections('{"prompt": "a woman", "negative_prompt": {"negative": "nude"}}')
    assert "nude" in found.asked[-1]


def test_each_of_several_things_says_a_short_name() -> None:
    assert sections('{"remove": [["background"], ["dress"]]}').asked[-1] == "remove: background. remove: dress"


def test_what_stands_behind_a_lora_is_no_part_of_its_name() -> None:
    assert sections("<lora:nude_lipstick:1> portrait").asked[0].split() == ["nude", "lipstick,", "portrait"]


def test_a_phrase_that_is_cut_between_fields_is_one() -> None:
    asked = sections('{"a": "strip him of the", "b": "armband", "c": "blue sky"}').asked
    assert asked[:2] == ("strip him of the armband", "blue sky")


@pytest.mark.parametrize(
    "marked",
    [
        "a coat, nude::-1",
        "nude::-0.5 a coat",
        "a coat::2 nude::-1",
        "a coat (nude:-1.5)",
        '{"prompt": "a coat, nude::-1"}',
        "a coat\n\nNegative: nude, nsfw",
        "a coat. Negative prompts: nude, naked",
        "a coat [negative: nude]",
        "a coat\nnegatieve prompt: naakt",
        "a coat\nNegativprompt: nackt",
        "a coat\nprompt négatif : nue",
        "a coat\nprompt negativo: desnuda",
        "a coat\nprompt negativo: nuda",
        "a coat\nprompt negativo: nua",
        "a coat\nnegatywny prompt: naga",
        "a coat\nnegatif prompt: çıplak",
        "a coat\nнегативный промпт: голая",
        "a coat\nالنص السلبي: عارية",
        "a coat\nネガティブプロンプト：裸",
        "a coat\n네거티브 프롬프트: 누드",
        "a coat\n负面提示词：裸体",
        "nsfw = False\na coat",
        "nudity: none\na coat",
    ],
)
def test_nakedness_that_signs_mark_as_unwanted_is_left_out(marked: str) -> None:
    found = sections(marked)
    assert [re.findall(r"[^\W_]{2,}", part) for part in found.asked] == [["coat"]]


@pytest.mark.parametrize(
    "text",
    [
        "nude::-1",
        "negative: nude",
        "a woman, naked woman::-1",
        "a woman nude::-1",
        "a woman. negative: take her coat off",
        "nsfw = true\na woman",
        "clothes = False\na woman",
        "a photo negative prompt card: nude woman",
    ],
)
def test_what_signs_cannot_hide_is_asked(text: str) -> None:
    words = set(re.findall(r"[^\W\d_]+", text))
    assert words <= set(re.findall(r"[^\W\d_]+", " ".join(sections(text).asked)))


def test_clothes_that_weigh_less_than_nothing_are_no_request_for_clothes() -> None:
    assert "clothes" in sections("a woman, (fully clothed:-1)").unwanted[-1]
    assert "dress" in sections("a woman\nNegative: nude, dress").unwanted


@pytest.mark.parametrize(
    "unit", ["nude::-1, ", "negative: nude, ", "(neg: nude ", "nsfw = off\n", "nude      ", "::-1 "]
)
def test_the_time_of_what_signs_mark_is_linear(unit: str) -> None:
    assert_linear(sections, unit * 2000)
