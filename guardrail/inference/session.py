"""Sessions: one open graph per model, shared by every thread.

One thread per session and no spinning: parallelism comes from judging several pictures at once. With two threads and
the default spinning, onnxruntime took twice the CPU time and twice the latency on a busy machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Official builds of onnxruntime send what they do to their maker unless told otherwise before they are loaded
# (Privacy.md in the package). A guard calls nobody. The library asks the C library, so Python's own copy of the
# environment is left alone.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from guardrail.errors import ConfigError

# For a program that had loaded onnxruntime itself before.
onnxruntime.disable_telemetry_events()

# One arena for what all graphs work in, as few run at once: all default checks take 405 MB instead of 454, no slower.
with contextlib.suppress(Exception):  # of a program that registered one before: then that one is shared
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
        ),
        None,
    )

CPU = ("CPUExecutionProvider",)
# How each accelerator runs. A score must not depend on the machine that gave it, so convolutions keep all bits of a
# float (TF32 has 10); and a graph that is shown a new size may not first try every algorithm there is.
RUN_WITH = {"CUDAExecutionProvider": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}


def open_session(path: Path, *, threads: int = 1, providers: Sequence[str] = CPU, cautious: bool = False) -> Any:
    """Open a graph for inference: an `onnxruntime.InferenceSession`, whose `run` may be called from any thread.

    `threads` work on one run; `providers` are tried in order, and the CPU is always the last.
    `cautious` leaves out the layout optimisations, at which onnxruntime 1.31 crashes on transformers in fp16.

    Raises ConfigError when a provider is not in this build of onnxruntime or cannot be used on this machine, or the
    graph cannot be opened.
    """
    if threads < 1:
        raise ConfigError(f"threads per session is {threads}; expected 1 or more")
    available = onnxruntime.get_available_providers()
    missing = [provider for provider in providers if provider not in available]
    if missing:
        raise ConfigError(
            f"onnxruntime has no {', '.join(missing)}; it has {', '.join(available)}. "
            "Install the onnxruntime build for this accelerator, or leave the provider out"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED if cautious else levels.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = True
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    chain = [*providers, *(provider for provider in CPU if provider not in providers)]
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[(name, RUN_WITH.get(name, {})) for name in chain]
        )
    except Exception as error:  # onnxruntime raises classes of its own that share no public base
        raise ConfigError(
            f"{path.name} cannot be opened by onnxruntime {onnxruntime.__version__}: {type(error).__name__}; "
            "run `guardrail models verify`, then `guardrail models pull --force`"
        ) from error
    # Where a driver or a library is missing, onnxruntime goes on without the accelerator and only logs it.
    idle = [name for name in providers if name not in session.get_providers()]
    if idle:
        raise ConfigError(
            f"{', '.join(idle)} cannot be used on this machine: its driver or libraries are missing or of another "
            "version than this build of onnxruntime wants. Install those, or leave the provider out"
        )
    return session
