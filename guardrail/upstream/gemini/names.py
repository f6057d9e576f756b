"""Names of the Gemini API. Clients write them in two casings, often both in one request, and proto JSON reads both."""

from __future__ import annotations

import re

from guardrail.upstream.slots import Vocabulary

KNOWN = frozenset(
    {
        "contents", "role", "parts", "text", "inlinedata", "filedata", "mimetype", "data", "fileuri", "displayname",
        "systeminstruction", "safetysettings", "category", "threshold", "method", "cachedcontent", "tools",
        "toolconfig", "generationconfig", "candidatecount", "responsemodalities", "imageconfig", "persongeneration",
        "prominentpeople", "thoughtsignature", "functioncall", "functionresponse", "functiondeclarations", "labels",
        "continuationtoken", "generationoutputconfig", "model", "content", "candidates", "finishreason",
        "finishmessage", "promptfeedback", "blockreason",
    }
)  # fmt: skip
# Fields that bring in what nobody here can look at, or send the answer past the guard.
BY_REFERENCE = {
    "cachedcontent": "a cache holds a conversation that is not in the request; send the conversation itself",
    "continuationtoken": "it goes on with a conversation that is not in the request; send the conversation itself",
    "generationoutputconfig": "it sends the answer past the guard",
}
# Tools that read nothing but text, and none that the caller names.
TOOLS = frozenset(
    {"functiondeclarations", "googlesearch", "googlesearchretrieval", "codeexecution", "googlemaps",
     "enterprisewebsearch"}
)  # fmt: skip
VOCABULARY = Vocabulary(
    pictures=frozenset(),
    references=frozenset(),
    file_ids=frozenset(),
    identifiers=frozenset({"model", "labels"}),
    prompts=frozenset(),
    plain=re.compile(
        r"(?:text|image|audio|auto|none|any|validated|true|false|minimal|low|medium|high|standard|priority|flex"
        r"|[0-9]{1,2}:[0-9]{1,2}|[0-9.]{1,4}k|image/(?:png|jpeg|webp)|application/json|text/plain|text/x\.enum"
        r"|(?:media_resolution|modality|harm_category|harm_block_method|mode|image|prominent_people)_[a-z_]{1,40}"
        r"|block_[a-z_]{1,40}|allow_[a-z_]{1,40}|dont_allow|string|number|integer|boolean|array|object|null)?",
        re.IGNORECASE,
    ),
)
PICTURE_KIND = re.compile(r"image/[A-Za-z0-9.+-]{1,100}")
"""The type of a picture, as the vendor reads it: what is called anything else is read as that, whatever it is."""
SAFE_THRESHOLDS = frozenset({"HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE"})
CLAMPED_THRESHOLD = b"BLOCK_MEDIUM_AND_ABOVE"
# Who may be in a picture: the vendor's own switch, at most as open as this.
SAFE_PEOPLE = frozenset({"DONT_ALLOW", "ALLOW_NONE", "ALLOW_ADULT"})
CLAMPED_PEOPLE = b"ALLOW_ADULT"
SAFE_PROMINENT = frozenset({"BLOCK_PROMINENT_PEOPLE"})
CLAMPED_PROMINENT = b"BLOCK_PROMINENT_PEOPLE"


def plain(name: str) -> str:
    """A field's name without its casing: "inlineData" and "inline_data" are one."""
    return name.replace("_", "").casefold()
