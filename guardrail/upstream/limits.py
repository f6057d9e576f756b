"""How much of a stranger's request, and of a generator's answer, is read: the same for every dialect."""

from __future__ import annotations

from dataclasses import dataclass, field

from guardrail.upstream.spans import JsonLimits


@dataclass(frozen=True)
class Limits:
    """Limits of a dialect; sizes in bytes.

    `images`, `image_bytes`, `prompt_chars` and `n` are the OpenAI API's own (edits: 16 images under 50 MB, 32,000
    characters, n up to 10). `pictures` counts every picture of a request: images, mask, mark-up, and those in fields
    nobody documented. `texts` counts every text that is judged, `all_text_chars` the characters of all
    texts and settings. `urls` counts the references fetched for one request or
    one answer. `numbers` counts those in lists, where a picture could be spelled out. `event_bytes` is the most that
    one event of a stream may have.
    """

    body_bytes: int = 256_000_000
    image_bytes: int = 50_000_000
    images: int = 16
    pictures: int = 20
    prompt_chars: int = 32_000
    texts: int = 16
    all_text_chars: int = 500_000
    n: int = 10
    urls: int = 16
    parts: int = 64
    entries: int = 32
    event_bytes: int = 70_000_000
    numbers: int = 256
    json: JsonLimits = field(default_factory=JsonLimits)
