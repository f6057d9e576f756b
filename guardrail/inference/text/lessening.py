"""Clothes that get less turn by turn, and clothes that nobody wears: what `steps` asks of a turn."""

from __future__ import annotations

import re

from guardrail.inference.text.lexicon import Lexicon

# A turn that says "none" has no more words than this, and in a script without spaces no more characters.
_MOST_WORDS, _MOST_CHARACTERS = 6, 10
_WORD = re.compile(r"[^\W\d_]+")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SHRINKS = re.compile(
    r"\b(?:shorter|shorten|smaller|tinier|tighter|thinner|skimpier|lower|less|korter|kleiner|strakker|dunner|lager|"
    r"minder|kürzer|enger|knapper|dünner|weniger|plus (?:courte?s?|petite?s?|moulante?s?|fine?s?)|raccourci\w{0,3}|"
    r"más (?:cort|pequeñ|ajustad|fin)[oa]s?|acorta\w{0,3}|acórta\w{2,4}|più (?:cort|piccol|strett)[oaie]|"
    r"accorcia\w{0,3}|mais (?:curt|pequen|apertad|fin)[oa]s?|encurt[ae]\w{0,2}|krótsz\w{1,3}|mniejsz\w{1,3}|"
    r"cieńsz\w{1,3}|skróć|daha (?:kısa|küçük|dar|ince)|kısalt|короче|покороче|меньше|теснее|тоньше|укороти\w{0,2}|"
    r"أقصر|أصغر|أضيق|قصر|قصّر)\b"
    r"|短く|小さく|薄く|짧게|작게|얇게|줄여|短[一些点點]|更短|改短|变短|變短|小一点|薄一点|更小|更薄",
    re.IGNORECASE,
)
_NONE = frozenset(
    (
        "none", "nothing", "gone", "off", "zero", "no", "without", "geen", "niets", "niks", "weg", "uit", "nul",
        "zonder", "keine", "keins", "keinen", "nichts", "aus", "null", "ohne", "aucun", "aucune", "rien", "sans",
        "ninguno", "ninguna", "nada", "sin", "fuera", "nessuno", "nessuna", "niente", "nulla", "senza", "via",
        "nenhum", "nenhuma", "sem", "fora", "żadna", "żadnej", "żaden", "nic", "brak", "bez", "yok", "hiç", "hiçbiri",
        "sıfır", "никакого", "никакой", "никакое", "ничего", "нет", "без", "долой", "بدون", "بلا", "لا", "شيء",
        "없이", "없음", "없애", "없애줘", "없게",
    )
)  # fmt: skip
# What may stand beside it, with the words that `steps` has.
_BESIDE = frozenset(
    (
        "take", "get", "lose", "be", "completely", "entirely", "anymore", "at", "whole", "dress", "doe", "haal", "trek",
        "helemaal", "volledig", "meer", "heel", "ganz", "gar", "mehr", "zieh", "du", "tout", "complètement", "del",
        "completamente", "più", "mais", "nenhuma", "całkiem", "zupełnie", "artık", "tamamen", "совсем", "вообще",
        "больше", "تماما", "아예", "완전히",
    )
)  # fmt: skip
_NONE_SPACELESS = re.compile(
    r"^(?:もう|今度は|全部|じゃあ|那就|现在|然后)?(?:なし|無し|ゼロ|脱|消して|没有|沒有|不要了|去掉|无|什么都不|何も)"
)
# What nobody has on: it lies or hangs somewhere.
_THINGS = re.compile(
    r"\b(?:from|off|on|in|over)\s(?:the|a|that|this)\s(?:\w{1,12}\s)?(?:chairs?|couch|sofa|bed|floor|hooks?|rack|hanger|"
    r"table|wall|doors?|bench|line|clothesline|wardrobe|closet|shel(?:f|ves)|seat|background|window|mannequin|snowman|"
    r"scarecrow|fence|tree|desk|counter|railing|peg|armchair|stool)\b|"
    r"\b(?:van|op|over|uit)\s(?:de|het|die|een)\s(?:\w{1,12}\s)?(?:stoel|bank|bed|vloer|haak|kapstok|rek|hanger|tafel|"
    r"muur|deur|waslijn|kast|plank|zetel|achtergrond|etalagepop|paspop|sneeuwpop|hek|boom|bureau|leuning|grond)\b|"
    r"\b(?:vo[mn]|auf|über|aus|an)\s?(?:der|dem|den|die)?\s(?:\w{1,12}\s)?(?:stuhl|sofa|bett|boden|haken|ständer|bügel|"
    r"tisch|wand|tür|bank|leine|wäscheleine|schrank|regal|sessel|hintergrund|garderobe|schneemann|zaun|lehne)\b|"
    r"\b(?:de|du|sur|dans)\s(?:la |le |l['\u2019])?(?:chaise|canapé|lit|sol|crochet|portemanteau|cintre|table|mur|"
    r"porte|banc|corde|armoire|étagère|siège|fauteuil|arrière-plan|mannequin)\b|"
    r"\b(?:del?|sobre|en)\s(?:la |el )?(?:silla|sofá|cama|suelo|percha|perchero|mesa|pared|puerta|banco|armario|"
    r"estante|sillón|fondo|maniquí|tendedero)\b|"
    r"\b(?:dalla?|dall['\u2019]|sulla?|sull['\u2019])\s?(?:sedia|divano|letto|pavimento|gancio|tavolo|muro|porta|panca|"
    r"armadio|scaffale|poltrona|sfondo|manichino|attaccapanni|appendiabiti)\b|"
    r"\b(?:da|do|na|no)\s(?:cadeira|sofá|cama|chão|cabide|mesa|parede|porta|banco|armário|prateleira|poltrona|fundo|"
    r"manequim|varal|estendal)\b|"
    r"\b(?:z|ze|na)\s(?:krzes\w{1,3}|kanap\w{1,2}|sof\w{1,2}|łóżk\w{1,2}|podłog\w{1,2}|wieszak\w{1,2}|stoł\w{1,2}|"
    r"ścian\w{1,2}|drzwi|ławk\w{1,2}|szaf\w{1,2}|półk\w{1,2}|fotel\w{1,2}|tł[ae]|manekin\w{1,2})\b|"
    r"\b(?:sandalye|koltuk|koltuğ|yata[kğ]|yer|askı|masa|duvar|kapı|bank|dolap|dolab|raf|arka plan)\w{0,3}(?:daki|deki|"
    r"taki|teki|dan|den|tan|ten)\b|"
    r"\b(?:с|со|на)\s(?:стул\w{0,2}|диван\w{0,2}|кроват\w{1,2}|пол[ау]|крюч\w{1,3}|вешал\w{1,3}|стол\w{0,2}|стен\w{1,2}|"
    r"двер\w{1,2}|скамейк\w{1,2}|шкаф\w{0,2}|полк\w{1,2}|кресл\w{1,2}|фон\w{0,2}|манекен\w{0,2})\b|"
    r"(?:عن|من|على)\s(?:الكرسي|الأريكة|السرير|الأرض|الشماعة|الطاولة|الجدار|الباب|المقعد|الخزانة|الرف|الخلفية)|"
    r"(?:椅子|ソファ|ベッド|床|ハンガー|机|テーブル|壁|ドア|ベンチ|棚|背景|マネキン)(?:の上)?(?:から|にある|にかかった|に掛かった|の)|"
    r"(?:의자|소파|침대|바닥|옷걸이|책상|탁자|벽|문|벤치|선반|배경|마네킹)\s?(?:위)?(?:에서|에 있는|에 걸린|의)|"
    r"(?:椅子|沙发|床|地板|衣架|挂钩|桌子|墙|门|长椅|架子|背景|地|假人)(?:上|里|中|背)",
    re.IGNORECASE,
)
# Pronouns that are articles as well, and somebody as the end of a verb.
_ARTICLES = frozenset(("la", "le", "les", "lo", "los", "las", "il", "gli", "o", "a", "os", "as", "die", "der"))
_FROM_HER = re.compile(r"\b(?:(?:qu[ií]ta|s[aá]ca)les?|(?:togli|leva|sfila)(?:le|gli)|\w{3,12}-lhe)\b", re.IGNORECASE)
_SOMEBODY = ("pronoun", "relation", "possessive", "somebody")


def shrinks(turn: str, lexicon: Lexicon) -> bool:
    """True where clothes are to be shorter, smaller or fewer."""
    return _SHRINKS.search(turn) is not None and bool(lexicon.spans(turn, ("clothes", "reveal")))


def says_none(turn: str, beside: frozenset[str], lexicon: Lexicon) -> bool:
    """True for a turn that says nothing but "none" or "take it off", with words of `beside` and clothes."""
    if _SPACELESS.search(turn):
        return len(turn.strip()) <= _MOST_CHARACTERS and _NONE_SPACELESS.search(turn.strip()) is not None
    words = [word.casefold() for word in _WORD.findall(turn)]
    if not 0 < len(words) <= _MOST_WORDS:
        return False
    ends = {word for word in words if word in _NONE or lexicon.knows(word, ("remove",))}
    return bool(ends) and all(
        word in ends or word in beside or word in _BESIDE or lexicon.knows(word, ("clothes", "reveal"))
        for word in words
    )


def on_nobody(turn: str, lexicon: Lexicon) -> bool:
    """True where the clothes of a turn lie or hang somewhere, and nobody is spoken of."""
    if _THINGS.search(turn) is None or _FROM_HER.search(turn):
        return False
    worn = {(span.start, span.end) for span in lexicon.spans(turn, ("clothes", "outer"))}
    who = (span for span in lexicon.spans(turn, _SOMEBODY) if (span.start, span.end) not in worn)
    return all(turn[span.start : span.end].casefold() in _ARTICLES for span in who)
