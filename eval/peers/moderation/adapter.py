"""An endpoint of the OpenAI moderation format: POST {url} {"input": text, "model": ...}, category_scores back.

A category that it leaves out, or says null of, could not be told.

Prompts leave this machine: only for text that may.
"""

import json
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from stdio import serve


def opened(options):
    headers = {"content-type": "application/json"}
    if options.get("key_file"):
        headers["authorization"] = "Bearer " + Path(options["key_file"]).read_text().strip()
    url, model = options["url"], options.get("model")
    if not url.startswith(("http://", "https://")):
        raise SystemExit("url: an http or https address is expected")
    MODELS[0] = f"moderation@{model or 'default'}"

    def score(text):
        body = json.dumps({"input": text, **({"model": model} if model else {})}).encode()
        asked = urllib.request.Request(url, body, headers)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
            given = json.load(answer)["results"][0]["category_scores"]
        return {"sexual": given.get("sexual"), "minors": given.get("sexual/minors")}

    return score


MODELS = ["moderation"]
serve(opened, MODELS, ["sexual", "minors"])
