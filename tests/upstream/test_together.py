"""What a request says in several fields is judged as one text too."""

from __future__ import annotations

from guardrail.upstream.gather import Gathered, together
from guardrail.upstream.limits import Limits


def _said(got: Gathered) -> dict[str, str | None]:
    got.settle()
    return {one.slot: one.text for one in got.texts}


def test_a_wish_that_is_cut_between_fields_is_judged_whole():
    got = Gathered(Limits())
    got.text("prompt", "take off all of", "prompt")
    got.text("field:prompt_2", "her clothes", "prompt_2")
    got.setting("watercolour")
    assert _said(got)["together"] == "take off all of her clothes watercolour"


def test_one_piece_is_judged_once():
    got = Gathered(Limits())
    got.text("prompt", "a fox", "prompt")
    got.text("field:prompt_2", "a fox", "prompt_2")
    assert "together" not in _said(got)


def test_a_prompt_and_a_setting_are_two_pieces():
    got = Gathered(Limits())
    got.text("prompt", "a fox without", "prompt")
    got.setting("fur")
    assert _said(got)["together"] == "a fox without fur"


def test_what_shall_not_be_there_is_no_piece():
    got = Gathered(Limits())
    got.text("prompt", "a fox", "prompt")
    got.text("negative_prompt", "clothes", "negative_prompt", left_out=True)
    assert "together" not in _said(got)


def test_what_has_the_pieces_together_already_is_no_piece():
    got = Gathered(Limits())
    got.text("node[1].text", "a fox", "prompt")
    got.text("node[1].joined", "a fox in snow", "prompt", whole=True)
    assert "together" not in _said(got)


def test_long_pieces_are_judged_in_windows_that_overlap():
    found = together(("a" * 3000, "b" * 3000), 4000)
    assert [one.slot for one in found] == ["together", "together#1"]
    assert all(len(one.text or "") <= 4000 for one in found)
    assert (found[0].text or "")[-500:] == (found[1].text or "")[:500]
