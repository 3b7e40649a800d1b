"""A log only observes: whatever becomes of its lines, who logs goes on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.platform.logs import LogStream

ROOT = Path(__file__).resolve().parents[3]


def in_a_process(script: str, stderr: int) -> subprocess.CompletedProcess[str]:
    """The logger of a process is configured once, so that each has its own."""
    prelude = "import structlog, logging, sys\nfrom services.platform import logs\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=30,
        check=False,
    )


EVERY_WAY_OF_LOGGING = """
logs.configure("INFO", "room")
log = structlog.get_logger()
log.info("plain", field=1)
try:
    raise ValueError("no")
except ValueError:
    log.exception("with a trace")
logging.getLogger("a library").warning("warned of %s", "something")
logging.getLogger("a library").warning("too few %s %s", "words")
print("printed", file=sys.stderr)
print("done")
"""


def test_a_disk_without_room_stops_nobody() -> None:
    with Path("/dev/full").open("wb") as full:
        done = in_a_process(EVERY_WAY_OF_LOGGING, full.fileno())
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_a_reader_that_has_gone_stops_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = in_a_process(EVERY_WAY_OF_LOGGING, writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_a_reader_that_does_not_read_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    script = """
logs.configure("INFO", "room")
for n in range(20_000):
    structlog.get_logger().info("line", n=n)
print("done")
"""
    done = in_a_process(script, writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "done\n")
    with os.fdopen(reading, "rb") as pipe:
        kept = [json.loads(line) for line in pipe.read().splitlines()]
    assert [line["n"] for line in kept] == list(range(len(kept)))


@pytest.mark.parametrize(
    "value", ["type('T', (), {'__repr__': lambda self: 1 / 0})()", "(lambda l: l.append(l) or l)([])"]
)
def test_a_value_that_can_not_be_written_is_told_and_stops_nobody(value: str) -> None:
    script = f"logs.configure('INFO', 'r')\nstructlog.get_logger().info('odd', value={value})\nprint('done')"
    reading, writing = os.pipe()
    done = in_a_process(script, writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "done\n")
    with os.fdopen(reading, "rb") as pipe:
        (line,) = [json.loads(line) for line in pipe.read().splitlines()]
    assert (line["event"], line["record"]) == ("log_failed", "odd")


def test_a_stream_that_raises_stops_nobody() -> None:
    script = """
class Broken:
    def write(self, text): raise RuntimeError("no")
    def flush(self): raise RuntimeError("no")
logs.configure("INFO", "room", Broken())
structlog.get_logger().warning("lost")
logging.getLogger("a library").warning("lost")
print("done")
"""
    done = in_a_process(script, subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_lost_lines_are_counted_and_told_first() -> None:
    reading, writing = os.pipe()
    stream = LogStream(writing)
    line = "x" * 1_023 + "\n"
    while not stream.lost:
        stream.write(line)
    stream.write("two more\n")
    stream.write("two more\n")
    assert stream.lost == 3
    os.read(reading, 65_536)
    stream.write('{"event": "after"}\n')
    assert stream.lost == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(row) for row in pipe.read().splitlines() if row.startswith(b"{")]
    assert [row["event"] for row in told] == ["log_lines_lost", "after"]
    assert told[0]["count"] == 3


def test_a_long_line_that_is_cut_does_not_spoil_the_next() -> None:
    reading, writing = os.pipe()
    stream = LogStream(writing)
    stream.write("x" * 200_000 + "\n")  # more than a pipe holds
    assert stream.lost == 1
    taken = os.read(reading, 1 << 20)
    assert set(taken) == {ord("x")}
    stream.write('{"event": "next"}\n')
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [json.loads(row)["event"] for row in lines if row.startswith(b"{")] == ["log_lines_lost", "next"]


def test_a_closed_descriptor_is_nothing_to_fail_of() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    stream = LogStream(writing)
    assert stream.write("lost\n") == len("lost\n")
    assert stream.lost == 1


def test_a_file_takes_lines_as_they_are(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        LogStream(file.fileno()).write("one\n")
    assert io.BytesIO((tmp_path / "log").read_bytes()).readlines() == [b"one\n"]
