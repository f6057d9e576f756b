"""The end of a program whose workers still look."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from guardrail.pipeline.workers import Workers

# A model that multiplies for a second or two, on a thread that the program does not wait for.
PROGRAM = """
import time
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper
from guardrail.pipeline.workers import Workers

side = [400, 400]
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, side)
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, side)
graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
until = time.monotonic() + 1.5

def look():
    while time.monotonic() < until:
        session.run(None, {"x": np.zeros(side, np.float32)})

workers = Workers("look", 2)
workers.submit(look), workers.submit(look), workers.submit(look)
time.sleep(0.2)
print("ended")
"""


def test_a_program_that_ends_while_a_model_looks_ends_well():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_settling_waits_for_what_runs_and_drops_what_waits():
    workers = Workers("look", 1)
    began, ended = threading.Event(), threading.Event()

    def look() -> str:
        began.set()
        time.sleep(0.2)
        ended.set()
        return "seen"

    running, waiting = workers.submit(look), workers.submit(look)
    assert began.wait(5)
    workers.settle(5)
    assert ended.is_set()
    assert (running.result(0), waiting.cancelled()) == ("seen", True)
    with pytest.raises(RuntimeError, match="closed"):
        workers.submit(look)


def test_settling_gives_up_on_what_hangs():
    workers = Workers("look", 1)
    leave = threading.Event()
    workers.submit(lambda: leave.wait(30))
    began = time.monotonic()
    workers.settle(0.2)
    assert time.monotonic() - began < 5
    leave.set()


class _Door:
    """A lock before which the first worker to come waits until it is let in; everybody else passes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reached, self.open = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        if threading.current_thread().name == "guardrail-look":
            self.reached.set()
            self.open.wait(5)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_job_given_up_just_as_it_is_taken_leaves_a_worker_for_the_next():
    workers = Workers("look", 1)
    door = workers._lock = _Door()
    over = threading.Event()
    hangs = workers.submit(lambda: over.wait(10))
    assert door.reached.wait(5)
    workers.abandon(hangs)
    door.open.set()
    assert workers.submit(lambda: "seen").result(5) == "seen"
    over.set()
