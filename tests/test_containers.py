"""Dockerfile, compose file and service unit: each word in them is held to the code.

Where there is a Docker engine and an image that was built, what they promise is held to that as well.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from guardrail.config import Settings, keys, load
from guardrail.home import Home
from guardrail.server.control import PATHS

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE = yaml.safe_load((ROOT / "serving/docker/compose.yaml").read_text("utf-8"))
VARIABLES = {key.variable for key in keys()} | {"GUARDRAIL_KEY", "GUARDRAIL_CONFIG"}
HOME = "/var/lib/guardrail"


def lines(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in DOCKERFILE.splitlines() if line.startswith(f"{word} ")]


def environment() -> dict[str, str]:
    return dict(one.split("=", 1) for line in lines("ENV") for one in line.split())


def unit() -> configparser.ConfigParser:
    page = (ROOT / "docs/tutorial/first-deployment.md").read_text("utf-8")
    (text,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_what_the_image_is_built_from_is_there_and_is_let_into_the_build():
    copied = [name for line in lines("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert {"pyproject.toml", "guardrail", "constraints.txt"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    assert set(copied) == let_in


def test_the_image_runs_as_an_ordinary_user_on_settings_that_exist():
    assert lines("USER") == ["guardrail"]
    assert {name for name in environment() if name.startswith("GUARDRAIL_")} <= VARIABLES
    held = load(None, {}, {name: value for name, value in environment().items() if name.startswith("GUARDRAIL_")})
    assert held.settings.server.host == "0.0.0.0"
    assert lines("EXPOSE") == [str(held.settings.server.port)]


def test_state_lies_in_the_volume_and_weights_beside_it():
    around = environment()
    assert around["GUARDRAIL_HOME"] == HOME
    assert lines("VOLUME") == [HOME]
    assert not Path(around["GUARDRAIL_MODELS_CACHE"]).is_relative_to(HOME)
    assert f"GUARDRAIL_MODELS_CACHE={around['GUARDRAIL_MODELS_CACHE']} " in DOCKERFILE.partition("models pull")[0]
    (volume,) = COMPOSE["services"]["guardrail"]["volumes"]
    assert volume.partition(":")[2] == HOME
    assert volume.partition(":")[0] in COMPOSE["volumes"]


@pytest.fixture(params=[200, 503])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, int, list[str]]]:
    """A server that is ready, or not: status, port, and what it was asked."""
    asked: list[str] = []

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield request.param, server.server_port, asked
        server.shutdown()


def test_the_health_check_tells_a_guard_that_is_ready_from_one_that_is_not(answering):
    status, port, asked = answering
    (line,) = lines("HEALTHCHECK")
    _, *arguments = json.loads(line.partition("CMD ")[2])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "GUARDRAIL_SERVER_PORT": str(port)},
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert asked == ["/readyz"]
    assert set(asked) <= PATHS
    assert (done.returncode == 0) is (status == 200)


def test_the_compose_file_starts_with_three_words_of_the_operator():
    service = COMPOSE["services"]["guardrail"]
    given = {"GENERATOR": "https://host/v1", "POSTGRES_PASSWORD": "hush", "GUARDRAIL_KEY": "ab" * 32}

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: given[found[1]], text)

    around = {name: filled(text) for name, text in service["environment"].items()}
    assert around.keys() <= VARIABLES
    held = load(None, {}, {**environment(), **around})
    assert held.settings.server.upstreams["openai"].url == "https://host/v1"
    assert held.audit_url == "postgresql+psycopg://guardrail:hush@db/guardrail"
    assert held.environment_key == given["GUARDRAIL_KEY"]
    assert Home(Path("/nowhere"), secret=held.environment_key).key("audit")
    (port,) = service["ports"]
    assert port == f"127.0.0.1:8080:{held.settings.server.port}"
    assert (ROOT / "serving/docker" / service["build"] / "Dockerfile").exists()


def test_nobody_is_killed_before_what_is_in_flight_is_finished():
    """`server.drain_s`, and some seconds to write the last records."""
    least = Settings().server.drain_s + 5
    assert float(COMPOSE["services"]["guardrail"]["stop_grace_period"].removesuffix("s")) >= least
    assert float(unit()["Service"]["TimeoutStopSec"]) >= least


def test_the_service_unit_starts_what_was_installed_on_settings_that_exist():
    service = unit()["Service"]
    around = dict(one.split("=", 1) for one in shlex.split(service["Environment"]))
    assert around.keys() <= VARIABLES
    # systemd makes the folder of StateDirectory, and lets the service write there and nowhere else.
    assert around["GUARDRAIL_HOME"] == f"/var/lib/{service['StateDirectory']}" == HOME
    assert service["ProtectSystem"] == "strict"
    page = (ROOT / "docs/tutorial/first-deployment.md").read_text("utf-8")
    program, command = service["ExecStart"].split()
    assert f"python3.11 -m venv {program.removesuffix('/bin/guardrail')}\n" in page
    assert command == "serve"
    assert f"`{around['GUARDRAIL_CONFIG']}`:" in page
    # A wrong setting is no better at the second start.
    assert service["RestartPreventExitStatus"] == "2"


CHECK = ROOT / "serving/docker/check.py"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_image_keeps_what_is_promised_of_it_on_an_engine():
    image = os.environ.get("GUARDRAIL_TEST_IMAGE")
    if not image:
        pytest.skip(
            "no image: docker build -t guardrail . && GUARDRAIL_TEST_IMAGE=guardrail pytest tests/test_containers.py"
        )
    done = subprocess.run([sys.executable, CHECK, "--image", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "which then ends in order" in done.stdout


def test_the_project_of_compose_is_called_guardrail_and_not_like_the_folder():
    """Otherwise it is `docker`, as is any other compose file in a folder of that name: `down` of one would end both."""
    assert COMPOSE["name"] == "guardrail"


def run_check(folder: Path, docker: str | None) -> subprocess.CompletedProcess[str]:
    """Run the check of the image with a `docker` that is this shell script, or with none."""
    if docker is not None:
        (folder / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (folder / "docker").chmod(0o755)
    return subprocess.run(
        [sys.executable, CHECK, "--image", "some-image"],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_an_engine_the_check_of_the_image_says_what_is_missing(tmp_path):
    done = run_check(tmp_path, None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("not ok: there is no command docker")
    assert "Traceback" not in done.stderr


def test_an_image_that_breaks_a_promise_fails_its_check_and_leaves_nothing_behind(tmp_path):
    """An engine where all goes well, but for the user that the guard runs as."""
    done = run_check(tmp_path, f'echo "$*" >> {tmp_path}/said; case "$*" in *"id -u") echo 0;; esac')
    assert done.returncode == 1
    assert "not ok: it runs as the user 10001: no" in done.stderr
    said = (tmp_path / "said").read_text().splitlines()
    assert "up -d --wait --no-build" in said[0]
    assert said[-1].endswith("down -v")
    # Never a project, a volume or a port of the operator's own.
    assert len({re.search(r"compose -p (guardrail-check-\d+) ", line)[1] for line in said}) == 1  # type: ignore[index]
