"""Paints the portrait of the demo: nobody's face, out of ellipses.

    python models/demo-portrait/make.py guardrail/cli/portrait.jpg

A demo that asks to undress someone must not do it to someone. The painting is plain, and still a face to a face
detector. An age model, taught on photographs, cannot tell her age and errs towards young.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 768
FINAL = 384


def main(out: str) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (188, 203, 212))
    draw = ImageDraw.Draw(image)
    skin, shade, hair, coat = (224, 178, 150), (198, 148, 122), (70, 46, 34), (44, 74, 110)
    draw.ellipse((200, 60, 568, 520), fill=hair)
    draw.rectangle((205, 280, 563, 560), fill=hair)
    draw.ellipse((60, 560, 708, 1000), fill=coat)
    draw.polygon([(318, 440), (450, 440), (470, 600), (384, 680), (298, 600)], fill=shade)
    draw.ellipse((254, 130, 514, 500), fill=skin)
    draw.pieslice((226, 70, 542, 330), 180, 360, fill=hair)
    image = image.filter(ImageFilter.GaussianBlur(6))
    draw = ImageDraw.Draw(image)
    for centre in (322, 446):
        draw.ellipse((centre - 34, 282, centre + 34, 312), fill=(236, 226, 220))
        draw.ellipse((centre - 15, 281, centre + 15, 311), fill=(78, 98, 90))
        draw.ellipse((centre - 7, 289, centre + 7, 303), fill=(16, 14, 14))
        draw.ellipse((centre + 2, 288, centre + 8, 294), fill=(250, 250, 250))
        draw.arc((centre - 36, 276, centre + 36, 326), 190, 350, fill=(48, 32, 26), width=6)
        draw.arc((centre - 44, 246, centre + 44, 306), 205, 335, fill=hair, width=10)
    draw.line((392, 306, 402, 366), fill=shade, width=7)
    draw.arc((356, 352, 414, 390), 20, 160, fill=(168, 116, 96), width=6)
    for centre in (368, 402):
        draw.ellipse((centre - 7, 376, centre + 7, 384), fill=(150, 100, 84))
    draw.chord((332, 398, 438, 452), 8, 172, fill=(178, 82, 82))
    draw.arc((326, 392, 444, 444), 12, 168, fill=(140, 62, 62), width=5)
    image = image.filter(ImageFilter.GaussianBlur(2.2)).resize((FINAL, FINAL), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(7).normal(0, 5, (FINAL, FINAL, 1))
    Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)


if __name__ == "__main__":
    main(sys.argv[1])
