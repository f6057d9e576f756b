"""Sections: the parts of a structured prompt that are judged apart.

What the prompt's own syntax marks as unwanted is left out: "nudity" in a negative prompt is a good sign. The syntax
must be unmistakable (a JSON field, a command-line switch, a line of its own), or any harmful text could be hidden
behind the word "negative"; all else is judged. The unwanted part is handed on too: clothes in it are an undress
request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from guardrail.inference.text.cut import rejoined

# JSON is only tried on what may be JSON, and only this deep.
_DEEPEST = 8
_NEGATIVE_FIELDS = frozenset(
    (
        "negative_prompt", "negativeprompt", "negative", "uc", "undesired_content", "negative_prompts", "negatives",
        "negative_tags", "neg_prompt",
    )
)  # fmt: skip
# Fields of instructions as much as of what is not wanted: only nakedness is left out of them, and all else is asked
# for, with the name, as one who reads language has it ("avoid": "hesitating, and her dress").
_LOOSE_FIELDS = frozenset(("unwanted", "exclude", "excluded", "exclusions", "avoid"))
# Fields that only carry a text: their names are no part of what it says.
_CARRIERS = frozenset(
    (
        "prompt", "prompts", "text", "texts", "instruction", "instructions", "input", "inputs", "content", "contents",
        "caption", "description", "message", "messages", "query", "request", "parts", "data", "body", "params",
        "parameters", "positive", "value",
    )
)  # fmt: skip
# Nakedness, what may stand beside it in a tag, and in the name of a switch ("allow_nsfw"). Any other word there may
# turn it around ("no_nudity") or be somebody ("naked girl").
_NAKED = frozenset(
    (
        "nsfw", "nude", "nudes", "nudity", "naked", "nakedness", "explicit", "porn", "porno", "pornography",
        "pornographic", "sexual", "sex", "hentai", "genitals", "genitalia", "nipples", "naakt", "naaktheid", "bloot",
        "seks", "seksueel", "nackt", "nacktheit", "pornografie", "sexuell", "explizit", "nu", "nue", "nus", "nues",
        "nudité", "sexe", "sexuel", "explicite", "desnudo", "desnuda", "desnudos", "desnudez", "sexo", "nudo", "nuda",
        "nudità", "sesso", "esplicito", "nua", "nudez", "nagi", "naga", "nagie", "nagość", "çıplak", "çıplaklık",
        "cinsel", "голый", "голая", "голые", "нагота", "обнаженный", "обнажённый", "обнаженная", "обнажённая", "порно",
        "секс", "عري", "عارية", "عاري", "إباحي", "裸", "裸体", "裸露", "全裸", "色情", "ヌード", "エロ", "나체",
        "누드", "알몸",
    )
)  # fmt: skip
_BESIDE_NAKED = frozenset(
    ("content", "imagery", "images", "image", "material", "scenes", "elements", "people", "bodies", "any", "all")
)
_SWITCHES = frozenset(
    (
        "allow", "allowed", "allows", "enable", "enabled", "is", "has", "contain", "contains", "show", "include",
        "includes", "permit", "permitted", "mode", "level", "rating", "flag", "ok", "output", "adult",
    )
)  # fmt: skip
# By itself "adult" says how old somebody is.
_ADULT_CONTENT = frozenset(("adult", "content"))
_OFF = frozenset(("0", "false", "no", "none", "off", "never", "nee", "nein", "non"))
_OFF_WORDS = _OFF | {"null"}
# Fields of settings: not what is asked for, as long as they say no more than a setting does ("DPM++ 2M Karras").
_SILENT_FIELDS = frozenset(("seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height", "model", "size"))
_SETTING_WORDS = 3
# Characters of a name that may be said again beside one of nothing.
_MOST_NAME = 6
_SWITCH = re.compile(r"(?<!\S)--(no|neg|negative)\s")
_NEXT_SWITCH = re.compile(r"(?<!\S)--[a-z]")
_LINE = re.compile(r"^[ \t]{0,8}negative[ _]prompt[ \t]{0,8}[:=]", re.IGNORECASE | re.MULTILINE)
# The same in other words or within a line, which may also be what is asked for: only nakedness is left out of it.
_LABEL = re.compile(
    r"(^|[.,;\[(|#])[ \t]{0,8}(?:negative(?:s|[ _]prompts?)?|neg(?:[ _]prompt)?|uc|undesired(?:[ _]content)?|"
    r"negatieve[ _]prompt|negativ(?:e[rn]?)?[ _-]?prompt|prompt[ _]n[ée]gatif|prompt[ _]negativo|negatywny[ _]prompt|"
    r"(?:negatif|olumsuz)[ _](?:prompt|istem)|(?:негативный|отрицательный)[ _](?:промпт|запрос)|"
    r"(?:الوصف|النص|الموجه)[ _]السلبي|ネガティブ(?:プロンプト)?|(?:네거티브|부정)[ _]?프롬프트|"
    r"[负負反][面向]?提示[词詞]?)"
    r"[ \t]{0,8}[:=\uff1a]([^\n\])]{0,2000})",
    re.IGNORECASE | re.MULTILINE,
)
# A switch in a line of its own: "nsfw = False", "nudity: none".
_OFF_LINE = re.compile(
    r"^[ \t]{0,8}[\"']?([^\W\d][\w -]{0,30})[\"']?[ \t]{0,4}[:=][ \t]{0,4}(\w{1,5})[ \t,;]{0,4}$", re.MULTILINE
)
# A tag that weighs less than nothing: "nude::-1", "(nude:-0.5)".
_MINUS = re.compile(
    r"(?:(?<![^,;|\n()\[\]\s])|\A)([^,;|\n()\[\]:\s][^,;|"
    r"\n()\[\]:]{0,40}?)[ \t]{0,3}::?-(?:[0-9]{1,3}(?:\.[0-9]{1,4})?|"
    r"\.[0-9]{1,4})(?![\w.])"
)
_BEFORE_TAG = re.compile(r"[,;|\n()\[\]]\s*\Z|::?-?[0-9.]{1,6}\s*\Z")
# (word:1.4), [word], <lora:name:0.8>: weights and brackets carry no meaning; a LoRA's name does ("undress_v2").
_WEIGHT = re.compile(r":-?[0-9]{1,3}(?:\.[0-9]{1,4})?(?=[)\]>}])")
# The weight of a tag of what is not wanted, wherever it stands: "clothes::2", "hat:1.4".
_TAG_WEIGHT = re.compile(r"::?-?[0-9]{1,3}(?:\.[0-9]{1,4})?(?![\w.])")
# "<18" says who somebody is.
_BRACKETS = re.compile(r"[()\[\]{}>]|<(?! ?[0-9])")
_LORA = re.compile(r"<(?:lora|lyco|hypernet|embedding):([^<>:]{1,200})", re.IGNORECASE)
# A word right behind the weight of such a tag, or of several.
_GOES_ON = re.compile(r"(?::-?[0-9.]{1,8}){0,3}>\s{0,4}[^\W_]")
_WORD = re.compile(r"[^\W\d_]+")
# What ends a tag, and what stands before or within one that names clothes all the same: "her dress", "hats and coats".
_TAG_END = re.compile(r"[,;.\n\u3001\u3002\uff0c]")
_LONGEST_TAG = 60
_DETERMINERS = re.compile(
    r"(?:(?:all|any|every|the|an?|of|her|his|their|its|my|your|wearing|\w{1,20}['\u2019]s|de|het|een|alle|haar|zijn|"
    r"die|das|der|ihren?|ihre[rs]?|seinen?|les?|la|l['\u2019]|ses|sa|son|tous|toute?s?|los|las|el|sus?|toda|todos?|"
    r"todas|gli|il|lo|suo|sua|suoi|sue|seus?|suas|os|as|o|jej|jego|её|ее|его|все|всю|tüm|bütün|onun)\s+|"
    r"她的|他的|所有|彼女の|彼の|그녀의\s?|모든\s)+",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"\s+(?:and|or|en|of|und|oder|et|ou|y|e|o|i|ve|и)\s+|\s*[&+/]\s*", re.IGNORECASE)
# Not to be dressed is to be without clothes.
_DRESSED = re.compile(
    r"(?:(?:fully|volledig|ganz|entièrement|completamente) )?(?:clothed|dressed|(?:aan)?gekleed|angezogen|bekleidet|"
    r"habillée?s?|vêtue?s?|vestid[oa]s?|vestit[oaie]|ubran[aeiy]|giyinik|одет(?:ая|ый|ые)|着衣)",
    re.IGNORECASE,
)
_NAME_JOINT = re.compile(r"[_.\-0-9]+|(?<=[a-z])(?=[A-Z])")
# Parts of a prompt that are drawn one after the other, or by chance: each is asked for.
_BREAKS = re.compile(r"(?<!\S)(?:BREAK|AND|ADDCOMM|ADDBASE|ADDROW|ADDCOL)(?!\S)|\|")


@dataclass(frozen=True)
class Sections:
    """The parts of a prompt: what it asks for, each to be judged by itself, and what it says it does not want."""

    asked: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


def sections(text: str) -> Sections:
    """Take a prompt apart; weights and brackets are taken off.

    A JSON prompt gives one section per text field (what goes on in the next one as one with it), all of them as one,
    and all of them with the names of their fields ("clothing: none", "age: 12"), as a generator that reads language has
    it; a prompt in words gives one section, without what follows a `--no` switch or a line "Negative prompt:"; when
    nothing else is there, that is asked.
    """
    unwanted: list[str] = []
    asked = _from_json(text, unwanted) if text.lstrip()[:1] in ("{", "[") else []
    structured = bool(asked)
    if not asked:
        unwanted.clear()
        kept = _without_negative(text, unwanted)
        asked = [kept]
        if not kept.strip():
            asked, unwanted = [text], []
    asked = [_without_marked(part, unwanted, structured) for part in asked]
    unwanted = [_TAG_WEIGHT.sub(" ", part) if ":" in part else part for part in unwanted]
    if bared := ", ".join(chain.from_iterable(map(_bared, unwanted))):
        unwanted.append(bared)
    return Sections(tuple(_plain(part) for part in asked), tuple(_plain(part) for part in unwanted))


def _bared(unwanted: str) -> Iterator[str]:
    """What tags name without the words around it: a garment stays one as "her dress" or as one of two."""
    for tag in map(str.strip, _TAG_END.split(unwanted)):
        if not 0 < len(tag) <= _LONGEST_TAG:
            continue
        parts = [_after_determiners(part) for part in _TOGETHER.split(tag)]
        named = ["clothes" if _DRESSED.fullmatch(part) else part for part in parts]
        if named != [tag]:
            yield from named


def _after_determiners(part: str) -> str:
    found = _DETERMINERS.match(part)
    return part[found.end() :] if found else part


def _plain(text: str) -> str:
    if not text.isupper():
        text = _BREAKS.sub("\n", text)
    if not any(c in text for c in "()[]{}<>"):
        return text
    text = _LORA.sub(_model_name, text)
    return _BRACKETS.sub(" ", _WEIGHT.sub(" ", text))


def _model_name(match: re.Match[str]) -> str:
    """The name of a fine-tuned model as a tag: "<lora:nude_fixV2:1>" asks for what it was made for.

    What stands behind it is no part of the name: "<lora:nude_lipstick:1> portrait of a woman".
    """
    name = _NAME_JOINT.sub(" ", match[1]).strip()
    return f" {name}, " if _GOES_ON.match(match.string, match.end()) else f" {name} "


def _without_negative(text: str, unwanted: list[str]) -> str:
    if line := _LINE.search(text):
        # What follows is unwanted up to the line of settings ("Steps: 20, ...").
        after = text[line.end() :]
        settings = after.find("\nSteps:")
        unwanted.append(after if settings < 0 else after[:settings])
        text = text[: line.start()] + (after[settings:] if settings >= 0 else "")
    if not _SWITCH.search(text):
        return text
    parts, at = [], 0
    while switch := _SWITCH.search(text, at):
        parts.append(text[at : switch.start()])
        following = _NEXT_SWITCH.search(text, switch.end())
        end = following.start() if following else len(text)
        unwanted.append(text[switch.end() : end])
        at = end
    return " ".join([*parts, text[at:]])


def _without_marked(text: str, unwanted: list[str], structured: bool) -> str:
    """A text without the nakedness that its signs mark as unwanted; the text where nothing else is there.

    In a `structured` prompt fields say what is unwanted, and a line's own labels say nothing.
    """
    if not any(sign in text for sign in ":=\uff1a"):
        return text
    marked: list[str] = []

    def told(tag: str) -> bool:
        marked.append(tag)
        return _is_nakedness(tag)

    def label(match: re.Match[str]) -> str:
        tags = [tag.strip() for tag in _TAG_END.split(match[2])]
        left = [tag for tag in tags if not told(tag)]
        return f"{match[1].strip('[(#')} {', '.join(left)}" if len(left) < len(tags) else match[0]

    def minus(match: re.Match[str]) -> str:
        at = match.start()
        whole = not text[:at].strip() or _BEFORE_TAG.search(text, max(0, at - 12), at)
        return " " if whole and (told(match[1].strip()) or _DRESSED.fullmatch(match[1].strip())) else match[0]

    def switch(match: re.Match[str]) -> str:
        off = match[2].casefold() in _OFF_WORDS and _switches(_NAME_JOINT.sub(" ", match[1]))
        return "" if off else match[0]

    kept = _MINUS.sub(minus, text)
    if not structured:
        kept = _OFF_LINE.sub(switch, _LABEL.sub(label, kept))
    if kept == text or not _WORD.search(kept):
        return text
    unwanted.extend(tag for tag in marked if tag)
    return kept


class _Fields(list[tuple[str, Any]]):
    """The fields of an object, one as often as it stands there: who reads the text reads each."""


def _from_json(text: str, unwanted: list[str]) -> list[str]:
    negative: list[str] = []
    try:
        told = list(_told(json.loads(text, object_pairs_hook=_Fields), "", 0, negative))
    except (ValueError, RecursionError):
        return []
    unwanted += negative
    asked = rejoined([part for part, _ in told if part.strip()])
    if len(told) > 1 and asked:
        together = (". ".join(asked), ". ".join(said for _, said in told))
        asked += [one for one in dict.fromkeys(together) if one not in asked]
    elif asked and not _CARRIERS.issuperset(_WORD.findall(told[0][1].removesuffix(asked[0]).casefold())):
        asked.append(told[0][1])
    return asked


def _told(value: Any, name: str, depth: int, unwanted: list[str]) -> Iterator[tuple[str, str]]:
    """What a value says by itself, "" for a number, and what it says beside its name.

    The first thing within a value says its name, and others in a list where it is short beside what they say: a long
    name beside each would make a text as long as the square of the prompt.
    """
    if isinstance(value, str):
        yield value, _named(name, value)
    elif isinstance(value, bool | int | float):
        yield "", _named(name, _said(value))
    elif isinstance(value, _Fields | list) and depth >= _DEEPEST:
        deep = json.dumps(value, ensure_ascii=False)  # too deep to read as structure: read as text
        yield deep, _named(name, deep)
    elif isinstance(value, _Fields):
        yield from _of_fields(value, name, depth, unwanted)
    elif isinstance(value, list) and all(isinstance(part, str | bool | int | float) for part in value):
        tags = ", ".join(map(_said, value))  # a list of tags is one text
        yield tags if any(isinstance(part, str) for part in value) else "", _named(name, tags)
    elif isinstance(value, list):
        for part in value:
            for told in _told(part, name, depth + 1, unwanted):
                if isinstance(part, _Fields) or len(name) > _MOST_NAME + 2 * len(told[0]):
                    name = ""
                yield told


def _of_fields(fields: _Fields, around: str, depth: int, unwanted: list[str]) -> Iterator[tuple[str, str]]:
    """What an object says, `around` which so many names stand."""
    for name, inside in fields:
        low = name.casefold().replace(" ", "_").replace("-", "_")
        words = _NAME_JOINT.sub(" ", name)
        if low in _NEGATIVE_FIELDS or low in _LOOSE_FIELDS:
            if low in _NEGATIVE_FIELDS and not _turned(inside, depth):
                unwanted.extend(_tags(inside, depth))
            elif (left := _without_nakedness(inside, depth, unwanted)) is not None:
                yield from _told(left, f"{around} {words}".strip(), depth + 1, unwanted)
                around = ""
        elif _is_off(words, inside):
            unwanted.append(words)
        elif low not in _SILENT_FIELDS or not _is_setting(inside):
            if not _is_setting(words):
                yield words, words
            for told in _told(inside, f"{around} {words}".strip(), depth + 1, unwanted):
                around = ""
                yield told


def _said(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)


def _is_off(name: str, inside: Any) -> bool:
    """True for a switch for nakedness, and nothing else, that is off."""
    return isinstance(inside, str | bool | int | float) and str(inside).strip().casefold() in _OFF and _switches(name)


def _switches(name: str) -> bool:
    words = frozenset(_WORD.findall(name.casefold()))
    if not words <= _NAKED | _BESIDE_NAKED | _SWITCHES:
        return False
    return not words.isdisjoint(_NAKED) or words >= _ADULT_CONTENT


def _is_nakedness(tag: str) -> bool:
    """True for a tag that names nakedness and nothing else."""
    words = frozenset(_WORD.findall(tag.casefold()))
    return words <= _NAKED | _BESIDE_NAKED and not words.isdisjoint(_NAKED)


def _is_negative(name: str) -> bool:
    return name.casefold().replace(" ", "_").replace("-", "_") in _NEGATIVE_FIELDS | _LOOSE_FIELDS


def _turned(inside: Any, depth: int) -> bool:
    """True where something within what is not wanted says that it is none of it: {"avoid": {"nude": false}}."""
    if depth > _DEEPEST or not isinstance(inside, list):
        return depth > _DEEPEST
    if not isinstance(inside, _Fields):
        return any(_turned(part, depth + 1) for part in inside)
    return any(
        _is_negative(name) or _is_off(_NAME_JOINT.sub(" ", name), part) or _turned(part, depth + 1)
        for name, part in inside
    )


def _tags(inside: Any, depth: int) -> Iterator[str]:
    """What a negative prompt names, however it is written down."""
    if isinstance(inside, _Fields):
        for name, part in inside:
            if part:
                yield _NAME_JOINT.sub(" ", name)
            yield from _tags(part, depth + 1)
    elif isinstance(inside, list) and all(isinstance(part, str) for part in inside):
        yield ", ".join(inside)
    elif isinstance(inside, list):
        for part in inside:
            yield from _tags(part, depth + 1)
    elif isinstance(inside, str):
        yield inside


def _without_nakedness(inside: Any, depth: int, unwanted: list[str]) -> Any:
    """What is left of a value without the nakedness that it does not want; None where nothing is."""
    if isinstance(inside, str):
        tags = [tag.strip() for tag in _TAG_END.split(inside) if tag.strip()]
        left = [tag for tag in tags if not _is_nakedness(tag)]
        if len(left) == len(tags):
            return inside
        unwanted.append(", ".join(tag for tag in tags if _is_nakedness(tag)))
        return ", ".join(left) or None
    if not isinstance(inside, list):
        return inside
    if _turned(inside, depth):
        return json.dumps(inside, ensure_ascii=False)
    if isinstance(inside, _Fields):
        switched = [name for name, on in inside if isinstance(on, bool | int | float) and on and _is_nakedness(name)]
        unwanted.extend(switched)
        pairs = ((name, _without_nakedness(part, depth + 1, unwanted)) for name, part in inside if name not in switched)
        return _Fields((name, part) for name, part in pairs if part is not None) or None
    kept = (_without_nakedness(part, depth + 1, unwanted) for part in inside)
    return [part for part in kept if part is not None] or None


def _is_setting(value: Any) -> bool:
    if isinstance(value, str):
        return len(_WORD.findall(value)) <= _SETTING_WORDS
    return not isinstance(value, list)


def _named(name: str, said: str) -> str:
    return f"{name}: {said}" if name else said
