"""What all tests share."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Threads of tiny matrix products wait for each other longer than they compute. A run sets its own
# number of threads, whatever stands here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Who starts the tests in the background or with nohup has them ignore these signals, and so every
# process they start; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Machines that run the tests are shared: the same examples every time, and no time limit on one.
settings.register_profile("trainstudy", derandomize=True, deadline=None, database=None)
settings.load_profile("trainstudy")

PATIENCE = 180_000  # milliseconds; what a browser on a busy machine may take for anything


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder of a mirror of the real data: SHA256SUMS, hub/…, gpt1/…"""
    folder = os.environ.get("TRAINSTUDY_MIRROR")
    if not folder:
        pytest.skip("needs the real data: set TRAINSTUDY_MIRROR to the folder of a mirror")
    return Path(folder)


def chromium() -> str:
    """Return where Chromium is; as root on Debian it is installed first if need be."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        with Path(tempfile.gettempdir(), "chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one worker installs it, the others wait
            found = shutil.which("chromium") or installed()
    if found is None:
        pytest.skip("needs Chromium: install it (Debian: apt install chromium) and run again")
    return found


def installed() -> str | None:
    """Install Chromium with apt-get, and return where it is; skip the test where that fails."""
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        try:
            done = subprocess.run(
                ["apt-get", "-q", *arguments],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=900,
            )
        except subprocess.TimeoutExpired as slow:
            pytest.skip(f"needs Chromium, and apt-get could not install it: {slow}")
        if done.returncode:
            pytest.skip(f"needs Chromium, and apt-get could not install it: {done.stdout[-500:]}")
    return shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a headless Chromium; for one module, because other tests may want an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium()
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open a file in a browser window of its own; afterwards nothing may have gone wrong there.

    Wrong are messages on the console, errors of scripts, and requests for anything but the file.
    """
    windows, wrong = [], []

    def open_file(file: Path, before: str = "", **options):
        window = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        window.set_default_timeout(PATIENCE)
        window.add_init_script(before)
        windows.append(window)
        page = window.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: wrong.append(r.url) if r.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page

    yield open_file
    for window in windows:
        window.close()
    assert wrong == []


@pytest.fixture
def file_limit():
    """Let no file of this process grow beyond so many bytes, as on a full disk, inside a context.

    It ends before the test does: pytest too writes to a file where its output is redirected.
    """

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limit
