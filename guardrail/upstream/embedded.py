"""Pictures inside texts: data URLs, SVG, and addresses that a chat window shows as a picture.

A chat model that draws may answer in Markdown or HTML, and its answer comes back as history with the next call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from guardrail.upstream import pictures

_DATA = re.compile(
    r"data:[a-z0-9.+/-]{0,100}+(?:;[a-z0-9_.-]{1,40}=[a-z0-9_.+-]{0,100}){0,4}+;base64,([a-z0-9+/=_-]*+)", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?:https?:)?//[^\s<>\"'`()\[\]]++", re.IGNORECASE)
_PICTURE_FILE = re.compile(r"\.(?:png|apng|jpe?g|gif|webp|avif|bmp|svg|tiff?|heic|ico)$", re.IGNORECASE)
_RUN = re.compile(r"[!-~]++")
_ROW = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
_LEAST_PAYLOAD = 24  # base64 characters; no picture is shorter, and people write about data URLs
_OPAQUE = 4096  # ASCII characters without a space: no text that anyone reads
_ROWS = 8  # lines of base64 one after the other
_MOST_ALT = 1000  # characters between "![" and "]("
_MOST_LABEL = 200  # characters of the words that a link is shown as
_WORD = re.compile(r"[^\W\d_]+")
# A link that is shown as one of these words leads to a picture, or to a page about one.
_PICTURE_WORDS = frozenset(
    {"image", "images", "img", "picture", "pictures", "pic", "pics", "photo", "photos", "render", "rendering",
     "drawing", "artwork", "illustration", "afbeelding", "afbeeldingen", "plaatje", "foto", "fotos", "tekening",
     "bild", "bilder", "zeichnung", "dessin", "imagen", "imagenes", "imágenes", "dibujo", "immagine", "immagini",
     "disegno", "imagem", "imagens", "desenho", "obraz", "obrazek", "zdjęcie", "rysunek", "resim", "görsel",
     "изображение", "картинка", "картинку", "фото", "рисунок", "صورة", "الصورة"}
)  # fmt: skip
_PICTURE_SIGNS = ("画像", "写真", "이미지", "사진", "图片", "图像", "照片")  # scripts without spaces
_PICTURE_HOSTS = frozenset({"image", "images", "img", "imgs", "photo", "photos", "pic", "pics", "i"})
_PICTURE_FORMATS = frozenset({"png", "jpg", "jpeg", "webp", "gif", "avif"})


@dataclass(frozen=True, repr=False)
class Embedded:
    """What one text holds.

    `text` is the text without its data URLs; `data` are these, whole. `svg` is the SVG source from its first tag on,
    empty where there is none. `addresses` are those shown as pictures; `links` may lead to a picture or to a page.
    `opaque` says that more is left which may be a picture and cannot be read.
    """

    text: str
    data: tuple[str, ...] = ()
    svg: str = ""
    addresses: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    opaque: bool = False


def embedded(text: str, *, named: bool = False, whole: bool = True) -> Embedded:
    """Find the pictures in a text. Linear in its length.

    `named` says that a text before it showed pictures by name, whose addresses may follow here; `whole` that nothing
    stands before or after it: then an address is not a part of a sentence but all that there is.
    """
    data: list[str] = []
    pieces: list[str] = []
    at, broken = 0, False
    for found in _DATA.finditer(text):
        if len(found.group(1)) < _LEAST_PAYLOAD:
            continue
        pieces += (text[at : found.start()], " ")
        at = found.end()
        data.append(found.group())
        # Browsers read on over escapes and line breaks; nobody else does.
        broken = broken or text[at : at + 1] == "%" or _goes_on(text[at : at + 50])
    left = "".join((*pieces, text[at:]))
    low = left.lower()
    svg = low.find("<svg")
    addresses, links = _addresses(left, low, pictured=named or "![" in left, whole=whole)
    return Embedded(
        left,
        tuple(data),
        left[svg:] if svg >= 0 else "",
        addresses,
        links,
        broken or _opaque(left) or _unread(low),
    )


def _goes_on(rest: str) -> bool:
    return rest[:1].isspace() and _ROW.match(rest.lstrip()) is not None


def _unread(low: str) -> bool:
    """True for a data URL of a picture that is not base64, or one that is taken apart."""
    at = low.find("data:image/")
    while at >= 0:
        head = re.match(r"[!-~]*+", low[at : at + 200])
        if head is not None and len(head.group()) > len("data:image/") + _LEAST_PAYLOAD and "," in head.group():
            return True
        at = low.find("data:image/", at + 1)
    return False


def _opaque(text: str) -> bool:
    if any(len(run.group()) > _OPAQUE for run in _RUN.finditer(text)):
        return True
    rows = 0
    for word in text.split():
        if pictures.looks_like_base64_picture(word):
            return True
        rows = rows + 1 if len(word) >= 40 and _ROW.fullmatch(word) else 0
        if rows >= _ROWS:
            return True
    return False


def _addresses(text: str, low: str, *, pictured: bool, whole: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: dict[str, None] = {}
    links: dict[str, None] = {}
    all_of_it = text.strip() if whole else None
    shows = pictured or "<img" in low
    for one in _ADDRESS.finditer(text):
        address = one.group().rstrip(".,;:!?*_")
        before = text[max(0, one.start() - _MOST_ALT) : one.start()]
        if address.startswith("//"):
            if not shows:
                continue  # a comment in a program
            address = "https:" + address
        if one.group() == all_of_it or _is_file(address) or _in_markdown(before, pictured) or _in_tag(before):
            found[address] = None
        elif _names_picture(address) or _labelled(before):
            links[address] = None
    return tuple(found), tuple(links)


def _names_picture(address: str) -> bool:
    """True for the address of a host that keeps pictures, and for one that asks for a format of pictures."""
    try:
        parts = urlsplit(address)
        asked = parse_qsl(parts.query, max_num_fields=64)
    except ValueError:
        return True
    if (parts.hostname or "").partition(".")[0] in _PICTURE_HOSTS:
        return True
    return any(value.lower() in _PICTURE_FORMATS or _PICTURE_FILE.search(value) for _, value in asked)


def _labelled(before: str) -> bool:
    """True after "[the picture](": whoever reads it expects one."""
    stripped = before.rstrip(" \t\n<")
    if not stripped.endswith("]("):
        return False
    label = stripped[-_MOST_LABEL - 2 : -2].rpartition("[")[2].casefold()
    return any(sign in label for sign in _PICTURE_SIGNS) or not _PICTURE_WORDS.isdisjoint(_WORD.findall(label))


def _is_file(address: str) -> bool:
    try:
        return _PICTURE_FILE.search(urlsplit(address).path) is not None
    except ValueError:
        return True  # nobody can tell; whoever fetches it will say


def _in_markdown(before: str, pictured: bool) -> bool:
    """True after "![...](" , and after "[name]:" of a text that has pictures by name."""
    stripped = before.rstrip(" \t\n<")
    if stripped.endswith("]("):
        return "![" in stripped
    return pictured and stripped.endswith("]:")


def _in_tag(before: str) -> bool:
    """True inside an HTML tag that shows a picture."""
    start = before.rfind("<")
    return (
        start >= 0
        and ">" not in before[start:]
        and before[start + 1 : start + 7]
        .lower()
        .startswith(("img", "image", "source", "video", "input", "object", "embed", "iframe"))
    )
