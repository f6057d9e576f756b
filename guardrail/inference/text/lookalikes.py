"""Letters that pass for others: the tables that the fold reads by."""

from __future__ import annotations

import re
import unicodedata


def _confusables() -> dict[str, str]:
    """Letters of other scripts that look like a Latin one, in their usual fonts."""
    pairs = {
        # Cyrillic
        "а": "a", "в": "b", "е": "e", "ё": "e", "ѕ": "s", "і": "i", "ї": "i", "ј": "j", "к": "k", "м": "m", "н": "h",
        "о": "o", "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ԁ": "d", "һ": "h", "ԛ": "q", "ԝ": "w", "ь": "b",
        "г": "r", "п": "n", "и": "u", "ɡ": "g", "ѵ": "v", "ӏ": "l", "А": "A", "В": "B", "Е": "E", "Ѕ": "S", "І": "I",
        "Ј": "J", "К": "K", "М": "M", "Н": "H", "О": "O", "Р": "P", "С": "C", "Т": "T", "У": "Y", "Х": "X", "Ԁ": "D",
        "Ԝ": "W", "Ѵ": "V", "Ӏ": "l", "З": "3", "з": "3",
        # Greek
        "α": "a", "β": "b", "γ": "y", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "σ": "o",
        "τ": "t", "υ": "u", "χ": "x", "ω": "w", "ς": "s", "ϲ": "c", "ϳ": "j", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z",
        "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X",
        # Armenian, Cherokee, Coptic-like letters met in the wild
        "ո": "n", "ս": "u", "օ": "o", "հ": "h", "ց": "g", "զ": "q", "լ": "l", "ք": "p", "ա": "w", "Ꭰ": "D", "Ꭱ": "R",
        "Ꭲ": "T", "Ꭺ": "A", "Ꭻ": "J", "Ꭼ": "E", "Ꮃ": "W", "Ꮇ": "M", "Ꮋ": "H", "Ꮐ": "G", "Ꮓ": "Z", "Ꮪ": "S", "Ꮯ": "C",
        "Ꮲ": "P", "Ꮮ": "L", "Ꮩ": "V", "Ꮶ": "K", "Ᏼ": "B",
    }  # fmt: skip
    return pairs


LOOKS_LATIN = _confusables()
LOOKS_CYRILLIC = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "y": "у", "x": "х", "k": "к", "m": "м", "t": "т",
                   "h": "н", "b": "в", "i": "і", "A": "А", "E": "Е", "O": "О", "P": "Р", "C": "С", "X": "Х", "K": "К",
                   "M": "М", "T": "Т", "H": "Н", "B": "В", "0": "о", "3": "з"}  # fmt: skip


def _styled() -> dict[int, str]:
    """Letters in costume that NFKC leaves alone: small capitals, boxed and flag letters, by their Unicode names."""
    named = re.compile(r"(?:LATIN LETTER SMALL CAPITAL|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER) ([A-Z])")
    table = {}
    for first, last in ((0x0250, 0x02AF), (0x1D00, 0x1D7F), (0xA720, 0xA7FF), (0x1F130, 0x1F18F)):
        for point in range(first, last + 1):
            if found := named.fullmatch(unicodedata.name(chr(point), "")):
                table[point] = found[1].lower()
    table.update({ord("ɑ"): "a", ord("ɡ"): "g", ord("ɩ"): "i", ord("ꞵ"): "b", ord("ᴉ"): "i", ord("ʋ"): "v"})
    return table


STYLED = _styled()
