"""An accelerator gives what the CPU gives; runs where onnxruntime has one (`pip install onnxruntime-gpu`)."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from guardrail.home import Home
from guardrail.inference.manifest import packaged
from guardrail.inference.timing import sample_inputs
from guardrail.inference.weights import Models

CUDA = "CUDAExecutionProvider"
ACCELERATED = [name for name in packaged().names() if packaged()[name].accelerated]

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(CUDA not in onnxruntime.get_available_providers(), reason=f"onnxruntime has no {CUDA} here"),
]


@pytest.fixture(scope="module")
def both():
    folder = Home.default().path / "models"
    return Models(folder), Models(folder, providers=(CUDA,))


@pytest.mark.parametrize("name", ACCELERATED)
@pytest.mark.parametrize("batch", [1, 4])
def test_each_accelerated_graph_gives_on_an_accelerator_what_it_gives_on_the_cpu(both, name, batch):
    plain, fast = (models.session(name) for models in both)
    assert CUDA in fast.get_providers()
    inputs = sample_inputs(plain, batch)
    if inputs is None:
        pytest.skip("its graph has a batch of its own")
    for one, two in zip(plain.run(None, inputs), fast.run(None, inputs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3 * max(1e-3, float(np.abs(one).max())))
