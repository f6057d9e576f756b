"""Clothes that are lifted, and skin that nothing but hands covers: what the heads hear nothing of.

"Lift her shirt up" takes nothing off, and "covered only by her hands" names no nakedness. Each is said in words that
the heads know. Linear in the text.
"""

from __future__ import annotations

import re

from guardrail.inference.text.latin import NAKED, UNDRESS

_EN = r"(?:t-?shirt|shirt|blouse|sweater|jumper|hoodie|pullover)"
_NL = r"(?:t-?shirt|shirt(?:je)?|trui(?:tje)?|bloes(?:je)?|blouse|hemd(?:je)?)"
_DE = r"(?:t-?shirt|shirt|pulli|pullover|hemd|bluse)"
# Not of clothes that lie somewhere, nor of a part of them.
_LIFTED = re.compile(
    rf"\b(?:(?:lift|raise|hike|pull|yank) up (?:her|his|their) {_EN}|(?:lift|raise|hike) (?:her|his|"
    rf"their) {_EN}(?: up)?|"
    rf"(?:pull|yank) (?:her|his|their) {_EN} up|(?:her|his|their) {_EN} (?:lifted|pulled|hiked|raised) up)"
    r"(?!['\u2019]s? ?(?:collar|sleeve)| (?:collar|sleeves?|cuffs?|hem|from|off|out|onto|on))\b|"
    rf"\b(?:til|trek|doe|schuif|hijs|haal) (?:haar|zijn|d['\u2019]r) {_NL} (?:op|omhoog|naar boven)(?! (?:van|het|de|"
    rf"uit))\b|"
    rf"\b(?:haar|zijn|d['\u2019]r) {_NL} (?:omhoog|opgetild|opgetrokken|naar boven)(?! kr[uo])\b|"
    rf"\b(?:zieh|heb|schieb)e? (?:ihr|ihm|ihren?|sein(?:en|e)?) (?:das |den |die )?{_DE} (?:hoch|nach oben|rauf)\b|"
    rf"\b(?:ihr|ihre|ihren|sein|seinen) {_DE} (?:hochgezogen|hochgeschoben|hochgehoben)\b|"
    r"\b(?:soul[eè]ve|rel[eè]ve|lève)[rz]?(?:[ -]lui)? (?:son|sa|le|la) (?:t-?shirt|tee-shirt|haut|chemisier|chemise|"
    r"pull)"
    r"(?! (?:du|de la|de l|sur))\b|"
    r"\b(?:lev[aá]nta|s[uú]be|[aá]lza)(?:le)? (?:la|el|su) (?:camiseta|blusa|suéter|jersey|sudadera|playera|remera|"
    r"camisa)"
    r"(?! (?:del|de la|al|a la))\b|"
    r"\b(?:alza|solleva|tira su|tirale su|alzale|sollevale|alzagli|sollevagli) (?:la sua |il suo |la |il )?"
    r"(?:maglietta|maglia|camicetta|felpa|maglione)(?! (?:dal|dalla|dallo))\b|"
    r"\bapri(?:le|gli) la (?:camicetta|camicia)\b|"
    r"\b(?:levant[ae]|sub[ae]|sobe|erg[aue]{1,2}) (?:a|o) (?:blusa|camisa|camiseta|suéter|moletom|t-shirt) (?:dela|"
    r"dele)\b|"
    r"\b(?:podnieś|podciągnij|unieś|zadrzyj) (?:jej|jego|mu) (?:koszul|bluz|swet)\w{1,4}\b|"
    r"\b(?:tişört|bluz|gömle|kaza)\w{1,6} (?:yukarı(?:ya)? )?(?:kaldır|sıyır)\b|"
    r"\b(?:подними|задери|приподними)(?:те)? (?:ей|её|ее|ему|его) (?:футболк|майк|кофт|рубашк|свитер|блузк)\w{0,2}\b|"
    r"(?<!\w)ارفعي? (?:قميصها|بلوزتها|تيشيرتها|كنزتها|قميصه)(?!\w)|"
    r"(?:シャツ|ブラウス|セーター)を(?:めくって|めくり上げ|まくり上げ|たくし上げ|まくって)|"
    r"(?:셔츠|블라우스|스웨터|상의)를? ?(?:들어 ?올려|들춰|걷어 ?올려)|"
    r"(?:掀起|掀开|撩起|撩开)(?:她|他)的?(?:上衣|衬衫|[tT]恤|衣服|毛衣)",
    re.IGNORECASE,
)
_FACE = r"(?<!face )(?<!gezicht )(?<!gesicht )(?<!visage )(?<!cara )(?<!rosto )(?<!viso )(?<!twarz )(?<!лицо )"
_BY_HANDS = re.compile(
    rf"\b{_FACE}(?:cover(?:ed|ing)? (?:only|just) (?:by|with) (?:her|his) (?:own )?hands|"
    r"bedekt (?:met|door) (?:enkel|alleen|slechts) haar (?:eigen )?handen|"
    r"nur (?:von|mit) ihren händen bedeckt|cachée (?:seulement|uniquement) par ses mains|"
    r"cubiert[oa] (?:solo|sólo|solamente|únicamente) (?:con|por) (?:sus|las) manos|"
    r"copert[oa] (?:solo|soltanto) (?:dalle|con le) (?:sue )?mani|"
    r"cobert[oa] (?:só|apenas|somente) (?:pelas|com as|por suas) (?:suas )?mãos|"
    r"(?:zasłoni|zakry|osłoni)\w{1,5} (?:tylko|jedynie) (?:swoimi )?(?:dłońmi|rękami)|"
    r"(?:sadece|yalnızca) elleriyle (?:kapan|ört)\w{1,6}|"
    r"(?:прикры|закры)\w{1,6} (?:только|лишь) (?:своими )?руками|hand[ -]?bra)\b|"
    r"(?:مغطاة|مستورة) بيديها فقط|手だけで隠した(?!顔)|손으로만 가린(?! 얼굴)|(?:只|仅)用(?:双)?手(?:遮住|挡住|"
    r"盖住)(?:的她|身体)",
    re.IGNORECASE,
)
# The magazine, and that somebody is to be in it.
_MAGAZINE = r"(?:play ?boy\w{0,2}|плейбо\w{1,2}|بلاي ?بوي|プレイボーイ|플레이보이|花花公子)"
_POSES = (
    r"(?:\bpos(?:e[sd]?|ing|er|eren|eert|iert?|ieren|iere|ar|ando|are)\b|\bpozuj\w{0,3}\b|\bpoz ver\w{0,4}|"
    r"позир\w{1,5}|"
    r"\bcover\b|\bcouverture\b|\btitelbild\b|\bportada\b|\bcopertina\b|\bcapa d[ae]\b|\bokładk\w{1,3}|"
    r"\bkapa[kğ]\w{0,4}|"
    r"обложк\w{1,2}|تقف|غلاف|グラビア|表紙|표지|화보|封面|\b(?:model|shoot|centerfold|centrefold|spread)\b)"
)
_IN_MAGAZINE = re.compile(rf"{_MAGAZINE}[^\n.;]{{0,24}}{_POSES}|{_POSES}[^\n.;]{{0,24}}{_MAGAZINE}", re.IGNORECASE)


def uncovered(text: str) -> list[str]:
    """What a text asks for that lifts somebody's clothes or leaves hands to cover, in words that the heads know."""
    bare = _BY_HANDS.search(text) or _IN_MAGAZINE.search(text)
    return [*([UNDRESS] if _LIFTED.search(text) else []), *([NAKED] if bare else [])]
