"""Ray: the same run over a local Ray, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.over_ray import RayPool
from guardrail.evaluate.suite import read_suite
from tests.evaluate.stand_ins import POLICY, open_words, pool, write_suite
from tests.evaluate.test_engine import bytes_of, many

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import sys
from pathlib import Path
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.over_ray import RayPool
from guardrail.evaluate.suite import read_suite
from tests.evaluate.stand_ins import POLICY, open_words

pool = RayPool(open_words, 2)
run(Plan(read_suite(Path(sys.argv[1])), POLICY), pool, Path(sys.argv[2]), chunk=7)
pool.close()
"""


def test_without_ray_the_error_says_what_to_install():
    try:
        import ray  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=r"'\.\[ray\]'"):
            RayPool(open_words, 1)
    else:
        pytest.skip("Ray is installed here")


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_run_over_ray_is_equal_to_a_local_one_byte_for_byte(tmp_path):
    """Needs Ray: `.venv-ray` beside this clone, or GUARDRAIL_TEST_RAY names a Python that has it."""
    python = Path(os.environ.get("GUARDRAIL_TEST_RAY", ROOT / ".venv-ray/bin/python"))
    if not python.exists():
        pytest.skip("no Python with Ray: python -m venv .venv-ray && .venv-ray/bin/pip install -e '.[ray]'")
    suite = write_suite(tmp_path / "suite", many(100), factors=["undress"])
    done = subprocess.run(
        [str(python), "-c", PROGRAM, str(suite), str(tmp_path / "ray")],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run(Plan(read_suite(suite), POLICY), pool(), tmp_path / "local", chunk=7)
    assert bytes_of(tmp_path / "ray") == bytes_of(tmp_path / "local")
