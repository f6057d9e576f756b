"""How far one text alone is from what this core can do: what reading many at once could save at most.

    python models/prompt-safety/bound.py [--weights FOLDER] [--tokens 32] [--rounds 200] [--file FILE]

Counts the multiplications of the first encoder's graph for a text of so many tokens, marks included, and times them
alone and in the largest run the check makes, beside large square matrices, which nothing multiplies faster here. With
FILE, a prompt a line, the whole check too, one by one and 64 at once. CPU time of one thread, least and median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import reading
from onnx import TensorProto, helper

from guardrail.checks.prompt import SECOND, WEIGHTS, PromptSafety
from guardrail.inference.text.encoder import RUN_TOKENS
from guardrail.inference.text.prompts import packaged_heads
from guardrail.inference.text.second import packaged_second
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

# Rows and columns of the matrices that show what the core can do: large enough for the best of its kernels.
SQUARE = 1024
AT_ONCE = 64


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def cpu_ms(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Least and median CPU milliseconds of this thread."""
    work()
    took = []
    for _ in range(rounds):
        started = time.thread_time()
        work()
        took.append((time.thread_time() - started) * 1000)
    return min(took), statistics.median(took)


def multiplications(graph: Path, tokens: int) -> int:
    """How often the graph multiplies and adds for one text of so many tokens."""
    model = onnx.load(str(graph))
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    names = [name for node in products for name in (node.input[0], node.output[0])]
    have = {value.name for value in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in {*names} - have)
    opened = session(model.SerializeToString())
    seen = dict(zip(names, opened.run(names, inputs(1, tokens)), strict=True))
    return sum(seen[node.output[0]].size * seen[node.input[0]].shape[-1] for node in products)


def inputs(texts: int, tokens: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(3, 1000, (texts, tokens))
    return {"input_ids": ids.astype(np.int64), "attention_mask": np.ones_like(ids, np.int64)}


def peak(rounds: int) -> float:
    """Multiplications and additions a millisecond, the most seen."""
    shape = (SQUARE, SQUARE)
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xyz"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "y"], ["z"])], "square", sides[:2], sides[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    opened = session(model.SerializeToString())
    given = {name: np.random.default_rng(1).standard_normal(shape).astype(np.float32) for name in "xy"}
    return SQUARE**3 / cpu_ms(lambda: opened.run(None, given), rounds)[0]


def check(weights: Models) -> PromptSafety:
    label = f"{weights.label(WEIGHTS)}+{weights.label(SECOND)}"
    return PromptSafety(
        reading.first_reader(weights), packaged_heads(), label, second=packaged_second(reading.second_encoder(weights))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--file", type=Path)
    args = parser.parse_args()
    weights = reading.models(args.weights)
    graph = weights.path(reading.FIRST)
    count, most = multiplications(graph, args.tokens), peak(max(5, args.rounds // 10))
    floor, texts, opened = count / most, RUN_TOKENS // args.tokens, session(graph.read_bytes())
    alone = cpu_ms(lambda: opened.run(None, inputs(1, args.tokens)), args.rounds)
    many = [one / texts for one in cpu_ms(lambda: opened.run(None, inputs(texts, args.tokens)), args.rounds // 10)]
    print(f"a text of {args.tokens} tokens: {count / 1e6:.1f} million multiplications, {most / 1e6:.1f} a ms at most")
    print(f"so {floor:.2f} ms at least; alone {alone[0]:.2f} ({alone[1]:.2f})")
    print(f"{texts} in one run {many[0]:.2f} ({many[1]:.2f}) each: {alone[0] / many[0]:.2f} x")
    print(f"{alone[0] / floor:.2f} x if nothing but the multiplications took time")
    if args.file is None:
        return
    lines = [line.strip() for line in args.file.read_text("utf-8").splitlines() if line.strip()]
    artifacts = [Artifact(Kind.PROMPT, "prompt", text=line) for line in lines[: len(lines) // AT_ONCE * AT_ONCE]]
    judge = check(weights)
    single = cpu_ms(lambda: [judge.score([one]) for one in artifacts], 3)[0] / len(artifacts)
    groups = [artifacts[i : i + AT_ONCE] for i in range(0, len(artifacts), AT_ONCE)]
    together = cpu_ms(lambda: [judge.score(group) for group in groups], 3)[0] / len(artifacts)
    print(f"the check over {len(artifacts)} prompts: {single:.2f} ms one by one, {together:.2f} by {AT_ONCE}")
    print(f"{single / together:.2f} x")


if __name__ == "__main__":
    main()
