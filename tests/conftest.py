"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
