"""One log for every job: to its file and to the terminal, errors included."""

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainstudy import files


@contextmanager
def job(file: str, name: str) -> Iterator[None]:
    """Send what is logged inside to `file` and to standard error, where `name` leads each line.

    DataError ends the job with its message alone, which names file and cure. Any other exception is
    written to the file with its traceback and raised again; where a disk is full it says how much
    is free.
    """
    to_file = logging.FileHandler(file, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [to_file, to_terminal]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    except files.DataError as error:
        root.error("%s", error)
        raise SystemExit(1) from None
    except Exception as error:
        if files.is_full(error):
            free = shutil.disk_usage(Path(file).parent).free / 1e6
            error.add_note(f"{free:,.1f} MB are free on the disk of {file}.")
        to_terminal.setLevel(logging.CRITICAL)  # Snakemake shows the traceback itself
        root.error("%s failed: %s", name, error, exc_info=True)
        raise
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        to_file.close()
