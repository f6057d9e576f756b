"""Photographs as phones write them: with a gain map, a film or a maker's trailer behind the picture. Made here."""

from __future__ import annotations

import struct

from PIL import Image

from tests.inference.image.pictures import encoded, segment

XMP = b"http://ns.adobe.com/xap/1.0/\0"
HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
ISO = b"urn:iso:std:iso:ts:21496:-1\0"


def with_segments(body: bytes, *segments: bytes) -> bytes:
    """A JPEG with these segments behind its first marker."""
    return body[:2] + b"".join(segments) + body[2:]


def xmp(words: str) -> bytes:
    rdf = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    return segment(0xE1, XMP + f"{rdf}<rdf:Description {words}</rdf:RDF></x:xmpmeta>".encode())


def indexed(first: bytes, *behind: bytes, order: str = ">", lost: int = 0) -> bytes:
    """These JPEGs in a row, and in the first an index (CIPA DC-007) of them all and of `lost` that are not there."""
    count = 1 + len(behind) + lost
    ifd = struct.pack(order + "H", 3)
    ifd += struct.pack(order + "HHL4s", 0xB000, 7, 4, b"0100")
    ifd += struct.pack(order + "HHLL", 0xB001, 4, 1, count)
    ifd += struct.pack(order + "HHLL", 0xB002, 7, 16 * count, 50) + bytes(4)
    header = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "L", 8) + ifd
    assert len(header) == 50
    grown = len(segment(0xE2, b"MPF\0" + header + bytes(16 * count)))
    base, at = 2 + 4 + 4, len(first) + grown
    entries = struct.pack(order + "LLLHH", 0x030000, at, 0, 0, 0)
    for size in [*map(len, behind), *[4000] * lost]:
        entries += struct.pack(order + "LLLHH", 0, size, at - base, 0, 0)
        at += size
    return with_segments(first, segment(0xE2, b"MPF\0" + header + entries)) + b"".join(behind)


def ultra_hdr(
    picture: Image.Image, gain: Image.Image, *, most: str = "2.3", index: bool = True, more: str = ""
) -> bytes:
    """As Android writes it: XMP that names the map, the index, and the map with its numbers in XMP."""
    small = with_segments(
        encoded(gain, "JPEG", quality=90),
        xmp(
            f'{HDRGM} hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="{most}" hdrgm:Gamma="1" '
            f'hdrgm:OffsetSDR="0.015625" hdrgm:OffsetHDR="0.015625" hdrgm:HDRCapacityMax="{most}" {more}/>'
        ),
    )
    items = (
        '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" '
        'Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" '
        f'Item:Mime="image/jpeg" Item:Length="{len(small)}"/></rdf:li></rdf:Seq></Container:Directory>'
        "</rdf:Description>"
    )
    names = (
        'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
    )
    first = with_segments(encoded(picture, "JPEG", quality=90), xmp(f'{HDRGM} {names} hdrgm:Version="1.0">{items}'))
    return indexed(first, small) if index else first + small


def iphone(picture: Image.Image, gain: Image.Image, *, order: str = ">") -> bytes:
    """As an iPhone exports a JPEG: a map that is named by the index and says in XMP what it is."""
    said = (
        'xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" '
        'apdi:AuxiliaryImageType="urn:com:apple:photo:2020:aux:hdrgainmap" HDRGainMap:HDRGainMapVersion="131072"/>'
    )
    small = with_segments(encoded(gain.convert("L"), "JPEG", quality=90), xmp(said))
    return indexed(encoded(picture, "JPEG", quality=90), small, order=order)


def iso_gain_map(gain: Image.Image, *, most: float, common: bool, colours: int, screens: tuple[int, int]) -> bytes:
    """A gain map that says its numbers as ISO 21496-1 packs them, in thousandths; `screens` in stops."""
    numbers = [(screens[0], 1), (screens[1], 1)] + [
        (0, 1),
        (round(most * 1000), 1000),
        (1, 1),
        (0, 1),
        (0, 1),
    ] * colours
    flags = (0x80 if colours == 3 else 0) | (0x08 if common else 0)
    if common:
        packed = struct.pack(">I", 1000) + b"".join(struct.pack(">i", above * 1000 // of) for above, of in numbers)
    else:
        packed = b"".join(struct.pack(">iI", above, of) for above, of in numbers)
    return with_segments(encoded(gain, "JPEG"), segment(0xE2, ISO + struct.pack(">HHB", 0, 0, flags) + packed))


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def film(pixels: bytes = bytes(4000)) -> bytes:
    """An MP4 as far as its boxes go."""
    return box(b"ftyp", b"mp42\0\0\0\0isommp42") + box(b"mdat", pixels) + box(b"moov", box(b"mvhd", bytes(100)))


def samsung(*parts: tuple[bytes, bytes]) -> bytes:
    """The trailer of a Samsung phone: named parts, and an index of them at the end."""
    blocks = [struct.pack("<HHL", 0, 0x0A30, len(name)) + name + content for name, content in parts]
    body, entries = b"".join(blocks), b""
    for at, block in enumerate(blocks):  # a part is named by how far before the index it begins
        entries += struct.pack("<HHLL", 0, 0x0A30, sum(map(len, blocks[at:])), len(block))
    index = b"SEFH" + struct.pack("<LL", 106, len(parts)) + entries
    return body + index + struct.pack("<L", len(index)) + b"SEFT"
