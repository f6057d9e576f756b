"""NanoDet's builder: what it keeps of the heads, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.inference.build import nanodet


def test_the_person_head_is_cut_out_of_all_that_a_head_tells():
    values = np.arange(nanodet.CLASSES + 4 * nanodet.BINS, dtype=np.float32)
    kept = nanodet._kept(values)
    assert kept[0] == 0
    assert kept[1:].tolist() == list(range(nanodet.CLASSES, nanodet.CLASSES + 4 * nanodet.BINS))
    assert nanodet._kept(values[:12]).tolist() == values[:12].tolist()


def test_another_network_is_not_taken_for_nanodet(tmp_path):
    (tmp_path / nanodet.MODEL).write_text('{"weightsManifest": [], "modelTopology": {"node": []}}', "utf-8")
    (tmp_path / nanodet.BODY).write_bytes(b"")
    sources = {name: tmp_path / name for name in (nanodet.MODEL, nanodet.BODY)}
    with pytest.raises(ConfigError, match="not the network that was measured"):
        nanodet.build(sources, tmp_path / "out.onnx")
