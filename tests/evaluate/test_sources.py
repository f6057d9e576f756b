"""Sources: other people's files as one stream of records, each with its place."""

from __future__ import annotations

import gzip
import json
import lzma

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.sources import LONGEST_LINE, records
from tests.stand_ins import png


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"p": "x"}\n\n{"p": "y"}\n', [("a.jsonl:1", {"p": "x"}), ("a.jsonl:3", {"p": "y"})]),
        ("a.csv", '\ufeffp,n\n"x, y",1\n', [("a.csv:2", {"p": "x, y", "n": "1"})]),
        (
            "a.csv",
            'p,n\n"two\nlines",1\nz,2\n',
            [("a.csv:3", {"p": "two\nlines", "n": "1"}), ("a.csv:4", {"p": "z", "n": "2"})],
        ),
        ("a.tsv", "p\tn\nx\t1\n", [("a.tsv:2", {"p": "x", "n": "1"})]),
        ("a.tsv", 'p\tn\na "b" c\t1\n', [("a.tsv:2", {"p": 'a "b" c', "n": "1"})]),
        ("a.tsv", 'p\tn\n"two\nlines"\t1\n', [("a.tsv:3", {"p": "two\nlines", "n": "1"})]),
        ("a.txt", "one\n\ntwo\n", [("a.txt:1", {"text": "one", "line": 1}), ("a.txt:3", {"text": "two", "line": 3})]),
        ("a.json", '[{"p": "x"}]', [("a.json[1]", {"p": "x"})]),
        ("a.json", '{"p": ["x", "y"]}', [("a.json[1]", {"p": "x"}), ("a.json[2]", {"p": "y"})]),
        ("a.json", '{"p": {"7": "x"}, "n": {"7": 1}}', [("a.json[1]", {"p": "x", "n": 1})]),
        ("a.csv", "p,,\nx,,\n", [("a.csv:2", {"p": "x", "": ""})]),
    ],
)
def test_each_form_is_read_with_places(tmp_path, name, content, expected):
    file = tmp_path / name
    file.write_text(content, "utf-8")
    assert list(records(file)) == expected


@pytest.mark.parametrize(("ending", "module"), [(".gz", gzip), (".xz", lzma)])
def test_packed_files_are_read(tmp_path, ending, module):
    file = tmp_path / f"a.jsonl{ending}"
    file.write_bytes(module.compress(b'{"p": "x"}\n'))
    assert [record for _, record in records(file)] == [{"p": "x"}]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "p,n\nx\n", r"a\.csv:2: 1 cells, the first line names 2"),
        ("a.csv", "", "empty"),
        ("a.csv", "p,n,p\nx,1,y\n", r"a\.csv:1: the column 'p' is there twice"),
        ("a.tsv", 'p\tn\n"x\t1\ny\t2\nz"\t3\n', r"a\.tsv:4: a quote opens a cell that swallows rows"),
        ("a.jsonl", "x\n", r"a\.jsonl:1: not JSON"),
        ("a.json", '{"p": 1}', "an array of objects"),
        ("a.json", '{"p": ["x", "y"], "n": [1]}', r"a\.json: the columns p, n are not of the same rows"),
        ("a.json", '{"p": {"0": "x"}, "n": {"1": 1}}', "not of the same rows"),
        ("a.csv", 'p\nx\n"' + "y\n" * 70_000, r"a\.csv:\d+: field larger than field limit.*is a quote left open"),
        ("a.xlsx", "x", r"end in \.xlsx are not known"),
    ],
)
def test_a_broken_file_is_said_with_its_place(tmp_path, name, content, words):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=words):
        list(records(tmp_path / name))


def test_a_line_over_the_limit_is_refused_and_one_at_it_is_read(tmp_path):
    frame = len('{"p": ""}\n')
    (tmp_path / "a.jsonl").write_text('{"p": "' + "x" * (LONGEST_LINE - frame) + '"}\n', "utf-8")
    assert len(list(records(tmp_path / "a.jsonl"))) == 1
    (tmp_path / "b.jsonl").write_text('{"p": "' + "x" * (LONGEST_LINE - frame + 1) + '"}\n', "utf-8")
    with pytest.raises(ConfigError, match="longer than"):
        list(records(tmp_path / "b.jsonl"))
    (tmp_path / "c.csv").write_text("p\nx\n" + "y" * LONGEST_LINE, "utf-8")
    with pytest.raises(ConfigError, match=r"c\.csv:3: longer than"):
        list(records(tmp_path / "c.csv"))


def test_what_is_not_utf_8_or_cut_off_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"p\n\xff\n")
    with pytest.raises(ConfigError, match=r"a\.csv: not UTF-8, which is expected"):
        list(records(tmp_path / "a.csv"))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"p": 1}\n' * 100)[:-12])
    with pytest.raises(ConfigError, match="cannot be read"):
        list(records(tmp_path / "a.jsonl.gz"))


def test_a_folder_of_pictures_names_its_columns(tmp_path):
    (tmp_path / "Some_Body").mkdir()
    (tmp_path / "Some_Body/25_1_x.png").write_bytes(png("a"))
    [(place, record)] = records(tmp_path, names="{person}/{age}_{gender}_{rest}")
    assert place == "Some_Body/25_1_x.png"
    assert {k: v for k, v in record.items() if k != "path"} == {
        "person": "Some_Body",
        "age": "25",
        "gender": "1",
        "rest": "x",
    }


def test_an_empty_folder_and_a_missing_one_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="no rows there"):
        list(records(tmp_path))
    with pytest.raises(ConfigError, match="does not exist"):
        list(records(tmp_path / "gone"))


def test_parquet_and_arrow_are_read_in_batches(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pip install '.[eval]'")
    from pyarrow import parquet

    table = pa.table({"prompt": ["x", "y"], "nsfw": [1, 0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert [record for _, record in records(tmp_path / "a.parquet")] == table.to_pylist()
    (tmp_path / "saved").mkdir()
    with pa.OSFile(str(tmp_path / "saved/data-00000.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as w:
        w.write_table(table)
    assert [record for _, record in records(tmp_path / "saved")] == table.to_pylist()


def test_a_file_that_two_patterns_match_is_read_once(tmp_path):
    (tmp_path / "a.csv").write_text("p\nx\n", "utf-8")
    assert [place for place, _ in records(tmp_path, ["*.csv", "**/*.csv"])] == ["a.csv:2"]


def saved(folder, shards, others=(), state=True):
    """A data set as Hugging Face's library saves one: shards, their list, and what it keeps beside them."""
    pa = pytest.importorskip("pyarrow", reason="pip install '.[eval]'")
    folder.mkdir(parents=True)
    for name in (*shards, *others):
        table = pa.table({"prompt": [name]})
        with pa.OSFile(str(folder / name), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    if state:
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in shards]}))
    return folder


SHARDS = ("data-00000-of-00002.arrow", "data-00001-of-00002.arrow")


def test_only_the_shards_of_a_saved_data_set_are_read_and_not_what_was_computed_from_them(tmp_path):
    saved(tmp_path / "set/train", SHARDS, ["cache-0123456789abcdef.arrow"])
    saved(tmp_path / "set/test", SHARDS[:1])
    assert [record["prompt"] for _, record in records(tmp_path / "set")] == [SHARDS[0], *SHARDS]
    saved(tmp_path / "plain", SHARDS, state=False)
    assert [record["prompt"] for _, record in records(tmp_path / "plain")] == list(SHARDS)


def test_a_saved_data_set_that_lost_a_shard_or_its_list_is_refused(tmp_path):
    folder = saved(tmp_path / "set", SHARDS)
    (folder / SHARDS[1]).unlink()
    with pytest.raises(ConfigError, match=r"data-00001-of-00002\.arrow: is missing; state\.json"):
        list(records(folder))
    (folder / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"state\.json: the shards of a saved data set are expected"):
        list(records(folder))
