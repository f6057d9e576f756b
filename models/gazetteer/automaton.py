"""Compare the look-up of names with Aho-Corasick automata of two libraries: what each takes to build, hold and ask.

    pip install ahocorasick-rs pyahocorasick
    python models/gazetteer/automaton.py --texts FILE [--names 73435 1000000]

FILE has a text a line. Each way runs in a process of its own, on so many names: those that ship, and beyond them
made-up ones of two words. Prints CPU seconds to build, resident MB that it adds, CPU microseconds a character to ask,
and how many texts hold a name. An automaton finds a name as it stands, in lower case and between words; the look-up
that ships also reads the endings that languages put on a name's words, capitals, and names that are no person's.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from guardrail.inference.text.gazetteer import Gazetteer, packaged_names

SYLLABLES = ("ba", "der", "gu", "hol", "ka", "lin", "mo", "nes", "pra", "rik", "sto", "ta", "vel", "wen", "zo", "lu")
REPEATS = 5
Finds = Callable[[str], bool]


def shipped() -> list[str]:
    """The names that ship, as they are written."""
    lines = (line.strip() for line in packaged_names().splitlines())
    return [name.strip() for line in lines if line and line[0] not in "#[" for name in line.split(";") if name.strip()]


def named(count: int) -> list[str]:
    """So many names: those that ship, and made-up ones behind them."""
    chance, names = random.Random(7), dict.fromkeys(shipped())
    while len(names) < count:
        words = ("".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))).title() for _ in range(2))
        names[" ".join(words)] = None
    return [*names][:count]


def own(names: Sequence[str]) -> Finds:
    return Gazetteer("\n".join(names)).finds


def between_words(text: str, start: int, end: int) -> bool:
    return not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum()


def rust(names: Sequence[str]) -> Finds:
    automaton = importlib.import_module("ahocorasick_rs").AhoCorasick([name.casefold() for name in names])

    def finds(text: str) -> bool:
        low = text.casefold()
        found = automaton.find_matches_as_indexes(low, overlapping=True)
        return any(between_words(low, start, end) for _, start, end in found)

    return finds


def in_c(names: Sequence[str]) -> Finds:
    automaton = importlib.import_module("ahocorasick").Automaton()
    for name in names:
        automaton.add_word(name.casefold(), len(name.casefold()))
    automaton.make_automaton()

    def finds(text: str) -> bool:
        low = text.casefold()
        return any(between_words(low, last + 1 - length, last + 1) for last, length in automaton.iter(low))

    return finds


WAYS: dict[str, Callable[[Sequence[str]], Finds]] = {"shipped": own, "ahocorasick-rs": rust, "pyahocorasick": in_c}


def resident() -> float:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def measured(way: str, count: int, texts: Sequence[str]) -> tuple[float, float, float, int]:
    """Seconds to build, MB held, microseconds a character (the least of REPEATS), texts with a find."""
    names = named(count)
    before, began = resident(), time.process_time()
    finds = WAYS[way](names)
    built, held = time.process_time() - began, resident() - before
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        found = sum(map(finds, texts))
        took.append(time.process_time() - began)
    return built, held, min(took) / sum(map(len, texts)) * 1e6, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--names", type=int, nargs="+", default=[len(shipped()), 1_000_000])
    args = parser.parse_args()
    texts = args.texts.read_text("utf-8").splitlines()
    spawn = multiprocessing.get_context("spawn")
    print(f"{len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters")
    print("names\tway\tbuild s\tMB\tus\tfinds")
    for count in args.names:
        for way in WAYS:
            with spawn.Pool(1) as pool:
                built, held, asked, found = pool.apply(measured, (way, count, texts))
            print(f"{count}\t{way}\t{built:.1f}\t{held:.0f}\t{asked:.2f}\t{found}", flush=True)


if __name__ == "__main__":
    main()
