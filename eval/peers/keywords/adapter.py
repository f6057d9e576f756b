"""Keyword lists as they are put in front of generators: 1 where one of the words is there.

Without the option `words`, the list beside this file.
"""

import re
import sys
import unicodedata
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from stdio import serve

# Scripts that put no spaces between words: there a listed word is looked for anywhere.
DENSE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def opened(options):
    raw = Path(options.get("words") or Path(__file__).with_name("words.txt")).read_bytes()
    words = {plain(line) for line in raw.decode().splitlines() if line.strip() and not line.startswith("#")}
    MODELS[0] = f"keywords@{sha256(raw).hexdigest()[:8]}"
    spaced = sorted((re.escape(word) for word in words if not DENSE.search(word)), key=len, reverse=True)
    dense = sorted((re.escape(word) for word in words if DENSE.search(word)), key=len, reverse=True)
    parts = [rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)"] * bool(spaced) + ["|".join(dense)] * bool(dense)
    pattern = re.compile("|".join(parts))
    return lambda text: {"listed": float(pattern.search(plain(text)) is not None)}


def plain(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()


MODELS = ["keywords"]
serve(opened, MODELS, ["listed"])
