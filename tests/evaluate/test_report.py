"""Reports: one file that loads nothing, with every plot in it, and strangers' names that stay text."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import threading
import time
import tracemalloc
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.evaluate.report import as_html, as_markdown, gathered
from guardrail.evaluate.report.content import document
from guardrail.evaluate.report.serve import server
from guardrail.evaluate.sheet import read
from tests.evaluate import made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = '<script src="https://example.org/x.js">|`*_</script>'


@pytest.fixture
def folders(tmp_path):
    rows = [
        {**row, "slices": {"lang": ("en", "nl")[at % 2], "form": HOSTILE if at % 3 else "plain"}}
        for at, row in enumerate(made.normal(120, 2.0))
    ]
    return [made.run(tmp_path / "first", rows), made.run(tmp_path / "second", rows, models=["says@2"])]


def svgs(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


class Loads(HTMLParser):
    """Everything that a page would fetch or run."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        if tag in {"script", "link", "img", "iframe", "object"} or any(name.startswith("on") for name in told):
            self.found.append((tag, told))
        if "src" in told or not told.get("href", "#").startswith("#"):
            self.found.append((tag, told))


def test_a_threshold_of_a_factor_that_no_run_scores_is_refused_and_not_passed_over(folders):
    with pytest.raises(ConfigError, match="'undres', which none of these runs scores"):
        gathered(folders[:1], at={"undres": 0.7})


def test_a_report_loads_nothing_and_runs_nothing(folders):
    html = as_html(gathered(folders))
    loads = Loads()
    loads.feed(html)
    assert loads.found == []
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_every_plot_is_whole_and_says_what_it_shows(folders):
    drawn = svgs(as_html(gathered(folders[:1])))
    titles = [one.findtext("title") for one in drawn]
    assert titles == [
        "ROC",
        "Precision and recall",
        "Thresholds",
        "Calibration",
        "Scores",
        "undress by form",
        "undress by lang",
    ]
    for one in drawn:
        assert one.get("role") == "img"
        assert one.get("aria-label").startswith(one.findtext("title"))
        points = [float(n) for n in re.findall(r"-?[\d.]+", " ".join(e.get("points", "") for e in one.iter()))]
        assert all(0 <= n <= 600 for n in points)


def test_colours_are_those_of_the_page_so_that_the_dark_one_is_followed(folders):
    html = as_html(gathered(folders[:1]))
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(|fill=|stroke=", drawn)
    assert "prefers-color-scheme:dark" in html


def test_names_of_slices_are_text_in_html_and_in_markdown(folders):
    told = gathered(folders[:1])
    assert "<script" not in as_html(told)
    assert "<script" not in as_markdown(told).replace("\\<", "")
    lines = [line for line in as_markdown(told).splitlines() if "script" in line]
    assert lines
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in lines)


def test_figures_stand_in_a_table_beside_each_plot(folders):
    told = gathered(folders[:1])
    auc = told.runs[0].factors[0].roc_auc
    words = f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
    assert words in as_html(told)
    assert words.replace("[", "\\[").replace("]", "\\]") in as_markdown(told)


def test_json_has_every_figure_and_no_number_that_json_has_not(folders):
    told = document(gathered(folders, compared=True))
    text = json.dumps(told, allow_nan=False)
    again = json.loads(text)
    assert again["format"] == 1
    assert again["runs"][0]["factors"][0]["at_thresholds"][0]["recall"]["n"] == 120
    assert again["comparison"]["differences"][0]["test"] == "DeLong"


def test_rows_that_could_not_be_told_stand_under_both_assumptions(tmp_path):
    rows = [*made.normal(40, 2.0), *(made.row(f"blind{n}", 1, None) for n in range(10))]
    whole, blind = made.run(tmp_path / "whole", made.normal(40, 2.0)), made.run(tmp_path / "blind", rows)
    assert "worst to best" not in as_html(gathered([whole]))
    (at,) = gathered([blind]).runs[0].factors[0].at_thresholds
    html = as_html(gathered([blind]))
    assert at.recall_bounds == (at.recall.hits / 50, (at.recall.hits + 10) / 50)
    assert f"{100 * at.recall_bounds[0]:.1f} % to {100 * at.recall_bounds[1]:.1f} %" in html


def test_two_runs_side_by_side_come_first(folders):
    html = as_html(gathered(folders, compared=True))
    assert html.index("second against first") < html.index("Overview")
    assert svgs(html)[0].findtext("title") == "ROC of undress"
    assert "models differs: says@1 and says@2" in html


def test_rows_that_are_not_compared_are_counted_in_every_form(tmp_path):
    rows = made.normal(40, 2.0)
    told = gathered([made.run(tmp_path / "a", rows), made.run(tmp_path / "b", rows[3:])], compared=True)
    words = "3 rows stand in one of the two runs only and are not compared"
    assert words in as_html(told)
    assert words in as_markdown(told)
    assert document(told)["comparison"]["left_out"] == 3


def test_the_same_runs_give_the_same_report_byte_for_byte(folders):
    assert as_html(gathered(folders)) == as_html(gathered(folders))


def test_a_run_of_one_class_is_reported_without_curves(tmp_path):
    folder = made.run(tmp_path / "run", [made.row(f"r{n}", 0, 0.1) for n in range(40)])
    told = gathered([folder])
    assert [one.findtext("title") for one in svgs(as_html(told))] == ["Calibration", "Scores"]
    assert "no positive row" in as_markdown(told) or "no positive row" in as_html(told)


def test_the_report_is_served_to_this_machine_by_its_own_name_only(folders):
    html = as_html(gathered(folders[:1]))
    with server(html) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        host, port = serving.server_address[:2]
        assert host == "127.0.0.1"

        def ask(path: str, name: str) -> tuple[int, bytes]:
            link = http.client.HTTPConnection(host, port, timeout=10)
            link.request("GET", path, headers={"host": name})
            answer = link.getresponse()
            return answer.status, answer.read()

        assert ask("/", f"127.0.0.1:{port}") == (200, html.encode())
        assert ask("/", "example.org")[0] == 403
        assert ask("/etc/passwd", f"localhost:{port}")[0] == 404
        serving.shutdown()
        thread.join(10)


def test_memory_of_reading_a_run_is_a_few_numbers_a_row(tmp_path):
    rows = 20_000
    folder = made.run(tmp_path / "run", ({**row, "why": "x" * 200} for row in made.normal(rows // 2, 1.0)))
    tracemalloc.start()
    sheet = read(folder)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sheet) == rows
    assert size < 600 * rows


def test_a_report_of_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        gathered([tmp_path])


@pytest.mark.slow
def test_fifty_thousand_rows_are_reported_in_well_under_a_minute(tmp_path):
    folder = made.run(tmp_path / "run", made.normal(25_000, 2.0, slices={"lang": "nl"}))
    began = time.monotonic()
    told = gathered([folder])
    assert len(as_html(told)) < 1_000_000
    assert time.monotonic() - began < 45.0  # 5 s on a calm machine


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_a_browser_draws_every_plot_light_and_dark_wide_and_narrow(folders, tmp_path, width, scheme, dark):
    told = gathered(folders[:1])
    file, shot = tmp_path / "report.html", tmp_path / "shot.png"
    file.write_text(as_html(told), "utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path}/me"]
    view = [f"--window-size={width},6000", f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}"]
    subprocess.run([CHROMIUM, *options, *view, file.as_uri()], check=True, capture_output=True, timeout=100)
    seen = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert seen.shape[1] == width
    ground = (20, 23, 26) if dark else (255, 255, 255)
    assert tuple(seen[2, 2]) == ground
    lines = {"a": (116, 181, 255) if dark else (11, 98, 196), "b": (255, 159, 99) if dark else (184, 67, 10)}
    for colour in lines.values():
        rows = np.flatnonzero((np.abs(seen - colour).max(axis=2) < 12).any(axis=1))
        assert len(rows) > 100, "the lines of the plots are not there"
    # Nothing stands out of the page: the last column is ground, or the edge of a table that scrolls by itself.
    assert (np.abs(seen[:, -3] - ground).max(axis=1) < 40).mean() > 0.95
