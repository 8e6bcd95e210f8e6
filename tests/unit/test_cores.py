"""How long a process waits for a core: real threads that have to share one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainstudy import cores
from trainstudy.tally import Tally

ROOT = Path(__file__).parents[2]
KNOWN = pytest.mark.skipif(cores.waited() is None, reason="the system does not tell it")
WORK = """
import os, threading, time
from trainstudy import cores
from trainstudy.tally import Tally
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
wait, ends = Tally(cores.waited), time.monotonic() + 1.0
def compute():
    while time.monotonic() < ends:
        sum(range(10_000))
children = [os.fork() for _ in range({others})]
if 0 in children:
    compute()
    os._exit(0)
compute()
print(wait.read())
"""


def waited(others: int) -> float:
    """Return the seconds of one that a process waited, with others on the same core."""
    code = WORK.format(others=others)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    return float(done.stdout)


@KNOWN
def test_who_shares_a_core_waits_for_it():
    # Three quarters of a second, if all are treated alike. A virtual machine that itself has to
    # wait counts that as running.
    assert any(waited(others=3) > 0.5 for _ in range(3))


def thread(folder: Path, number: int, nanoseconds: int) -> None:
    (folder / str(number)).mkdir(exist_ok=True)
    (folder / str(number) / "schedstat").write_text(f"99 {nanoseconds} 3\n")


def test_the_wait_is_that_of_all_threads_and_parts_and_not_of_before(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "THREADS", tmp_path)
    thread(tmp_path, 1, 10**9)
    first = Tally(cores.waited)
    thread(tmp_path, 1, 3 * 10**9)
    thread(tmp_path, 2, 5 * 10**8)
    assert first.read() == 2.5
    again = Tally(cores.waited, 2.5)
    assert again.read() == 2.5
    thread(tmp_path, 2, 10**9)
    assert again.read() == 3.0
    (tmp_path / "1" / "schedstat").unlink()  # a thread that has ended takes nothing back
    assert again.read() == 2.5


def test_a_wait_that_is_not_known_of_one_part_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "THREADS", tmp_path / "none")
    assert cores.waited() is None
    assert Tally(cores.waited).read() is None
    monkeypatch.setattr(cores, "THREADS", tmp_path)
    thread(tmp_path, 1, 1)
    assert Tally(cores.waited, None).read() is None
    assert Tally(cores.waited).read() == 0
