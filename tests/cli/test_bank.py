"""`guardrail bank`: add, import, list and remove, from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from guardrail.cli.bank import app
from guardrail.errors import ConfigError
from guardrail.inference.image import pdq
from tests.checks.pictures import encoded, scene


@pytest.fixture
def run(tmp_path):
    def run(*words: object, columns: int = 300) -> tuple[int, str]:
        environ = {"GUARDRAIL_HOME": str(tmp_path / "home"), "COLUMNS": str(columns)}
        result = CliRunner().invoke(app, [str(word) for word in words], env=environ)
        if isinstance(result.exception, ConfigError):
            return 2, str(result.exception)  # what the command `guardrail` makes of it
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def listed(run, *words: str) -> list[dict[str, str]]:
    return json.loads(run("list", "--json", *words)[1])


def test_an_empty_bank_says_so(run):
    assert run("list") == (0, "The bank is empty: no picture is known.\n")


def test_a_picture_is_added_by_its_hashes_and_not_kept(run, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    assert run("add", path, "--source", "hotline", "--note", "case 7") == (0, "1 new.\n")
    assert pdq.hash_of(scene(1)).hex in run("list", columns=80)[1]
    (entry,) = listed(run)
    assert entry["pdq"] == pdq.hash_of(scene(1)).hex
    assert (entry["source"], entry["note"]) == ("hotline", "case 7")
    files = list((tmp_path / "home" / "bank").iterdir())
    assert [found.name for found in files] == ["bank.sqlite"]
    assert path.read_bytes()[100:200] not in files[0].read_bytes()


def test_a_flat_picture_is_refused_by_name_unless_its_exact_file_is_meant(run, tmp_path):
    path = tmp_path / "flat.png"
    path.write_bytes(encoded(np.full((99, 99, 3), 7, np.uint8)))
    status, said = run("add", path)
    assert status == 2
    assert "flat.png: too little in it" in said
    assert run("add", path, "--exact")[0] == 0
    (entry,) = listed(run)
    assert entry["pdq"] == ""
    assert len(entry["sha256"]) == 64


def test_one_bad_picture_of_several_adds_none(run, tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(scene(1)))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    status, said = run("add", tmp_path / "good.png", tmp_path / "bad.png")
    assert status == 2
    assert "bad.png" in said
    assert listed(run) == []


def test_a_list_is_imported_under_its_own_name_and_removed_by_it(run, tmp_path):
    path = tmp_path / "may.txt"
    path.write_text("".join(f"pdq {pdq.hash_of(scene(seed)).hex}\n" for seed in range(3)))
    assert run("import", path) == (0, "3 new.\n")
    assert run("import", path) == (0, "0 new; 3 there already.\n")
    assert {entry["source"] for entry in listed(run)} == {"may.txt"}
    status, said = run("remove", "--source", "may.txt")
    assert status == 0
    assert said.startswith("3 entries taken off.")
    assert listed(run) == []


def test_a_list_with_a_bad_line_imports_nothing(run, tmp_path):
    path = tmp_path / "may.txt"
    path.write_text(f"pdq {pdq.hash_of(scene(1)).hex}\npdq what\n")
    status, said = run("import", path)
    assert status == 2
    assert "line 2" in said
    assert listed(run) == []


def test_a_withdrawn_hash_stays_out_until_it_is_brought_back(run, tmp_path):
    path = tmp_path / "may.txt"
    digits = pdq.hash_of(scene(1)).hex
    path.write_text(f"pdq {digits}\n")
    run("import", path)
    assert run("remove", digits.upper())[0] == 0
    assert listed(run) == []
    assert [entry["status"] for entry in listed(run, "--all")] == ["withdrawn"]
    assert "1 kept out" in run("import", path)[1]
    told = {"new": 1, "there": 0, "withdrawn": 0, "taken_off": 0, "other_kinds": 0, "low_quality": 0, "still_known": 0}
    assert run("import", path, "--again", "--json") == (0, json.dumps(told) + "\n")


def test_removing_needs_hashes_or_a_source_and_not_both(run):
    assert run("remove")[0] == 2
    assert run("remove", "a" * 64, "--source", "x")[0] == 2


def test_a_named_bank_is_apart_from_the_common_one(run, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    assert run("--bank", "acme", "add", path)[0] == 0
    assert run("list")[1] == "The bank is empty: no picture is known.\n"
    assert len(json.loads(run("--bank", "acme", "list", "--json")[1])) == 1
    status, said = run("--bank", "../x", "list")
    assert status == 2
    assert "lower-case letters" in said


def test_an_export_comes_back_and_overwrites_nothing(run, tmp_path):
    path, out = tmp_path / "scene.png", tmp_path / "list.txt"
    path.write_bytes(encoded(scene(1)))
    run("add", path)
    assert run("export", out) == (0, "2 hashes written.\n")
    assert out.stat().st_mode & 0o777 == 0o600
    assert "is there already" in run("export", out)[1]
    (entry,) = listed(run)
    assert out.read_text() == f"pdq {entry['pdq']}\nsha256 {entry['sha256']}\n"
    assert run("--bank", "acme", "import", out) == (0, "2 new.\n")


def test_a_withdrawal_goes_out_with_the_csv(run, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    run("add", path)
    (entry,) = listed(run)
    run("--bank", "acme", "add", path)
    run("remove", entry["pdq"])
    assert run("export", tmp_path / "list.csv", "--format", "csv") == (0, "2 hashes written.\n")
    assert run("--bank", "acme", "import", tmp_path / "list.csv", "--source", "local")[0] == 0
    assert json.loads(run("--bank", "acme", "list", "--json")[1]) == []


def test_a_list_takes_back_what_its_source_gave_and_says_what_others_still_stand_by(run, tmp_path):
    one, two = (pdq.hash_of(scene(seed)).hex for seed in (1, 2))
    (tmp_path / "first.csv").write_text(f"pdq\n{one}\n{two}\n")
    (tmp_path / "second.csv").write_text(f"pdq\n{one}\n")
    (tmp_path / "gone.csv").write_text(f"pdq,status\n{one},Withdrawn\n{two},Withdrawn\n")
    run("import", tmp_path / "first.csv", "--source", "feed")
    run("import", tmp_path / "second.csv", "--source", "other")
    status, said = run("import", tmp_path / "gone.csv", "--source", "feed")
    assert status == 0
    assert said == "0 new; 2 withdrawn by the list; 1 of these still known, as another source gave it.\n"
    assert [(entry["pdq"], entry["source"]) for entry in listed(run)] == [(one, "other")]
    assert json.loads(run("import", tmp_path / "gone.csv", "--source", "feed", "--json")[1])["still_known"] == 1


def test_one_page_of_several_says_that_more_follow(run, tmp_path):
    record = {"signalType": "ImagePDQ", "hashValue": pdq.hash_of(scene(1)).hex, "hashStatus": "Active"}
    (tmp_path / "page.json").write_text(json.dumps({"hashRecords": [record], "hasMoreRecords": True}))
    status, said = run("import", tmp_path / "page.json")
    assert status == 0
    assert "more follow" in said
