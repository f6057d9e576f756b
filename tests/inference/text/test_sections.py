"""Sections: what a prompt's own syntax says, and what it cannot hide."""

from __future__ import annotations

import json

import pytest

from guardrail.inference.text.sections import Sections, sections


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
