"""What all tests share."""

import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Threads of tiny matrix products wait for each other longer than they compute. A run sets its own
# number of threads, whatever stands here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines that run the tests are shared: the same examples every time, and no time limit on one.
settings.register_profile("trainstudy", derandomize=True, deadline=None, database=None)
settings.load_profile("trainstudy")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder of a mirror of the real data: SHA256SUMS, hub/…, gpt1/…"""
    folder = os.environ.get("TRAINSTUDY_MIRROR")
    if not folder:
        pytest.skip("needs the real data: set TRAINSTUDY_MIRROR to the folder of a mirror")
    return Path(folder)


@pytest.fixture
def file_limit():
    """Let no file of this process grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
