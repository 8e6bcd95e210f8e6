"""Checkpoints: what a run needs to go on where it was, and what stops it in good order.

The folder of a run holds its two newest ones, latest.safetensors and previous.safetensors. Each is
a dictionary of tensors and, as JSON in its metadata, plain facts, with a checksum over both.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainstudy import files

log = logging.getLogger(__name__)

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GENERATIONS = ("latest.safetensors", "previous.safetensors")
COUNT = "resumes"
SHARE = 0.05  # of the time; what checkpoints between epochs may take of it

Saved = tuple[dict[str, Any], dict[str, Tensor]]  # facts, tensors


class Interrupted(SystemExit):
    """The run was told to stop; ends the process with exit code 75."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class DiskFullError(OSError):
    """The disk takes no checkpoint: what would be computed from here on might be lost."""


class Unsaved:
    """What the trainer asks of checkpoints, for a run that keeps none."""

    def load(self) -> Saved | None:
        """Return the newest usable checkpoint."""
        return None

    def due(self, between_epochs: bool = False) -> bool:
        """Say whether the run should save itself after this step."""
        return False

    def save(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Write a checkpoint.

        Raises Interrupted where the run was told to stop, DiskFullError where the disk is full.
        """

    def stoppable(self) -> Any:
        """Return a context that a signal may leave at once, with Interrupted."""
        return nullcontext()


class Checkpoints(Unsaved):
    """The checkpoints of one run, as a context: while it is open, signals ask the run to stop.

    `identity` is what decides the result, flat; a checkpoint with another one is not used.
    `seconds` lie between two checkpoints at most, apart from the rest of a step or an evaluation.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.identity = json.loads(json.dumps(identity))
        self.stopping = self._may_leave = False

    def __enter__(self) -> "Checkpoints":
        self._parent = os.getppid()
        self._lock = self._own()
        self._last, self._cost = time.monotonic(), 0.0
        self._handlers = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in self._handlers.items():
            if handler != signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is Interrupted:
            log.warning("told to stop: this process ends with exit code %d", EXIT_CODE)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._lock is not None:
            os.close(self._lock)

    def load(self) -> Saved | None:
        """Return the newest checkpoint that is whole and belongs to this run, or None.

        Its facts say with `resumes` how often a process took up the run, this time included.
        """
        for file in (self.folder / name for name in GENERATIONS):
            try:
                facts, tensors = _read(file)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                log.warning("checkpoint %s is damaged and not used: %s", file, error)
                # The next save would put it in the place of the sound one. What could not be read
                # may be whole.
                if not isinstance(error, OSError):
                    with suppress(OSError):
                        file.unlink()
                continue
            changed = _differences(facts.pop("identity"), self.identity)
            if not changed:
                return facts | {"resumes": self._count(facts.get("resumes", 0))}, tensors
            log.warning("checkpoint %s is not used, for these differ: %s", file, ", ".join(changed))
        with suppress(OSError):  # resumes of what is not used are none of the run that begins anew
            (self.folder / COUNT).unlink()
        return None

    def due(self, between_epochs: bool = False) -> bool:
        """Say whether the run should save itself: time is up, or it should stop.

        Between epochs it is, too, where that takes no more than a twentieth of the time: writing to
        the disk would take up to a quarter of it where epochs take seconds, on a GPU.
        """
        passed = time.monotonic() - self._last
        enough = between_epochs and passed >= self._cost / SHARE
        return self._should_stop() or passed >= self.seconds or enough

    def save(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Write a checkpoint; where that fails the ones before stay.

        Raises Interrupted where the run should stop, and DiskFullError where the disk is full. Any
        other failure leaves it running, or is raised where it should stop: not all is saved.
        """
        new, began = self.folder / "new.safetensors", time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(new, facts | {"identity": self.identity}, tensors)
            latest, previous = (self.folder / name for name in GENERATIONS)
            if latest.exists():
                latest.replace(previous)
            new.replace(latest)
            files.sync(self.folder)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                self._sweep()
            if files.is_full(error):
                raise self._full(error, tensors) from error
            if self._should_stop():
                raise
            log.warning("no checkpoint could be written, the one before is kept: %s", error)
        self._last = time.monotonic()
        self._cost = self._last - began
        if self._should_stop():
            raise Interrupted

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside, a signal raises Interrupted at once: for work that changes nothing."""
        self._may_leave = True
        try:
            if self._should_stop():
                raise Interrupted
            yield
        finally:
            self._may_leave = False

    def remove(self) -> None:
        """Delete the checkpoints; the run is finished and its results are written.

        Raises Interrupted, and keeps them, where the run was told to stop: whoever started it may
        then be gone, or discard the results.
        """
        if self._should_stop():
            raise Interrupted
        shutil.rmtree(self.folder, ignore_errors=True)

    def _on_signal(self, number: int, frame: object) -> None:
        self.stopping = True
        if self._may_leave:
            raise Interrupted

    def _should_stop(self) -> bool:
        return self._orphaned() or self.stopping

    def _orphaned(self) -> bool:
        """Say whether the process that started this one is gone, which stops the run."""
        gone = os.getppid() != self._parent
        if gone and not self.stopping:
            log.warning("the process that started this run is gone")
            self.stopping = True
        return gone

    def _count(self, saved: int) -> int:
        """Return how often the run was taken up, now included; a checkpoint knew of `saved` times.

        Kept in a file, since a process may be killed before its first checkpoint.
        """
        file = self.folder / COUNT
        try:
            known = int(file.read_text())
        except (OSError, ValueError):  # the first time
            known = 0
        resumes = max(saved, known) + 1
        try:
            with files.whole(file) as part:
                part.write_text(f"{resumes}\n")
        except OSError as error:
            log.warning("the number of resumes could not be kept: %s", error)
        return resumes

    def _full(self, error: Exception, tensors: dict[str, Tensor]) -> DiskFullError:
        size = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
        return DiskFullError(
            f"{self.folder}: the disk is full ({error}). The run stops, for all that it would do "
            "from here on might be lost; checkpoints written before are kept. Free some space (a "
            f"checkpoint takes {size:,.1f} MB) and run again: it goes on from the last."
        )

    def _own(self) -> int | None:
        """Lock the folder, which a process whose parent was killed may hold until it stops."""
        try:
            while True:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    _wait_for(lock)
                except OSError:
                    os.close(lock)
                    raise
                if os.fstat(lock).st_nlink:
                    self._sweep()
                    return lock
                os.close(lock)  # its owner finished, and deleted it
        except OSError as error:  # a full disk, or a file system without locks
            log.warning("the folder of checkpoints cannot be locked: %s", error)
            return None

    def _sweep(self) -> None:
        """Delete what a killed or failed writer left, under its own or the library's names."""
        for file in self.folder.glob("*"):
            if file.name not in (*GENERATIONS, COUNT, "lock"):
                file.unlink(missing_ok=True)


def _wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another process still trains this run; waiting until it ends")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _write(file: Path, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    # On a GPU, copies one by one into the memory of the host; on a CPU, mostly no copies.
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts)
    save_file(stored, file, metadata={"facts": text, "sha256": _checksum(text, stored)})
    files.sync(file)


def _read(file: Path) -> Saved:
    """Read one checkpoint. Raises ValueError where its checksum does not fit."""
    with safe_open(file, framework="pt") as stored:
        described = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, no dict
    if _checksum(described["facts"], tensors) != described["sha256"]:
        raise ValueError("its checksum does not fit")
    return json.loads(described["facts"]), tensors


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names whose values differ, sorted."""
    missing = object()
    names = sorted({*one, *other})
    return [name for name in names if one.get(name, missing) != other.get(name, missing)]
