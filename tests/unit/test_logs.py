"""The log of a job: in its file and on the terminal, errors included."""

import io
import logging
import re
import warnings

import pytest

from trainstudy import fetch, logs

log = logging.getLogger("trainstudy.somewhere")


@pytest.fixture
def file(tmp_path) -> str:
    return str(tmp_path / "42.log")


@pytest.fixture
def before():
    """Set up logging as another program might have done, and clean up after the test."""
    root, own = logging.getLogger(), logging.StreamHandler(io.StringIO())
    level = root.level
    root.addHandler(own)
    root.setLevel(logging.ERROR)
    yield own
    root.removeHandler(own)
    root.setLevel(level)


def read(file: str) -> str:
    with open(file, encoding="utf-8") as stream:
        return stream.read()


def test_messages_reach_the_file_with_time_and_the_terminal_with_the_name(before, file, capsys):
    with logs.job(file, "vit-2/42"):
        log.info("epoch %d: größer", 1)
        log.debug("of no interest")
    (line,) = read(file).splitlines()
    assert line[:4].isdigit()
    assert line.endswith(" epoch 1: größer")
    assert capsys.readouterr().err == "vit-2/42: epoch 1: größer\n"


def test_warnings_reach_the_file(before, file):
    with logs.job(file, "job"):
        warnings.simplefilter("always")  # pytest's own would raise it
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
    assert "UserWarning: mind the gap" in read(file)


def test_an_error_is_raised_again_and_stands_in_the_file_with_its_traceback(before, file, capsys):
    def broken():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"), logs.job(file, "job"):
        broken()
    text = read(file)
    assert "job failed: no such thing" in text
    assert "Traceback (most recent call last)" in text
    assert "in broken" in text
    assert text.rstrip().endswith("ValueError: no such thing")
    assert capsys.readouterr().err == ""  # Snakemake shows it


def test_what_is_wrong_with_a_file_is_said_without_a_traceback(before, file, capsys):
    with pytest.raises(SystemExit) as ended, logs.job(file, "fetch"):
        raise fetch.FetchError("there is no SHA256SUMS; is the key 'mirror' right?")
    assert ended.value.code == 1
    said = "there is no SHA256SUMS; is the key 'mirror' right?\n"
    assert capsys.readouterr().err == f"fetch: {said}"
    assert read(file).endswith(said)
    assert "Traceback" not in read(file)


@pytest.mark.parametrize(
    "said", ["No space left on device (os error 28)", "Disk quota exceeded", "File too large"]
)
def test_a_full_disk_is_said_to_be_full(before, file, said):
    def full():
        raise RuntimeError(f"I/O error: {said}")  # names no file

    with pytest.raises(RuntimeError) as caught, logs.job(file, "job"):
        full()
    (note,) = caught.value.__notes__
    assert re.fullmatch(rf"[\d,]+\.\d MB are free on the disk of {file}\.", note)
    assert note in read(file)


def test_the_log_of_an_earlier_attempt_is_replaced(before, file):
    for message in ("first", "second"):
        with logs.job(file, "job"):
            log.info(message)
    assert "first" not in read(file)
    assert read(file).endswith("second\n")


@pytest.mark.parametrize("fails", [False, True])
def test_logging_is_left_as_it_was(before, file, fails):
    root, show = logging.getLogger(), warnings.showwarning
    handlers = root.handlers[:]
    try:
        with logs.job(file, "job"):
            inside = root.handlers[:]
            if fails:
                raise KeyError("x")
    except KeyError:
        pass
    assert root.handlers == handlers
    assert before in handlers
    assert root.level == logging.ERROR
    assert warnings.showwarning is show
    stream = inside[0].stream
    assert stream is None or stream.closed  # the file
    log.error("after")
    assert "after" not in read(file)
    assert "after" in before.stream.getvalue()
