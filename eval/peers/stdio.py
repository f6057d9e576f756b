"""The protocol of peers: JSON lines over standard input and output. Needs nothing but Python.

First line in: {"options": {...}}. First line out: {"models": ["name@version"], "scores": ["adult"]}.
Then for each line in, {"id": 7, "text": "..."} or {"id": 7, "image": "<base64 of the file>"}, one line out:
{"id": 7, "scores": {"adult": 0.93}} or {"id": 7, "error": "why it could not look"}; a null score: could not tell.
"""

import base64
import json
import os
import sys


def serve(opened, models, scores):
    """Answer until standard input closes. `opened(options)` gives a function of a text (str) or a picture (bytes)."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    score = opened(json.loads(sys.stdin.readline())["options"])
    print(json.dumps({"models": models, "scores": scores}), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            given = asked["text"] if "text" in asked else base64.b64decode(asked["image"])
            answer = {"id": asked["id"], "scores": score(given)}
        except Exception as error:  # not its message: it may quote what it choked on
            answer = {"id": asked["id"], "error": f"{type(error).__name__}"}
        print(json.dumps(answer), file=out, flush=True)


def version(package):
    """name@version of an installed package."""
    from importlib.metadata import version as installed

    return f"{package}@{installed(package)}"
