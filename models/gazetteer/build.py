"""Build a list of names from a dump of Wikidata: people with articles in many languages.

    python models/gazetteer/build.py latest-all.json.bz2 --out names.txt --least 40
    guardrail serve --set checks.options.prompt-safety='{names: names.txt}'

The dump (JSON, one entity a line; .bz2, .gz or plain) is read once, a line at a time, in constant memory but for the
names. Wikidata's data are public domain (CC0). A name of one word goes under [capital], any other under [names];
`--least` is the number of Wikipedias that a person must be in.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

HUMAN = "Q5"
LANGUAGES = ("en", "nl", "de", "fr", "es", "it", "pt", "pl", "tr", "ru", "ar", "ja", "ko", "zh")
# Who died before nobody alive remembers them: subjects of history and art.
OLDEST_DEATH = 1945
LONGEST_LINE = 64 << 20


def opened(dump: Path) -> TextIO:
    if dump.suffix == ".bz2":
        return bz2.open(dump, "rt", encoding="utf-8")
    return gzip.open(dump, "rt", encoding="utf-8") if dump.suffix == ".gz" else dump.open(encoding="utf-8")


def entities(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The entities of a dump that may be people; a line that is none is passed over."""
    for line in lines:
        text = line.strip().rstrip(",")
        if f'"{HUMAN}"' not in text or len(text) > LONGEST_LINE:
            continue
        try:
            entity = json.loads(text)
        except ValueError:
            continue
        if isinstance(entity, dict):
            yield entity


def names(entity: dict[str, Any], least: int) -> list[str]:
    """The names of one person in our languages; none for who is no person, little known or long dead."""
    claims = entity.get("claims", {})
    if HUMAN not in _values(claims, "P31") or _wikipedias(entity) < least:
        return []
    deaths = [value["time"] for value in _raw(claims, "P570") if isinstance(value, dict) and "time" in value]
    if any(not death.startswith("+") or int(death[1:5]) < OLDEST_DEATH for death in deaths):
        return []
    labels = entity.get("labels", {})
    found = [labels[lang]["value"] for lang in LANGUAGES if lang in labels]
    return list(dict.fromkeys(name for name in found if 1 < len(name) < 60 and ";" not in name))


def _wikipedias(entity: dict[str, Any]) -> int:
    return sum(site.endswith("wiki") and site != "commonswiki" for site in entity.get("sitelinks", {}))


def _raw(claims: dict[str, Any], name: str) -> list[Any]:
    return [claim.get("mainsnak", {}).get("datavalue", {}).get("value") for claim in claims.get(name, [])]


def _values(claims: dict[str, Any], name: str) -> set[str]:
    return {value["id"] for value in _raw(claims, name) if isinstance(value, dict) and "id" in value}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least", type=int, default=40)
    args = parser.parse_args()
    told: dict[str, None] = {}
    people = 0
    with opened(args.dump) as lines:
        for entity in entities(iter(lines)):
            found = names(entity, args.least)
            people += bool(found)
            told.update(dict.fromkeys(found))
    single = [name for name in told if len(name.split()) == 1 and name.isascii()]
    many = [name for name in told if name not in set(single)]
    args.out.write_text("[names]\n" + "\n".join(many) + "\n[capital]\n" + "\n".join(single) + "\n", "utf-8")
    print(f"{people} people, {len(told)} names in {args.out}")


if __name__ == "__main__":
    main()
