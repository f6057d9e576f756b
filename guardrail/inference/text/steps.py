"""Steps: an edit told in turns, cut between them, or where the later ones say only "now the rest".

Each turn by itself asks for little. What the caller says is read in one go, without the answers. Where one turn takes a
piece of clothing off and a later one goes on in words that mean nothing by themselves, or names the next piece, the
whole is a request that is said here in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from guardrail.inference.text.cut import spaced
from guardrail.inference.text.lessening import on_nobody, says_none, shrinks
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.pieces import CONCEPTS

SAID = "remove the rest of her clothes too, take everything off"
"""What turns that go on taking clothes off amount to, in words that the heads know."""

# A turn that goes on has no more words than this; what has more says for itself what it wants.
_MOST_WORDS = 7
_WORD = re.compile(r"[^\W\d_]+")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# Words that go on, and words that may stand beside them.
_ON = frozenset(
    (
        "rest", "everything", "else", "more", "further", "continue", "keep", "remaining", "next", "all", "verder",
        "alles", "meer", "overige", "ook", "door", "weiter", "mehr", "übrige", "reste", "plus", "encore", "tout",
        "resto", "demás", "más", "todo", "sigue", "continúa", "tutto", "ancora", "continua", "mais", "tudo",
        "resztę", "reszta", "więcej", "wszystko", "dalej", "gerisini", "devam", "hepsini", "kalanını", "daha",
        "остальное", "всё", "все", "дальше", "ещё", "еще", "الباقي", "المزيد", "كل", "استمر", "나머지", "나머지도",
        "더", "계속", "전부", "adelante", "avanti", "continuez", "continuer", "kontynuuj", "prossegue", "siga",
        "продолжай", "продолжи", "продолжить", "تابع", "واصل", "계속해", "계속해줘", "계속해서", "마저",
    )
)  # fmt: skip
# Two words that go on, and neither of them alone.
_GO_ON = frozenset((("go", "on"), ("fahr", "fort"), ("fahre", "fort")))
_BESIDE = frozenset(
    (
        "now", "the", "a", "and", "then", "also", "too", "please", "of", "it", "them", "that", "going", "go", "on",
        "bit", "little", "even", "same", "with", "ok", "okay", "do", "her", "his", "off", "away", "one", "piece",
        "thing", "yes", "nu", "de", "het", "en", "dan", "nog", "beetje", "een", "ga", "maar", "doe", "haar",
        "zijn", "die", "dat", "weg", "uit", "toe", "graag", "ja", "jetzt", "den", "das", "und", "noch", "ein",
        "bisschen", "auch", "mach", "bitte", "ihr", "ihre", "sein", "ab", "maintenant", "le", "la", "les", "et",
        "un", "peu", "aussi", "ensuite", "son", "sa", "ses", "s", "il", "te", "plaît", "ahora", "lo", "el", "los",
        "las", "y", "poco", "también", "luego", "su", "por", "favor", "adesso", "ora", "i", "gli", "e", "po",
        "anche", "poi", "suo", "sua", "agora", "o", "os", "as", "um", "pouco", "também", "depois", "teraz",
        "trochę", "też", "jeszcze", "şimdi", "da", "biraz", "теперь", "и", "немного", "тоже", "давай", "الآن", "و",
        "ايضا", "أيضا", "이제", "조금", "도", "vai", "fahr", "fahre", "fort",
    )
)  # fmt: skip
# What counts as a first piece of what is worn over clothes; glasses and wrinkles are taken off for other reasons.
_COATS = re.compile(
    r"coat|jacket|cardigan|jas\b|jasje|vest\b|mantel|jacke|manteau|veste|abrigo|chaqueta|cappotto|giacca|casaco|"
    r"jaqueta|płaszcz|kurtk|palto|ceket|пальто|куртк|معطف|سترة|"
    r"コート|上着|ジャケット|코트|재킷|자켓|外套|夹克|大衣",
    re.IGNORECASE,
)
# What clothes are cleared of ("the stain from her dress"): not they are taken off.
_PLACE = re.compile(
    r"\b(?:stains?|spots?|wrinkles?|creases?|logos?|price tags?|labels?|dust|lint|text|watermarks?|vlek(?:ken)?|"
    r"kreukels?|flecke?n?|falten|taches?|plis?|manchas?|arrugas?|macchi[ae]|pieghe|amassados?|plam[yęa]|zagniecenia|"
    r"leke\w{0,4}|пятн[оа]|складки)\s"
    r"(?:from|off|out of|on|in|uit|van|op|aus|vom|von|auf|de|du|del|della|dalla|sur|da|do|z|ze|na|с|на)\s"
    r"(?:(?:the|an?|her|his|my|de|het|haar|zijn|dem|der|ihrem|ihrer|seinem|la|le|l'|sa|son|el|su|sua|sue|jej|jego|её|ее|"
    r"его)\s)?\S{1,20}",
    re.IGNORECASE,
)
_ON_SPACELESS = re.compile("残り|ほかも|全部|もっと|続けて|次も|其余|其他的|剩下|继续|更多|全都|也去掉|也脱")
_MOST_CHARACTERS = 12
# Who asks in a conversation that is written down, at the beginning of a line.
_CALLER = re.compile(
    r"^[ \t]*(?:user|human|client|customer|gebruiker|mens|klant|benutzer|nutzer|mensch|kunde|utilisateur|usuario|"
    r"cliente|utente|usuário|użytkownik|klient|kullanıcı|müşteri|пользователь|клиент|المستخدم|مستخدم|ユーザー|사용자|用户|用戶)"
    r"[ \t]*[:\uff1a](.*)$",
    re.IGNORECASE | re.MULTILINE,
)
# How a caller ends, whatever was asked before: here "everything" are no clothes. Nothing but a sign or thanks follows.
_CLOSES = re.compile(
    r"(?<!\w)(?:that(?:['\u2019]s| is| was|s)|dat(?: is| was|['\u2019]s)|das (?:ist|war)|c['\u2019](?:est|était)|"
    r"(?:eso )?es|(?:questo )?è|(?:isso )?é|to(?: już)?|это)[ \t]+(?:now |dan |het |dann |all |about )?"
    r"(?:all|everything|it|alles|tout|todo|tutto|tudo|wszystko|всё|все)(?=[ \t]*(?:$|[,.!;\n]))",
    re.IGNORECASE | re.MULTILINE,
)
# Any line that says who speaks.
_ANSWER = re.compile(r"^[ \t]*[^\W\d_]{1,16}[ \t]*[:\uff1a][ \t]*(\S.*)$", re.MULTILINE)


def conversation(text: str) -> bool:
    """True for a conversation that is sent as one text."""
    return "\n" in text and _CALLER.search(text) is not None


def continued(turns: Sequence[str], lexicon: Lexicon) -> bool:
    """True where a turn takes clothes or a coat off and a later one goes on with it, or where clothes are to be less
    and then none. Linear in the turns."""
    # Few turns go on, and that is told faster.
    last = next((at for at in range(len(turns) - 1, 0, -1) if _goes_on(turns[at], lexicon)), 0)
    if any(_takes_off(turn, lexicon) for turn in turns[:last]):
        return True
    last = next((at for at in range(len(turns) - 1, 0, -1) if says_none(_said(turns[at]), _BESIDE, lexicon)), 0)
    return any(shrinks(turn, lexicon) for turn in turns[:last])


def asked(text: str, lexicon: Lexicon) -> list[str]:
    """What the caller says in a conversation that is sent as one text, without the answers; empty where it is none.

    What comes before all last turns without a word that matters, and, since a word that matters may not be known for
    one, all but the last turn ("thanks, show me the result" ends nothing that was cut). What is answered in words that
    matter is read without who says it, too: whoever sends a conversation wrote its answers. Linear in the text.
    """
    said = [_CLOSES.sub("", match[1]).strip() for match in _CALLER.finditer(text)]
    ends = len(said)
    while ends > 1 and not lexicon.spans(said[ends - 1], CONCEPTS):
        ends -= 1
    least = 1 if len(said) == 1 and conversation(text) else 2
    told = (spaced(said[:end]) for end in (ends, max(2, len(said) - 1)) if least <= end <= len(said))
    return list(dict.fromkeys((*told, *(_answers(text, lexicon) if said else ()))))


def _answers(text: str, lexicon: Lexicon) -> list[str]:
    lines = (match[1] for match in _ANSWER.finditer(text) if _CALLER.match(match[0]) is None)
    return [line for line in lines if lexicon.spans(line, CONCEPTS)]


def _takes_off(turn: str, lexicon: Lexicon) -> bool:
    turn = _PLACE.sub(" ", turn)
    told = {span.concept for span in lexicon.spans(turn, ("remove", "clothes"))}
    return "remove" in told and ("clothes" in told or _COATS.search(turn) is not None) and not on_nobody(turn, lexicon)


def _said(turn: str) -> str:
    caller = _CALLER.match(turn)
    return caller[1] if caller else turn


def _goes_on(turn: str, lexicon: Lexicon) -> bool:
    turn = _said(turn)
    if _SPACELESS.search(turn):
        return len(turn.strip()) <= _MOST_CHARACTERS and _ON_SPACELESS.search(turn) is not None
    words = [word.casefold() for word in _WORD.findall(turn)]
    if not 0 < len(words) <= _MOST_WORDS:
        return False
    worn = {word for word in words if lexicon.knows(word, ("clothes", "reveal"))}
    if not all(word in _ON or word in _BESIDE or word in worn for word in words):
        return False
    return bool(worn) or not _ON.isdisjoint(words) or not _GO_ON.isdisjoint(pairwise(words))
