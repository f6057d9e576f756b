"""Write the float graph of nsfwjs as it is published, to calibrate and compare with.

    python models/exposure/published.py FOLDER OUT.onnx

FOLDER holds the three files that the manifest names as sources of the weight nsfwjs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from guardrail.inference.build import nsfwjs

if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:3])
    model = nsfwjs.published({name: folder / name for name in (nsfwjs.MODEL, *nsfwjs.SHARDS)})
    out.write_bytes(model.SerializeToString(deterministic=True))
