"""The recipe that builds a list of names from a Wikidata dump: people who are known and not long dead."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from guardrail.inference.text.gazetteer import Gazetteer

RECIPE = Path(__file__).parents[3] / "models" / "gazetteer" / "build.py"


def entity(kind: str, sites: int, death: str | None = None, **labels: str) -> str:
    claims: dict[str, Any] = {"P31": [{"mainsnak": {"datavalue": {"value": {"id": kind}}}}]}
    if death:
        claims["P570"] = [{"mainsnak": {"datavalue": {"value": {"time": death}}}}]
    names = {lang: {"language": lang, "value": name} for lang, name in labels.items()}
    links = {f"l{i}wiki": {} for i in range(sites)}
    return json.dumps({"claims": claims, "labels": names, "sitelinks": links})


def test_a_dump_gives_the_names_of_living_people_who_are_known(tmp_path: Path) -> None:
    lines = [
        entity("Q5", 50, en="Rumina Vandersteeg", ru="Румина Вандерстег"),
        entity("Q5", 3, en="Little Known"),
        entity("Q5", 50, "+1890-01-01T00:00:00Z", en="Long Dead"),
        entity("Q5", 50, "+2001-01-01T00:00:00Z", en="Lately Dead"),
        entity("Q515", 50, en="Some Town"),
        '{"broken": "Q5"',
    ]
    dump, out = tmp_path / "dump.json.bz2", tmp_path / "names.txt"
    dump.write_bytes(bz2.compress(("[\n" + ",\n".join(lines) + "\n]\n").encode()))
    subprocess.run([sys.executable, str(RECIPE), str(dump), "--out", str(out), "--least", "40"], check=True)
    built = Gazetteer(out.read_text("utf-8"))
    assert built.size == 3
    assert all(built.finds(name) for name in ("Rumina Vandersteeg", "Румина Вандерстег", "Lately Dead"))
    assert not any(built.finds(name) for name in ("Little Known", "Long Dead", "Some Town"))
