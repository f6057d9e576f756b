"""Disguised requests are found as plain ones are, and disguised harmless text stays harmless, by the real heads."""

from __future__ import annotations

import random
import time

import pytest

from guardrail.checks.prompt import PromptSafety
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.fold import Folded, fold
from guardrail.inference.text.prompts import PromptReader, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, packaged_second
from guardrail.types import Artifact, Kind
from tests.checks.people import real_models
from tests.inference.text import disguises

pytestmark = pytest.mark.weights
ASKS = ("sexual", "undress", "revealing")


@pytest.fixture(scope="module")
def judge() -> PromptSafety:
    models = real_models("use-multilingual", "multilingual-e5-small")
    encoder = TextEncoder(models.session("use-multilingual"), models.path("use-multilingual", "sp.model"))
    again = SecondEncoder(models.session("multilingual-e5-small"), models.path("multilingual-e5-small", "e5.model"))
    reader = PromptReader(encoder, packaged_lexicon())
    return PromptSafety(reader, packaged_heads(), "use-multilingual@test", second=packaged_second(again))


def flagged(judge: PromptSafety, texts: list[str]) -> list[bool]:
    scores = judge.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts])
    return [any(isinstance(score[name], float) and score[name] >= 0.5 for name in ASKS) for score in scores]


def plainly(judge: PromptSafety, disguise: str) -> list[str]:
    """Requests that are found undisguised."""
    texts = [text for lang, rows in disguises.ASKED.items() if disguises.fits(disguise, lang) for _, text in rows]
    return [text for text, found in zip(texts, flagged(judge, texts), strict=True) if found]


@pytest.mark.parametrize("name", disguises.HELD)
def test_nine_in_ten_requests_are_still_found_in_disguise(judge: PromptSafety, name: str) -> None:
    chance = random.Random(7)
    texts = plainly(judge, name)
    assert len(texts) > 30
    found = flagged(judge, [disguises.HELD[name](text, chance) for text in texts])
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("name", disguises.HELD)
def test_harmless_text_in_disguise_stays_harmless(judge: PromptSafety, name: str) -> None:
    chance = random.Random(8)
    texts = [text for lang, rows in disguises.HARMLESS.items() if disguises.fits(name, lang) for text in rows]
    found = flagged(judge, [disguises.HELD[name](text, chance) for text in texts])
    assert sum(found) <= 0.06 * len(found)


def test_nine_in_ten_requests_are_found_with_something_in_their_words(judge: PromptSafety) -> None:
    asked = [text for lang in sorted(disguises.ALONE_IN) for _, text in disguises.ASKED[lang]]
    plain = [text for text, found in zip(asked, flagged(judge, asked), strict=True) if found]
    assert len(plain) > 20
    for name, disguise in disguises.HELD_ALONE.items():
        chance = random.Random(7)
        found = flagged(judge, [disguise(text, chance) for text in plain])
        assert sum(found) >= 0.9 * len(found), name


def test_harmless_text_with_something_in_its_words_stays_harmless(judge: PromptSafety) -> None:
    plain = [text for lang in sorted(disguises.ALONE_IN) for text in disguises.HARMLESS[lang]]
    for name, disguise in disguises.HELD_ALONE.items():
        chance = random.Random(8)
        found = flagged(judge, [disguise(text, chance) for text in plain])
        assert sum(found) <= 0.06 * len(found), name


@pytest.mark.parametrize("name", disguises.HELD_ALONE)
def test_something_in_words_raises_evasion_and_is_folded_for_good(judge: PromptSafety, name: str) -> None:
    for lang in sorted(disguises.ALONE_IN):
        for _, text in disguises.ASKED[lang]:
            found = fold(disguises.HELD_ALONE[name](text, random.Random(3)), judge.reader)
            assert found.disguise > fold(text, judge.reader).disguise
            assert fold(found.text, judge.reader).text == found.text


HONEST = (
    "Born 12/05/1998, 3/4 cup, 10:30, and/or, he/she, s/he, (s)he, w/o, n/a, b/w, km/h, 18+, 24/7",
    "https://example.com/foot/ball.html?a=b&c=d#top and www.site.org/under/wear, mail a.b@c.com",
    "/usr/local/lib/python3/site-packages/foo.py and C:\\Users\\anna\\Pictures\\new\\beach.png",
    'def remove(x): return [y for y in x if y != "a"]  # comment; a+=b; if(a&&b){c=d;}',
    "# Title\n\n**bold** and *italic* and `code` and ~~gone~~ and [link](https://a.b/c) and ![alt](x.png)\n\n- one",
    '<div class="a"><p>A <b>red</b> coat<br>and a <i>hat</i></p></div>',
    "2,4-dichlorophenoxyacetic acid, N,N-dimethyl-formamide, (2S,3R)-3-hydroxy, poly(methyl methacrylate), H2O, NaCl",
    r"^[a-z]+\d{2,}(?:foo|bar)?$ and s/foo/bar/g and \bword\b",
    "the moon is high\nabove the sea\nand no one knows\nwhere it may be\n\nso stay with me\ntill morning light",
    "shopping list:\neggs\nmilk\nbread\nbutter\nItem\tPrice\tQty\ncoat\t10\t2\nhat\t5\t1",
    "rock 'n' roll, o'clock, dell'arte, l'été, aujourd'hui, İstanbul'da, y'all, He said: \"don\\'t\"",
    "C#, C++, .NET, AT&T, R&B, red/green/blue, black&white, sun+moon, micro\tbikini",
    "model=trench_coat in a rainy street",
    "Lehrer:innen, jede*r, étudiant(e)s, ami·e·s, chicos/as, model(s), child(ren)",
    'He said:"hello,world"and left.Then...nothing.What?Who?Me! hyper - realistic, hyper - detailed',
    "love🔥fire sun🌻flower I❤️NY 🎉party🎉time",
    '{"prompt": "a red coat", "size": "1024x1024", "n": 1, "style": {"mood": "calm"}}',
    "mp3, h264, 4k, f1.8, iphone15pro, gpt4, covid19, w3c, i18n, k8s, b4, gr8, r2d2, c3po, a1b2c3, sex3e-5",
    "a e i o u; A B C D E F G H I J K L M N O P Q R S T U V W X Y Z; sum = a + b + c; P(A|B); (a)(b)(c)",
    "lvl, hdr, rgb, png, jpg, dslr, vfx, cgi, npc, rpg; Otto, Leon, Nora, radar, kayak; luis omar, ellen, alen",
    "Mississippi bookkeeper committee aabbcc #ffaacc xxyyzz; the rapist is no therapist; man age; to get her",
)


@pytest.mark.parametrize("text", HONEST)
def test_what_is_honest_between_letters_stays(judge: PromptSafety, text: str) -> None:
    assert fold(text, judge.reader) == Folded(text, 0.0)


def test_nine_in_ten_requests_are_still_found_in_two_disguises_at_once(judge: PromptSafety) -> None:
    chance = random.Random(5)
    pairs = [(a, b) for a in disguises.HELD for b in disguises.HELD if disguises.together(a, b)]
    known = set(plainly(judge, "zero_width"))
    texts = []
    for first, second in chance.sample(pairs, 60):
        plain = [
            text
            for lang, rows in disguises.ASKED.items()
            if disguises.fits(first, lang) and disguises.fits(second, lang)
            for _, text in rows
            if text in known
        ]
        for text in chance.sample(plain, 6):
            texts.append(disguises.HELD[second](disguises.HELD[first](text, chance), chance))
    found = flagged(judge, texts)
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("name", disguises.HELD)
def test_folding_a_folded_disguise_changes_nothing(judge: PromptSafety, name: str) -> None:
    chance = random.Random(3)
    for rows in disguises.ASKED.values():
        once = fold(disguises.HELD[name](rows[0][1], chance), judge.reader).text
        assert fold(once, judge.reader).text == once


CHANCE = random.Random(1)
LONG = {
    "one word": "".join(CHANCE.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(32_000)),
    "chance words": "".join(CHANCE.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(32_000)),
    "signs": "".join(CHANCE.choice(".,;!?-_~|*") for _ in range(32_000)),
    "emoji": "👧🔥👗" * 10_000,
    "brackets": "(" * 16_000 + ")" * 16_000,
    "sentences": " ".join(f"coat {at} red." for at in range(2_400)),
    "clothes": " ".join(f"remove coat {at}" for at in range(2_000)),
    "mixed scripts": "".join(CHANCE.choice("абвгдежзaeop ") for _ in range(32_000)),
    "accents": "".join(CHANCE.choice("áèîöüñçšý ") for _ in range(32_000)),
    "breaks": "".join(CHANCE.choice("abcde.-_~|") for _ in range(32_000)),
    "codes": "".join(f"%{CHANCE.randrange(256):02x}" for _ in range(10_600)),
    "words with signs in them": "rem?ove her clo/thes " * 1_500,
    "letters one by one": "r?e?m?o?v?e h?e?r " * 1_700,
    "signs, lines, tags and pictures": "".join(
        CHANCE.choice("abcdeé?!/<>()[]\n\t\"'\\*_🔥\ufffd0123 ") for _ in range(32_000)
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_prompt_takes_at_most_three_times_the_time_per_character_of_an_ordinary_one(
    judge: PromptSafety, name: str
) -> None:
    ordinary = "a woman with a red coat walks beside her bicycle, café by the sea, 35mm; photo from 1998."

    def took(text: str) -> float:
        started = time.process_time()
        flagged(judge, [text])
        return time.process_time() - started

    short = sorted(took(ordinary) for _ in range(31))[15] / len(ordinary)
    assert min(took(LONG[name]) for _ in range(2)) / len(LONG[name]) <= 3 * short
