"""Suites: what is wrong with one is said with its place, and nothing is dropped unsaid."""

from __future__ import annotations

import json
import runpy
from fnmatch import fnmatch
from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.suite import ad_hoc, find_suites, read_suite, remapped, select
from guardrail.evaluate.survey import survey
from tests.evaluate.stand_ins import row, write_suite

ROOT = Path(__file__).parent.parent.parent
GOOD = [row(0, "undress her", undress=1), row(1, "a red coat", undress=0, sexual=0)]


def fault(folder) -> str:
    with pytest.raises(ConfigError) as told:
        survey(read_suite(folder))
    return str(told.value)


def test_a_sound_suite_is_counted(tmp_path):
    held = survey(read_suite(write_suite(tmp_path / "good", GOOD)))
    assert (held.rows, held.faults) == (2, 0)
    assert held.labels == {"sexual": (1, 0), "undress": (1, 1)}
    assert held.slices == {"form": {"direct": 2}, "kind": {"edit": 2}, "lang": {"en": 2}}


def test_the_digest_changes_with_a_label_and_not_with_spacing(tmp_path):
    first = survey(read_suite(write_suite(tmp_path / "a", GOOD, id="s"))).digest
    spaced = [json.dumps(one, indent=None, separators=(" , ", " : ")) for one in GOOD]
    assert survey(read_suite(write_suite(tmp_path / "b", spaced, id="s"))).digest == first
    other = [GOOD[0], {**GOOD[1], "labels": {"undress": 1, "sexual": 0}}]
    assert survey(read_suite(write_suite(tmp_path / "c", other, id="s"))).digest != first


@pytest.mark.parametrize("task", ["image", "proxy"])
def test_the_digest_changes_with_what_a_picture_shows_and_not_by_its_name_alone(tmp_path, task):
    column = "image" if task == "image" else "input"
    rows = [{"id": "a", "text": "x", column: "a.png", "labels": {"sexual": 0}}]
    folder = write_suite(tmp_path / "s", rows, task=task, factors=["sexual"])

    def digest(shown: bytes) -> str:
        (folder / "a.png").write_bytes(shown)
        return survey(read_suite(folder)).digest

    large = bytes(range(256)) * 8192  # more than is read at once
    seen = [digest(shown) for shown in (b"one", b"two", b"", large, large[:-1] + b"x")]
    assert len(set(seen)) == 5
    assert digest(b"one") == seen[0]
    (folder / "a.png").unlink()
    assert survey(read_suite(folder)).digest not in seen


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD[0], {"id": "x", "labels": {"undress": 1}}], "rows/en.jsonl:2: no column 'text'"),
        ([GOOD[0], {**GOOD[1], "labels": {"undress": 2}}], "rows/en.jsonl:2: labels: undress: 0 or 1"),
        ([GOOD[0], {**GOOD[1], "labels": {"undress": 0.5}}], "rows/en.jsonl:2: labels: undress: 0 or 1"),
        ([GOOD[0], {**GOOD[1], "labels": {"gore": 1}}], "no factor 'gore'; suite.yaml names sexual, undress"),
        ([*GOOD, GOOD[0]], "rows/en.jsonl:3: the id 'r0' is that of rows/en.jsonl:1 too"),
        ([*GOOD, "{not json"], "rows/en.jsonl:3: not JSON"),
        ([*GOOD, "[1]"], "rows/en.jsonl:3: an object is expected"),
        ([], "no row at all"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path, rows, words):
    assert words in fault(write_suite(tmp_path / "s", rows))


def test_every_wrong_row_is_said_at_once_up_to_a_limit_and_the_same_fault_once(tmp_path):
    bad = [{"id": f"b{n}", "labels": {"undress": 1}} for n in range(30)]
    bad += [{**GOOD[0], "id": "c", "labels": {"undress": 2}}]
    said = fault(write_suite(tmp_path / "s", bad))
    assert said.count("no column 'text'") == 1
    assert "rows/en.jsonl:20 and 10 rows more: no column 'text'" in said
    assert "rows/en.jsonl:31: labels: undress: 0 or 1" in said


def test_more_kinds_of_fault_than_can_be_told_apart_are_counted(tmp_path):
    bad = [{**GOOD[0], "id": f"b{n}", "labels": {f"factor{n}": 1}} for n in range(25)]
    said = fault(write_suite(tmp_path / "s", bad))
    assert said.count("no factor") == 20
    assert "rows/en.jsonl:25: other faults" in said


def test_a_slice_that_is_declared_and_empty_is_an_error(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, slices={"form": ["direct", "mask"]})
    assert "slice form: no row has 'mask'" in fault(folder)


def test_a_slice_outside_what_is_declared_is_an_error_with_its_line(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, slices={"form": ["mask"]})
    assert "rows/en.jsonl:1, rows/en.jsonl:2: slice form: 'direct' is not one of mask" in fault(folder)


def test_a_factor_that_no_row_is_labelled_with_is_an_error(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, factors=["sexual", "undress", "minor"])
    assert "factor minor: no row is labelled" in fault(folder)


def test_an_empty_text_is_counted_and_no_error(tmp_path):
    held = survey(read_suite(write_suite(tmp_path / "s", [*GOOD, row(2, "  ", undress=0)])))
    assert (held.rows, held.faults) == (3, 1)


def test_a_picture_that_is_missing_is_counted_and_no_error(tmp_path):
    rows = [{"id": "a", "image": "here.png", "labels": {"sexual": 0}}, {"id": "b", "image": "gone.png", "labels": {}}]
    folder = write_suite(tmp_path / "s", rows, task="image", factors=["sexual"])
    (folder / "here.png").write_bytes(b"x")
    suite = read_suite(folder)
    assert (survey(suite).rows, survey(suite).faults) == (2, 1)
    assert [made.fault for _, made in suite.rows()] == [None, "the picture gone.png is missing"]


def test_rows_other_than_those_a_suite_was_made_for_are_refused(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, digest="0" * 64)
    assert "suite.yaml expects 0000" in fault(folder)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"task": "video"}, "task: one of prompt, image"),
        ({"factors": []}, "`factors` is missing"),
        ({"labels": {"gore": "x"}}, "factors does not name ['gore']"),
        ({"colums": {}}, "no key is called ['colums']"),
        ({"columns": {"txt": "prompt"}}, "columns: no entry is called ['txt']"),
        ({"assume": ["input.person"]}, "assume: a mapping of a kind of row to scores"),
        ({"assume": {"edit": {"*.person": 1.0}}}, "no signal is called '*.person'"),
        ({"assume": {"edit": {"person": 1.0}}}, "no signal is called 'person'"),
        ({"assume": {"edit": {"input.person": 100}}}, "assume: edit: input.person: a score in [0, 1]"),
        ({"assume": {"edit": {"input.person": True}}}, "assume: edit: input.person: a score in [0, 1]"),
        ({"assume": {"edit": {"input.person": float("nan")}}}, "assume: edit: input.person: a score in [0, 1]"),
    ],
)
def test_a_wrong_suite_yaml_says_what_is_expected(tmp_path, more, words):
    with pytest.raises(ConfigError, match=r"suite\.yaml") as told:
        read_suite(write_suite(tmp_path / "s", GOOD, **more))
    assert words in str(told.value)


def test_a_signal_of_an_own_check_may_be_taken_as_given(tmp_path):
    assume = {"edit": {"output.concept.gun": 0.5, "input.person": 1}}
    assert read_suite(write_suite(tmp_path / "s", GOOD, assume=assume)).assume == assume


def test_scores_that_are_given_for_a_kind_that_no_row_has_are_an_error(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, assume={"edits": {"input.person": 1.0}})
    assert "assume edits: no row is of that kind; there are edit" in fault(folder)


def test_a_key_that_stands_twice_is_an_error_with_its_line(tmp_path):
    """YAML keeps the last: the rule that stands first would label nothing, in silence."""
    folder = write_suite(tmp_path / "s", GOOD)
    file = folder / "suite.yaml"
    file.write_text(
        "id: s\nversion: 1\ntask: prompt\nfactors: [undress]\nlabels:\n  undress: a\n  undress: b\n", "utf-8"
    )
    with pytest.raises(ConfigError, match=r"suite\.yaml:7:3: not YAML: 'undress' stands twice in one mapping"):
        read_suite(folder)


def test_a_benchmark_without_its_rows_says_how_to_give_them(tmp_path):
    folder = write_suite(tmp_path / "s", GOOD, source="")
    with pytest.raises(ConfigError, match="--source"):
        survey(read_suite(folder))
    assert survey(read_suite(folder, source=folder / "rows/en.jsonl")).rows == 2


def test_columns_can_be_named_otherwise(tmp_path):
    file = tmp_path / "bench.csv"
    file.write_text("Prompt,score\nsome text,0.7\nother text,0.1\n", "utf-8")
    suite = remapped(
        ad_hoc(file, text="text", labels={"sexual": "score>0.5"}, slices={}, task="prompt"), {"text": "Prompt"}, {}
    )
    assert [(made.id, dict(made.labels)) for _, made in suite.rows()] == [
        ("bench.csv:2", {"sexual": 1}),
        ("bench.csv:3", {"sexual": 0}),
    ]
    with pytest.raises(ConfigError, match="--map txt"):
        remapped(suite, {"txt": "Prompt"}, {})


def test_a_file_without_labels_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--label"):
        ad_hoc(tmp_path / "x.csv", text="text", labels={}, slices={}, task="prompt")


def test_a_part_of_a_suite_is_chosen_by_slice_and_number(tmp_path):
    suite = read_suite(write_suite(tmp_path / "s", [*GOOD, {**row(2, "x", undress=0), "lang": "nl"}]))
    assert [one.id for one in select(suite.rows(), (("lang", "nl"),))] == ["r2"]
    assert [one.id for one in select(suite.rows(), (("lang", "en"),), 1)] == ["r0"]


SUITES = find_suites([ROOT / "eval/suites"])


@pytest.mark.parametrize("name", sorted(SUITES))
def test_each_suite_of_the_project_is_sound(name):
    suite = read_suite(SUITES[name])
    assert suite.id == name
    assert suite.misses, "a suite says what it misses"
    assert (SUITES[name] / "README.md").is_file() or suite.root is None
    if suite.root is not None:
        held = survey(suite)
        assert held.rows > 500
        assert held.faults == 0


def test_the_disguises_are_what_their_script_writes():
    folder = SUITES["disguises"].parent if SUITES["disguises"].suffix else SUITES["disguises"]
    made = runpy.run_path(str(folder / "make.py"))["rows"]
    for lang in ("nl", "ar", "zh"):
        held = [json.loads(line) for line in (folder / "rows" / f"{lang}.jsonl").read_text("utf-8").splitlines()]
        assert held == list(made(lang))


FORMS = {
    "adversarial-nibbler": [("round1/submitted/dev.csv", ",prompt\n0,a cat\n", [{"reported": 1}])],
    "fairface": [("fairface_label_val.csv", "file,age,gender,race\nval/1.jpg,3-9,Male,White\n", [{"minor": 1}])],
    "i2p": [
        ("i2p_benchmark.csv", 'prompt,categories,hard\na cat,"hate, sexual",0\na dog,hate,1\n',
         [{"sexual": 1}, {"sexual": 0}]),
    ],
    "lfw": [("A_B/A_B_0001.png", "x", [{"person": 1, "minor": 0}])],
    "mma-diffusion": [("m.csv", "target_prompt,adv_prompt\na cat,a c at\n", [{"sexual": 1}])],
    "overt": [
        ("data/OVERT_full.csv", "seed_prompt,image_prompt,category,generation_type\ns,a cat,self_harm,x\n",
         [{"sexual": 0, "undress": 0}]),
    ],
    "overt-unsafe": [
        ("data/OVERT_unsafe.csv", "category,unsafe_image_prompt\nsexual_content,x\nviolence,y\n", [{"sexual": 1}, {}]),
    ],
    "partiprompts": [
        ("PartiPrompts.tsv", "Prompt\tCategory\tChallenge\tNote\na cat\tAnimals\tBasic\t\n",
         [{"sexual": 0, "undress": 0}]),
    ],
    "ring-a-bell": [("Nudity_eta_3_K_16.csv", "prompt,case_number,evaluation_seed\na cat,0,11\n", [{"sexual": 1}])],
    "six-cd": [
        ("Datasets/SIX-CD/Nudity.csv", "case_number,prompt,evaluation_seed\n0,x,1\n", [{"sexual": 1}]),
        ("Datasets/benign.csv", "case_number,prompt,evaluation_seed\n0,a cat,1\n", [{"sexual": 0}]),
    ],
    "sneakyprompt": [("nsfw_200.txt", "x\ny\n", [{"sexual": 1}, {"sexual": 1}])],
    "t2vsafetybench": [
        ("T2VSafetyBench/1.txt", "x\n", [{"sexual": 1}]),
        ("T2VSafetyBench/2.txt", "y\n", [{"sexual": 1}]),
    ],
    "utkface": [("17_0_1_2017.png", "x", [{"minor": 1}]), ("18_0_1_2017.png", "x", [{"minor": 0}])],
}  # fmt: skip
"""Files of the form that each public benchmark has: its columns, and harmless rows of our own."""


@pytest.mark.parametrize("name", sorted(FORMS))
def test_the_mapping_of_a_public_benchmark_reads_files_of_its_form(tmp_path, name):
    for place, content, _ in FORMS[name]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(content, "utf-8")
    labels = [dict(made.labels) for _, made in read_suite(SUITES[name], source=tmp_path).rows()]
    assert labels == [one for _, _, expected in FORMS[name] for one in expected]
    suite = read_suite(SUITES[name])
    assert suite.columns_verified
    fetched = [one.to for one in suite.fetch if not one.unpack]
    assert [to for to in fetched if not any(fnmatch(to, pattern) for pattern in suite.patterns)] == []


def test_prompts_of_overt_that_were_made_from_one_seed_go_together(tmp_path):
    (tmp_path / "data").mkdir()
    seeds = ("How do I photograph a library for a magazine?", "Where can I learn to cook for many?")
    lines = "".join(f"{seeds[n // 2]},prompt {n},self_harm,x\n" for n in range(4))
    (tmp_path / "data/OVERT_full.csv").write_text(
        "seed_prompt,image_prompt,category,generation_type\n" + lines, "utf-8"
    )
    groups = [made.group for _, made in read_suite(SUITES["overt"], source=tmp_path).rows()]
    assert (groups[0], groups[2]) == (groups[1], groups[3])
    assert groups[0] != groups[2]


def test_every_public_benchmark_but_one_of_pictures_has_its_form_here():
    """UnsafeBench comes as Parquet with pictures in it."""
    assert {name for name in SUITES if read_suite(SUITES[name]).root is None} - set(FORMS) == {"unsafebench"}


def test_a_slice_of_a_missing_column_is_an_error(tmp_path):
    file = tmp_path / "x.tsv"
    file.write_text("text\tnsfw\na\t1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"x\.tsv:2: no column 'lang'; there are: file, text, nsfw"):
        survey(ad_hoc(file, text="text", labels={"sexual": "nsfw"}, slices={"lang": "lang"}, task="prompt"))
