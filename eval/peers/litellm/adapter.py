"""LiteLLM's content filter, as its proxy runs it before a call: 1 where it blocks or masks."""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from stdio import serve, version

CATEGORIES = [
    "harm_toxic_abuse",
    "harm_toxic_abuse_de",
    "harm_toxic_abuse_es",
    "harm_toxic_abuse_fr",
    "harmful_child_safety",
]


# Without it the package asks a public address for prices at start.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


def opened(options):
    from fastapi import HTTPException
    from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter.content_filter import ContentFilterGuardrail

    categories = [{"category": name, "enabled": True, "action": "BLOCK"} for name in CATEGORIES]
    guardrail = ContentFilterGuardrail(guardrail_name="peer", categories=categories, severity_threshold="low")
    if len(guardrail.loaded_categories) != len(CATEGORIES):
        raise SystemExit(f"categories loaded: {sorted(guardrail.loaded_categories)}")

    def score(text):
        try:
            told = asyncio.run(guardrail.apply_guardrail({"texts": [text]}, {}, "request"))
        except HTTPException:
            return {"blocked": 1.0}
        return {"blocked": float(told.get("texts") != [text])}

    return score


serve(opened, [version("litellm")], ["blocked"])
