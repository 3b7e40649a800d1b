"""The unit's log never fails and never delays what it observes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from vehicle.logs import AgentLogStream

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import logging, structlog
from vehicle import logs
logs.configure(logging.INFO, logs.AgentLogStream(2))
for n in range(20_000): structlog.get_logger().info("line", n=n)
structlog.get_logger().info("odd", value=type("T", (), {"__repr__": lambda self: 1 / 0})())
print("done")
"""


def run(stderr: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=30,
        check=False,
    )


def test_neither_a_full_disk_nor_a_reader_that_does_not_read_stops_it() -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(full.fileno())
    assert (done.returncode, done.stdout) == (0, "done\n")
    reading, writing = os.pipe()
    done = run(writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "done\n")
    with os.fdopen(reading, "rb") as pipe:
        kept = [json.loads(line)["n"] for line in pipe.read().splitlines()]
    assert kept == list(range(len(kept)))


def test_a_file_gets_every_line_and_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert run(log.fileno()).stdout == "done\n"
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["line", "log_failed"]
    assert len(lines) == 20_001


def test_a_line_that_was_cut_does_not_spoil_the_next() -> None:
    reading, writing = os.pipe()
    stream = AgentLogStream(writing)
    stream.write("x" * 200_000 + "\n")
    assert set(os.read(reading, 1 << 20)) == {ord("x")}
    stream.write("next\n")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"\nnext\n"
