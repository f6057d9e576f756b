"""Age cues: what stands before or behind a number that makes an age of it, in the fourteen taught languages.

Read by `youth.py`, on a few characters around a number, so that no pattern ever sees more than that.
"""

from __future__ import annotations

import re

from guardrail.inference.text.ages import NOTHING_COUNTED

_YEARS = (
    "years?|yrs?|y|yo|jaar|jaren|lentes|jahren?|lenze|ans?|printemps|años?|anios|primaveras|añitos?|anni|anno|primavere|anos?|aninhos?|jr|j|"
    "lat|lata|latek|wiosen|yaş|лет|года?|годи?ков|вёсен|л|l|سنة|سنوات|عاما|عام|أعوام|summers|springs|winters"
)
# A number of years that is somebody's, whatever follows.
OLD_BEHIND = re.compile(
    r"(?:\s?½|[ -]and a half|,5)?(?:ish)?[ \t\u00a0-]*"
    r"(?:(?:(?:years?|yrs?|y|summers|springs|winters)[ \t./-]*(?:old|of age|young\b|o\b)|yo\b|jaar oud|jarig|"
    r"jährig|jahre alt|"
    r"ans d.âge|ans révolus|años de edad|anni di età|anos de idade|[-–]?летн|letni|lat(?:ek|k[aio])\b|yaşında|"
    r"yaşlarında|さい|sai\b|"
    r"лет от роду|[歳才岁嵗歲]|周岁|周歲)|['\u2019]?(?:ünde|inde|unda|ında|sinde|sında)\b|(?:살|"
    r"세)(?![\uac00-\ud7af]{2}))",
    re.IGNORECASE,
)
# Years that end the clause, or more of them than one counts.
YEARS_BEHIND = re.compile(rf"(?:ish)?(?:\s?½|[ -]and a half)?[ \t\u00a0-]*(?:{_YEARS})\.?(?!\w)", re.IGNORECASE)
MONTHS_BEHIND = re.compile(
    r"[ -](months?|maanden|monate|mois|meses|mesi|decades?|weeks?|days?)(?:[ -](old|of age|oud|alt))?(?!\w)",
    re.IGNORECASE,
)
# A stretch of time, which is nobody's age: "for 12 years", "12 years ago".
DURING = re.compile(
    r"\b(?:for|since|after|over|in|within|past|last|every|some|sinds|al|voor|na|seit|nach|für|vor|depuis|pendant|"
    r"il y a|"
    r"hace|desde|durante|da|dopo|per|há|por|przez|od|za|przed|через|за|уже|منذ|خلال)\s*(?:the\s|de\s)?$",
    re.IGNORECASE,
)
NO_AGE_BEHIND = re.compile(
    r"\s*(?:ago|later|earlier|geleden|later|zurück|plus tard|atrás|fa\b|temu|önce|назад|前|后|後|전)",
    re.IGNORECASE,
)
# The name of a field, or a word before an age.
NAMED = re.compile(
    r"(?:\b(?:ag(?:e[ds]?|ing)|leeftijd|alter|âgée?s?|age_?|edad|età|idade|wiek|wieku|yaşı?|возраст\w{0,2}|yo|yrs|"
    r"years old)|"
    r"العمر|عمره|عمرها|عمر|年齢|年龄|年齡|나이|数え|年方|芳龄|年仅|芳齡)['\"_]?(?:\s*(?:[:=\uff1a?-]+|is|"
    r"of|was|=|van|von|de|range|"
    r"group|gap))*"
    r"[\s'\"(]*(?:about|around|approx\.?|circa|ca\.?|c\.|~|only|just|almost|nearly|a?bove|roughly)?[\s~'\"(]*$",
    re.IGNORECASE,
)
# "Age" as a verb or a name of a time ("alter 14 tables", "age of 12 kings") counts something.
UNIT_BEFORE = re.compile(rf"\b(?:{_YEARS})\s?[:=\uff1a]\s?['\"]?$", re.IGNORECASE)
YEARS_BEFORE = re.compile(r"\b(?:lat|jaar|yaş)\s$", re.IGNORECASE)
_GROWS = (
    r"turn(?:s|ed|ing)?(?:\s+to)?|becom(?:es|ing)|nearly|almost|nearing|approaching|pushing|wordt(?: morgen|"
    r" bijna)?|werd|bijna|"
    r"amper|wird(?: bald| morgen)?|wurde|fast|bald|knapp|bientôt|presque|à peine|fête ses|pour ses|casi|cumple|"
    r"cumplió|sus|apenas|"
    r"quasi|compie|appena|quase|faz|fez|prawie|kończy|skończyła|ledwo|почти|скоро|исполняется|исполнилось|едва|"
    r"neredeyse|"
    r"girdi|will be|['\u2019]ll be|be|looks?(?: like)?|seems?|appears?(?: to be)?|lijkt|oogt|wirkt(?: wie)?|"
    r"sieht aus wie|parece|sembra|paraît|"
    r"wygląda na|выглядит на|zarte|süße|prille|zoete|sweet|tender|tierne|tiernos|dulces|dolci|ei|ей|ему|"
    r"celebrating|bday|b-day|もうすぐ|まだ|快|才|곧|겨우|barely|net"
)
GROWING = re.compile(rf"(?:\b(?:{_GROWS}))\s*(?:de |a |the |her |his )?$", re.IGNORECASE)
STILL = re.compile(
    r"(?:^|[,;.!?(\n])\s*(?:only|just|still|pas|maar|nog|net|erst|gerade|noch|seulement|solo|só|apenas|dopiero|"
    r"at|mit|met|à|con|a los|aos|w wieku|в|early|late|"
    r"только|всего|ещё|فقط|sadece)\s+$",
    re.IGNORECASE,
)
NOT_YET = re.compile(
    r"(?:\bnot (?:yet|quite|even)(?: turned)?|\bisn.?t (?:yet|even)|\bnog (?:geen|niet)|\bnoch (?:keine?|nicht)|"
    r"\bpas encore|"
    r"\b(?:aún|todavía) no(?: tiene| cumple| cumplió)?|\bnon (?:ha )?ancora|\bainda não(?: tem| fez)?|"
    r"\bjeszcze nie(?: ma)?|"
    r"(?:ещё|еще) нет|\bhenüz|لم تبلغ|لم يبلغ|まだ|还不到|不到|还没|未满|不满|未滿|不足|아직)\s*(?:de\s|der\s)?$",
    re.IGNORECASE,
)
NEARLY = re.compile(
    r"(?:nearly|almost|soon|bijna|binnenkort|fast|bald|bientôt|presque|casi|quasi|quase|prawie|почти|скоро|"
    r"neredeyse|もうすぐ|快|곧)\s*(?:to be )?$",
    re.IGNORECASE,
)
ISNT = re.compile(
    r"(?:^|[,;.(\n]|she|he|who|is|ze|zij|sie)\s*(?:is )?(?:not|isn.?t|geen|niet|nicht|keine)\s+$",
    re.IGNORECASE,
)
UNDER = re.compile(
    r"(?:\b(?:(?:under|below)(?: the age(?: limit)? of)?|beneath|younger than|less than|fewer than|unter|"
    r"jünger als|weniger als|"
    r"onder|jonger dan|minder dan|minus|moins de|plus jeune que|menos de|menor(?:es)? (?:de|que|a)|más joven que|"
    r"meno di|"
    r"sotto i|minore? di|più giovane di|mais nov[ao] que|poniżej|młodsz\w{1,3} niż|младше|моложе|меньше|до)|"
    r"\bunder[ -]|\bsub[ -]|(?:تحت|دون)(?: سن)?(?: ال)?|أقل من|أصغر من|<\s?=?|[≤＜⩽]|=\s?<|\bu[ -]?)\s*(?:de |the |"
    r"her |zijn |haar )?$",
    re.IGNORECASE,
)
UNDER_BEHIND = re.compile(
    r"\s*(?:(?:years?|jaar|jahre|ans|años|anni|anos|lat|лет|yaş|歳|才|岁|歲|살|세)\s*)?(?:未満|以下|未满|미만|이하|"
    r"(?:yaş\s?)?alt[ıi]\b|"
    r"yaş altı|(?:and|or) (?:under|younger|below)|en jonger|of jonger|und jünger|oder jünger|et moins|o menos|"
    r"y menor|e sotto|ou menos|"
    r"i młodsz|и младше)",
    re.IGNORECASE,
)
# What a number labels, and a day of a month.
LABELS = re.compile(
    r"\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|january|february|march|april|august|september|"
    r"october|november|"
    r"december|take|seed|steps?|cfg|scale|shade|size|part|chapter|episode|season|volume|room|page|plate|lesson|"
    r"session|week|day|"
    r"version|track|scene|shot|frame|panel|maat|tint|dag|les|deel|taille|teinte|talla|tono|tamanho|cor|größe|"
    r"farbton|teil|tag|"
    r"rozmiar|odcinek|beden|размер|серия|opus|\d (?:of|out of|van|von|de|di))\s*[#:=]?\s*$",
    re.IGNORECASE,
)
UNDERS = re.compile(
    "['\u2019]?s?(?:[ -](?:team|squad|players?|boys|girls|side|cup|football|match))?(?=\\s*(?:[,.;)\n]|$))",
    re.IGNORECASE,
)
NOBODY = frozenset(
    (
        "no", "not", "nobody", "none", "never", "geen", "niet", "niemand", "kein", "keine", "nicht", "nadie",
        "without",
        "pas", "aucun", "personne", "ningún", "nessuno", "ninguém", "nikt", "никто", "никого", "нет", "не", "لا",
        "keinen",
        "forbidden", "prohibited", "verboden", "verboten", "interdit", "interdite", "prohibido", "prohibida",
        "vietato",
        "vietata", "proibido", "proibida", "zabronion", "запрещено", "ممنوع",
    )
)  # fmt: skip
FORBIDS = re.compile(
    r"\s*\S{0,8}\s*\S{0,8}\s*(?:not|prohibited|forbidden|verboden|verboten|interdit|prohibido|vietato|proibido|"
    r"запрещ|zabron|giremez|yasak)|(?:[^\s,;.!?\u3001\u3002]{0,4}\s?){0,3}(?:禁|不可|お断り|불가|금지)",
    re.IGNORECASE,
)
# So many years from an age, or half of one: "two years to go till 16", "half of 24".
SHORT = re.compile(
    r"(?P<unit>years?|months?|weeks?|days?|jaar|maand(?:en)?|jahre?|monate?|ans?|mois|años?|meses|mes|anni|anno|"
    r"anos?|lata?|lat|rok|"
    r"лет|года?|месяц\w*|yıl)\W+(?:(?:to go|left|still|away|nog|noch|encore|avant|que|faltan|for|you|she|he|it|"
    r"is)\W+){0,3}"
    r"(?P<how>short of|shy of|away from|off|till|until|before|bevor|bis(?: zum)?|tot|van|vóór|voor|vor|avant|pour|"
    r"antes de|para|prima di|prima dei|"
    r"do|przed|до|younger than|less than|fewer than|under|below|from|就)\s*(?:turning\s|she turns\s|he turns\s|"
    r"her\s|his\s|haar\s|zijn\s|ihre[mn]\s|seine[mn]\s|les\s|ses\s|los\s|sus\s|i\s|the\s)*$",
    re.IGNORECASE,
)
HALF = re.compile(
    r"(?:\bhalf(?: of)?|\bhelft van|\bhälfte von|\bmoitié de|\bmitad de|\bmetà di|\bmetade de|\bpołow[aęy] z?|"
    r"\bполовин[ау]|半)\s*$",
    re.IGNORECASE,
)
# What a cake, its candles or a sign at a birthday says.
_CAKE = (
    r"cakes?|candles?|taart(?:je)?|kaars(?:jes|en)?|torte|kuchen|kerzen?|gâteau|bougies?|tarta|pastel|velas?|"
    r"torta|candeline?|bolo|tort|"
    r"świecz\w{1,4}|pasta(?:sı)?|mum(?:lar)?|торт\w{0,2}|свеч\w{1,3}|كعكة|شموع|ケーキ|ろうそく|케이크|"
    r"촛불|蛋糕|蜡烛|蠟燭"
)
_SAYS = (
    r"says?|said|reads?|reading|shows?|showing|numbers?|numbered|digits?|figure|sa[iy]s|staat|nummer|cijfers?|"
    r"getal|zahl|ziffer|steht|chiffre|numéro|"
    r"número|numero|cifra|liczb\w|cyfr\w|sayısı|rakam\w*|toppers?|spell\w*|with|met|mit|avec|con|com|цифр\w*|"
    r"числ\w*|رقم|数字|숫자|number balloons?"
)
ON_CAKE = re.compile(
    rf"(?:\b|(?<=[\u3040-\u9fff\uac00-\ud7af]))(?:{_CAKE})[^.;!?\n]{{0,20}}?(?:\b(?:{_SAYS}))\W{{0,4}}(?:a |an |"
    rf"the |een |de |eine? |un |une )?\W{{0,2}}$",
    re.IGNORECASE,
)
SHAPED = re.compile(
    r"\b(?:balloons?|ballon(?:nen|s)?|sash|crown|banner|sign|globos?|palloncin[oi]|balão|"
    r"balon\w{0,2})\W+(?:\w+\W+){0,3}?(?:number|nummer|cijfers?|zahl|chiffre|número|numero|cyfr\w|цифр\w|spell\w*|"
    r"read\w*|sa(?:ys|ying)|with)\W{1,3}$",
    re.IGNORECASE,
)
CANDLES_BEHIND = re.compile(
    r"\s*(?:birthday )?(?:candles?|kaars(?:jes|en)|kerzen|bougies|velas|candeline|świecz\w+|свеч\w+|"
    r"本のろうそく|개의 초|"
    r"根蜡烛)\b(?=[^.;!?\n]{0,24}\b(?:cake|taart|torte|kuchen|gâteau|tarta|pastel|torta|bolo|tort|торт))",
    re.IGNORECASE,
)
BIRTHDAY_BEHIND = re.compile(
    r"(?:st|nd|rd|th|ste|de|e|\.|º|ª|o|a|er|ère|ème|-?[йя]|-?го)?[ \t\u00a0]*(?:birthday|b-?day|verjaardag|"
    r"geburtstag|anniversaire|cumpleaños|"
    r"compleanno|aniversário|urodzin|doğum gün|день рождения|дня рождения|の?誕生日|번째 생일|세 생일|"
    r"岁生日|歲生日|عيد ميلاد|"
    r"levensjaar|lebensjahr)",
    re.IGNORECASE,
)
NTH_YEAR = re.compile(
    r"(?:st|nd|rd|th|ste|de|e|\.|ème)?[ \t](?:year of (?:her|his|their) life|birthday|levensjaar|lebensjahr|"
    r"year\b|jaar\b|année\b)",
    re.IGNORECASE,
)
HER = re.compile(
    r"\b(?:in|into|dans|entering|just) (?:her|his|their|haar|zijn|hun|ihrem|seinem|sa|son|ta) $",
    re.IGNORECASE,
)
# Dates of birth; "class of 2031" is who will leave school then.
BORN = re.compile(
    r"(?:\bborn|\bb\.|\bgeb\.|\bgeboren|\bgeboorte(?:jaar|datum)|\bbouwjaar|\bné(?:e|\(e\))?(?!\w)|\bnaissance|"
    r"\bnacid[oa]|\bnacimiento|\bnat[ao](?: nel)?|"
    r"\bnascita|\bnascid[oa]|\bnascimento|\burodz\w{1,6}|\bur\.|\brocznik|\bjahrgang|\bgeburtsdatum|\bgeburtsjahr|"
    r"\bd\.?o\.?b\b|\bbirth\w{0,6}|"
    r"\bродил\w{2,4}|\bрождени\w|\bдоб\b|مواليد|生年月日|出生)[^;!?\n]{0,20}?(?<!\d)(?P<year>20\d\d|"
    r"['\u2019\u2018]\d\d)(?P<year2>)(?!\d)",
    re.IGNORECASE,
)
BORN_BEHIND = re.compile(
    r"(?<!\d)(?P<year>20\d\d)(?!\d)['\u2019]?[ \t]{0,2}(?:\w{0,4} )?(?:doğumlu|г\.?\s?р\b|года? рожд|"
    r"年生|年出生|년생|"
    r"birth year|geboren|born)|(?<=[,;] )(?P<year2>20\d\d) года?(?=\s*(?:[,.;]|$))",
    re.IGNORECASE,
)
LEAVES = re.compile(
    r"\b(?:class of|promotion(?: de)?|promo|abi(?:tur|jahrgang)?|lichting|promoción(?: de)?|"
    r"matura) ['\u2019]?(?P<year>20[3-4]\d|[34]\d)(?!\d)",
    re.IGNORECASE,
)
# A class of a school.
_NTH = r"(?:1[0-3]|[1-9])(?:st|nd|rd|th|ste|de|e|\.|º|ª|o|a|er|ère|ème)?[ -]?"
_CLASSES = (
    "grade|grader|year|form|klas|klasser|groep|leerjaar|klasse|klässler|klässlerin|classe|année|grado|curso|ano|série|anno|"
    "klasa|klasy|klasie|sınıf|класс|класса|класе|學年|年级|年級|年生|학년|havo|vwo|vmbo|mavo"
)
CLASS = re.compile(
    r"\bkey stage [1-4]\b|\bks ?[1-4]\b|\b[1-6](?:st|nd|rd|th) (?:form|eso)\b|\bform [1-6]\b|\b(?:eerste|tweede|"
    r"derde|vierde)klass\w{1,4}|"
    r"\b(?:pierwsz|drug|trzeci|czwart|piąt|szóst|siódm|ósm)\w{1,3} klas\w{1,2}\b|\b(?:birinci|ikinci|üçüncü|"
    r"dördüncü|beşinci|altıncı|yedinci|sekizinci) sınıf|"
    r"\b(?:\d{1,2}-?\w{1,2}|перв\w{2}|втор\w{2}|трет\w{2}|четв[её]рт\w{2}|пят\w{2}|шест\w{2}|седьм\w{2}|"
    r"восьм\w{2}|девят\w{2}|десят\w{2}) класс\w?\b|"
    r"الصف ال\w{2,8}|\b(?:primero|segundo|tercero|cuarto|quinto|sexto|[1-6][ºo°]?) (?:de )?(?:primaria|"
    r"(?:la )?eso)\b|[一二三四五六]年级|初[一二三](?!\w)|"
    rf"\b(?:{_CLASSES})[ -]?(?:1[0-3]|[1-9])(?!\d)|(?<!\d){_NTH}(?:{_CLASSES})(?![^\W\d_])|\bk-?12\b|"
    r"\b(?:prima|seconda|terza) (?:media|elementare)\b|\b[1-4][ºo°]? de (?:la )?(?:eso|primaria)\b|"
    r"\bclasse de [2-6](?:e|ème|nde)\b|"
    r"(?:(?<![\u3400-\u9fff])[小中高初]|小学|中学|高中|高校|初中)[1-6一二三四五六](?:年|年级|年級|"
    r"年生)?(?![\d\u3400-\u9fff])|"
    r"(?<![\uac00-\ud7af])[초중고][1-6](?!\d)",
    re.IGNORECASE,
)
# The same where nothing else is said: a pupil for certain.
SURE_CLASS = re.compile(
    r"(?<=[\u3040-\u30ff\u3400-\u9fff\u3001\u3002])\s?(?-i:J[KC])(?![a-z.])|"
    r"(?<![a-z.])(?-i:J[KC])(?=[\u3001\u3002]?\s?[\u3040-\u30ff\u3400-\u9fff])|"
    r"(?:^|[,;.] ?)[3-6](?:e|è|i)me(?= *(?:[,.;)\n]|$))|\ben (?:sixième|cinquième|quatrième|"
    r"troisième)(?= *(?:[,.;!?)\n]|$))|"
    r"(?:(?<![\u3400-\u9fff])[小中初]|小学|中学|初中)[1-6一二三四五六](?:年|年级|年級|年生)?(?![\d\u3400-\u9fff])|"
    r"(?<![\uac00-\ud7af])[초중][1-6](?!\d)",
    re.IGNORECASE,
)
# Where a number stands by itself: behind the end of a clause, or a quotation mark, and before one.
BEGINS = re.compile(
    r"(?:^|[,;.!?(\n|\"\u201c\u2018#/\u3001\u3002\uff0c\u060c\uff1b\U0001f382+&*_'\u2013\u2014])[\s(\"\u201c\u2018~\u2248:='*_-]*[fmy]?$",
    re.IGNORECASE,
)
ABBREVIATED = re.compile(
    r"\b(?:n[or]|op|fig|vol|ch|pp?|pl|cat|eds?|ep|n[uú]m|num|st|ver|v|abb|afb|bd|art|lot|inv|cap|cat|str|s|t|nº|№|"
    r"no)\.?\s*[#:]?\s*$|[/#]\s*$|\d[:./,]\s?$",
    re.IGNORECASE,
)
MEASURED = re.compile(r"\s*(?:[×x*:/%°\"″'′^]|[-–]\s*\d|[.,]\d|\s?[-–]\s?bit)", re.IGNORECASE)
AT_ONCE = re.compile(r"\s?(?:[,;.!?)\"\n\u060c\u3001\u3002\uff0c]|$)")
LETTER_BEHIND = re.compile(r"(?:[fmy]|-?ish|_)(?!\w)", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+")
SOON = NOTHING_COUNTED | frozenset(
    (
        "tomorrow", "soon", "yet", "next", "this", "yesterday", "morgen", "binnenkort", "bald", "heute", "hoy",
        "mañana", "demain",
        "bientôt", "aujourd", "domani", "oggi", "amanhã", "hoje", "jutro", "dziś", "yarın", "bugün", "завтра",
        "сегодня",
    )
)  # fmt: skip
CLAUSE_ENDS = re.compile('[,;.!?()|"\n:\u201d\u2019\u060c\u061b\u3001\u3002\uff0c\uff1a\uff1b]|\\s[-\u2013\u2014]')
CLAUSE = re.compile(r"[^,;.!?|\n\u060c\u3001\u3002\uff0c\uff1b]+")
LETTER = re.compile(r"\w")
# Whose number is an age where it counts nothing: "a little one of 4", "mannetje van drie".
LITTLE = re.compile(
    r"\b(?:man(?:netje|neke)|ventje|kereltje|gastje|jochie|jongske|meiske|kleine|kleintje|hummel|ukkie|lad|lass(?:ie)?|"
    r"(?:little|wee) (?:one|guy|man|fella|lady)|tot|knirps|steppke|kleine[rs]|p(?:eti|['\u2019]ti)te?|pequeñ[oa]|"
    r"chiquitín|chiquitina|piccol[oa]|piccin[oa]|pequen[oa]|miúd[oa]|maluch\w{0,2}|малыш\w{0,2}|кроха) "
    r"(?:van|of|von|mit|de|di) $",
    re.IGNORECASE,
)
WORD_BEFORE = re.compile(r"(?:[^\W\d_][\W_]{0,8}|[<\uff1c\u2264\u2a7d][\s=]{0,3}|\bu[ -]?)$", re.IGNORECASE)
WORD_BEHIND = re.compile(r"[\W_]{0,3}(?:½\s?)?[^\W\d_]")
