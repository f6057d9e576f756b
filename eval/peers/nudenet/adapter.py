"""NudeNet 320n: the highest score of an exposed intimate part; feet, armpits and bellies are none."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from stdio import serve, version

PARTS = {
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_EXPOSED",
}


def opened(options):
    from nudenet import NudeDetector

    detector = NudeDetector()

    def score(picture):
        found = [part["score"] for part in detector.detect(picture) if part["class"] in PARTS]
        return {"exposed": max(found, default=0.0)}

    return score


serve(opened, [version("nudenet")], ["exposed"])
