"""Fetching benchmarks: over TLS, held to a digest that is told or was accepted, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.errors import ConfigError
from guardrail.evaluate.fetched import LARGEST, Download, Fetched, read_downloads
from guardrail.evaluate.suite import find_suites, read_suite
from guardrail.evaluate.survey import survey
from tests.evaluate.test_suite import ROOT
from tests.over_tls import serving

ROWS = b"prompt,harm\na red bicycle,0\nsome harm,1\n"
DIGEST = hashlib.sha256(ROWS).hexdigest()


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "tls").mkdir()
    with serving(tmp_path / "tls", monkeypatch) as one:
        one.answers["/rows.csv"] = (200, ROWS, "")
        yield one


def got(fetched, *downloads, **how):
    return [(one.to, one.how) for one in fetched.fetch("bench", downloads, **how)]


def test_a_file_with_the_digest_that_is_told_is_fetched_once(tmp_path, site):
    fetched, file = Fetched(tmp_path), Download(f"{site.url}rows.csv", "data/rows.csv", DIGEST)
    assert not fetched.complete("bench", (file,))
    assert got(fetched, file) == [("data/rows.csv", "fetched")]
    assert fetched.complete("bench", (file,))
    assert (fetched.folder("bench") / "data/rows.csv").read_bytes() == ROWS
    assert got(fetched, file) == [("data/rows.csv", "was there")]
    assert len(site.asked) == 1


def test_another_digest_is_refused_and_nothing_stays(tmp_path, site):
    fetched, file = Fetched(tmp_path), Download(f"{site.url}rows.csv", "rows.csv", "0" * 64)
    with pytest.raises(ConfigError, match=r"rows\.csv has SHA-256 .* suite\.yaml expects 0000"):
        got(fetched, file, accept=True)  # accept is for what nobody has told
    assert list(fetched.folder("bench").iterdir()) == []
    assert not (tmp_path / "fetched.json").exists()


def test_without_a_digest_nothing_is_asked_until_it_is_accepted_and_then_it_holds(tmp_path, site):
    fetched, file = Fetched(tmp_path), Download(f"{site.url}rows.csv", "rows.csv")
    with pytest.raises(ConfigError, match=r"nobody has told the digest of rows\.csv.*--accept"):
        got(fetched, file)
    assert site.asked == []
    assert got(fetched, file, accept=True) == [("rows.csv", "accepted")]
    assert json.loads((tmp_path / "fetched.json").read_text())[file.url]["sha256"] == DIGEST
    assert got(fetched, file) == [("rows.csv", "was there")]
    (fetched.folder("bench") / "rows.csv").write_bytes(b"changed here")
    assert got(fetched, file) == [("rows.csv", "fetched")]
    (fetched.folder("bench") / "rows.csv").unlink()
    site.answers["/rows.csv"] = (200, ROWS + b"more,1\n", "")
    with pytest.raises(ConfigError, match=r"fetched\.json expects"):
        got(fetched, file, accept=True)


def test_a_lock_file_that_cannot_be_read_does_not_count_as_empty(tmp_path, site):
    (tmp_path / "fetched.json").write_text("{")
    with pytest.raises(ConfigError, match="repair it or remove it"):
        got(Fetched(tmp_path), Download(f"{site.url}rows.csv", "rows.csv"), accept=True)


def test_a_lock_file_and_a_suite_that_disagree_are_not_settled_by_chance(tmp_path, site):
    url = f"{site.url}rows.csv"
    got(Fetched(tmp_path), Download(url, "rows.csv"), accept=True)
    with pytest.raises(ConfigError, match=r"holds another digest than suite\.yaml expects"):
        got(Fetched(tmp_path), Download(url, "rows.csv", "0" * 64))


@pytest.mark.parametrize(
    ("answer", "words"),
    [((404, b"", ""), "it answered 404"), ((302, b"", "http://127.0.0.1:9/"), "away from https")],
)
def test_what_cannot_be_had_says_how_to_get_it_by_hand(tmp_path, site, answer, words):
    site.answers["/rows.csv"] = answer
    with pytest.raises(ConfigError, match=f"{words}.*--source FOLDER"):
        got(Fetched(tmp_path), Download(f"{site.url}rows.csv", "rows.csv"), accept=True)


def test_an_answer_that_is_cut_short_is_not_accepted(tmp_path, site):
    site.short = 5
    with pytest.raises(ConfigError, match=f"it gave {len(ROWS) - 5} bytes, expected {len(ROWS)}"):
        got(Fetched(tmp_path), Download(f"{site.url}rows.csv", "rows.csv"), accept=True)


@pytest.mark.parametrize(("size", "good"), [(len(ROWS), True), (len(ROWS) - 1, False), (len(ROWS) + 1, False)])
def test_a_size_that_is_told_holds(tmp_path, site, size, good):
    file = Download(f"{site.url}rows.csv", "rows.csv", DIGEST, size)
    if good:
        assert got(Fetched(tmp_path), file) == [("rows.csv", "fetched")]
    else:
        with pytest.raises(ConfigError, match="expected"):
            got(Fetched(tmp_path), file)


@pytest.mark.parametrize("suite", ["", ".", "..", "../other", "a/b", "/etc", ".hidden"])
def test_a_suite_whose_name_lies_elsewhere_gets_nothing(tmp_path, site, suite):
    with pytest.raises(ConfigError, match="an id of letters"):
        list(Fetched(tmp_path).fetch(suite, (Download(f"{site.url}rows.csv", "rows.csv", DIGEST),)))
    assert site.asked == []


def tarred(*members: tuple[str, bytes], link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in members:
            archive.writestr(name, body)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "archive"),
    [
        ("tar", tarred(("./A_B/1.png", b"x"), ("C/2.png", b"y"))),
        ("zip", zipped(("A_B/1.png", b"x"), ("C/2.png", b"y"))),
    ],
)
def test_an_archive_is_unpacked_into_its_folder(tmp_path, site, kind, archive):
    site.answers["/a"] = (200, archive, "")
    fetched, file = Fetched(tmp_path), Download(f"{site.url}a", "pictures", unpack=kind)
    assert got(fetched, file, accept=True) == [("pictures", "accepted")]
    assert (fetched.folder("bench") / "pictures/A_B/1.png").read_bytes() == b"x"
    assert got(fetched, file) == [("pictures", "was there")]


def test_the_first_parts_of_names_can_be_taken_off(tmp_path, site):
    site.answers["/a"] = (200, tarred(("lfw/A_B/1.png", b"x")), "")
    fetched, file = Fetched(tmp_path), Download(f"{site.url}a", ".", unpack="tar", strip=1)
    assert got(fetched, file, accept=True) == [(".", "accepted")]
    assert [path.as_posix() for path in fetched.folder("bench").rglob("*.png")] == [f"{tmp_path}/data/bench/A_B/1.png"]
    assert got(fetched, file) == [(".", "was there")]


@pytest.mark.parametrize("to", [".", "pictures"])
def test_what_lies_in_the_folder_of_an_archive_stays_when_it_is_unpacked(tmp_path, site, to):
    site.answers["/a"] = (200, tarred(("A/1.png", b"x")), "")
    site.answers["/b"] = (200, zipped(("B/1.png", b"y")), "")
    files = (
        Download(f"{site.url}rows.csv", "pictures/rows.csv", DIGEST),
        Download(f"{site.url}a", to, unpack="tar"),
        Download(f"{site.url}b", to, unpack="zip"),
    )
    fetched = Fetched(tmp_path)
    assert [how for _, how in got(fetched, *files, accept=True)] == ["fetched", "accepted", "accepted"]
    folder = fetched.folder("bench")
    assert (folder / "pictures/rows.csv").read_bytes() == ROWS
    assert [(folder / to / name).read_bytes() for name in ("A/1.png", "B/1.png")] == [b"x", b"y"]
    assert [how for _, how in got(fetched, *files)] == ["was there"] * 3
    assert len(site.asked) == 3


def test_another_archive_takes_the_place_of_what_the_one_before_had_and_of_nothing_else(tmp_path, site):
    rows = Download(f"{site.url}rows.csv", "rows.csv", DIGEST)
    fetched = Fetched(tmp_path)
    for body in (tarred(("a.png", b"x"), ("old/b.png", b"x")), tarred(("a.png", b"y"), ("c.png", b"y"))):
        site.answers["/a"] = (200, body, "")
        got(fetched, rows, Download(f"{site.url}a", ".", hashlib.sha256(body).hexdigest(), unpack="tar"))
        (tmp_path / "fetched.json").unlink()
    lies = {path.name: path.read_bytes() for path in fetched.folder("bench").rglob("*") if path.is_file()}
    assert lies == {"rows.csv": ROWS, "a.png": b"y", "c.png": b"y"}


def test_an_archive_cannot_take_the_place_of_a_file_that_has_a_digest_of_its_own(tmp_path, site):
    site.answers["/a"] = (200, tarred(("rows.csv", b"other rows")), "")
    fetched = Fetched(tmp_path)
    files = (Download(f"{site.url}rows.csv", "rows.csv", DIGEST), Download(f"{site.url}a", ".", unpack="tar"))
    with pytest.raises(ConfigError, match=r"the archive holds rows\.csv, which another download names"):
        got(fetched, *files, accept=True)
    assert (fetched.folder("bench") / "rows.csv").read_bytes() == ROWS


@pytest.mark.parametrize(
    ("kind", "archive"),
    [
        ("tar", tarred(("../evil", b"x"))),
        ("tar", tarred(("/evil", b"x"))),
        ("tar", tarred(("a", b"x"), link="/etc/passwd")),
        ("tar", tarred(("a", b"x" * 9999))[:60]),
        ("tar", b"no archive"),
        ("zip", zipped(("../evil", b"x"))),
        ("zip", b"no archive"),
    ],
)
def test_an_archive_that_reaches_out_of_its_folder_or_is_broken_leaves_nothing(tmp_path, site, kind, archive):
    site.answers["/a"] = (200, archive, "")
    fetched = Fetched(tmp_path / "state")
    with pytest.raises(ConfigError, match="archive"):
        got(fetched, Download(f"{site.url}a", "pictures", unpack=kind), accept=True)
    assert list(fetched.folder("bench").iterdir()) == []
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"url": "http://a.example/x", "to": "x"}, "https://"),
        ({"url": "https://a.example/x"}, "`url` and `to`"),
        ({"url": "https://a.example/x", "to": "../x"}, r"without \.\."),
        ({"url": "https://a.example/x", "to": "/x"}, r"without \.\."),
        ({"url": "https://a.example/x", "to": "x", "sha256": "12"}, "64 hexadecimal digits"),
        ({"url": "https://a.example/x", "to": "x", "size": LARGEST + 1}, "a number of bytes"),
        ({"url": "https://a.example/x", "to": "x", "unpack": "rar"}, "tar or zip"),
        ({"url": "https://a.example/x", "to": "."}, r"without \.\."),
        ({"url": "https://a.example/x", "to": "x", "strip": 1}, "beside it strip"),
        ({"url": "https://a.example/x", "to": "x", "md5": "12"}, "at most"),
        ("https://a.example/x", "`url` and `to`"),
    ],
)
def test_a_wrong_entry_is_said_with_its_place(entry, words):
    with pytest.raises(ConfigError, match=r"s\.yaml: fetch\[1\].*" + words):
        read_downloads([{"url": "https://a.example/x", "to": "x"}, entry], "s.yaml")
    with pytest.raises(ConfigError, match="a list of files"):
        read_downloads(entry, "s.yaml")


def test_the_command_fetches_lists_and_the_rows_are_found_without_a_source(tmp_path, site, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    folder = home / "evaluate/suites/bench"
    folder.mkdir(parents=True)
    told = {"id": "bench", "version": "1", "task": "prompt", "factors": ["sexual"], "source": "", "rows": "*.csv"}
    told |= {"columns": {"text": "prompt"}, "labels": {"sexual": "harm"}}
    told |= {"fetch": [{"url": f"{site.url}rows.csv", "to": "rows.csv"}]}
    (folder / "suite.yaml").write_text(json.dumps(told), "utf-8")

    def guardrail(*arguments):
        return CliRunner().invoke(app, ["--home", str(home), "eval", *arguments])

    with pytest.raises(ConfigError, match="guardrail eval fetch bench"):
        survey(read_suite(folder))
    assert "eval fetch" in guardrail("list").stdout
    assert "--accept" in str(guardrail("fetch", "bench").exception)
    done = guardrail("fetch", "bench", "--accept")
    assert done.exit_code == 0, done.exception
    assert DIGEST in done.stdout
    assert "here" in guardrail("list").stdout
    assert "the suite's factors are sexual" in str(guardrail("attack", "bench", "--factor", "gore").exception)


def test_what_is_to_be_fetched_by_hand_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "eval", "fetch", "utkface"])
    assert "get it by hand: susanqq.github.io/UTKFace" in str(done.exception)


@pytest.mark.parametrize("name", sorted(find_suites([ROOT / "eval/suites"])))
def test_what_the_projects_suites_fetch_does_not_change_under_its_address(name):
    """An address that names a commit, or a digest that is told; where neither is known, suite.yaml says so."""
    for one in read_suite(ROOT / "eval/suites" / name).fetch:
        settled = one.sha256 or any(len(part) == 40 for part in one.url.split("/"))
        assert settled or "may change" in (ROOT / "eval/suites" / name / "suite.yaml").read_text("utf-8"), one.url
