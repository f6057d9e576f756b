"""What Linux says of processes: the CPU time and memory of a process and all its children."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of the process tree so far."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_mb(pid: int, what: str = "Pss", file: str = "smaps_rollup") -> float:
    """Memory of the process tree in MB: proportional share now, or with VmHWM and status the peak."""
    total = 0
    for one in tree(pid):
        try:
            found = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{one}/{file}").read_text(), re.M)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def spawn(
    command: Sequence[str], log: Path, port: int, timeout_s: float = 120
) -> tuple[subprocess.Popen[bytes], float]:
    """Start a process and wait until it listens; also how many seconds that took."""
    began = time.perf_counter()
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while not listens(port):
        if process.poll() is not None or time.perf_counter() - began > timeout_s:
            process.kill()
            raise SystemExit(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.01)
    return process, time.perf_counter() - began


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
