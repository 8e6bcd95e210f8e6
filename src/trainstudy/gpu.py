"""Which card a run takes, whether another run was on it at the same time, and what energy it took.

How many runs go at once is Snakemake's to say (`--resources gpu=3`). With as many cards each run
has one to itself; with fewer they share. Locks of the operating system count the runs on a card, so
that a killed run leaves nothing behind.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from trainstudy import nvml
from trainstudy.tally import Tally

MOST = 64  # runs on one card


@dataclass
class Claim:
    """A card taken by this run."""

    index: int  # among the cards
    shared: bool  # when last looked; the last look is at the end of the claim
    visitors: int  # an open file, which grows whenever a run joins another on the card
    seat: int  # an open file, locked as long as the claim lasts
    before: int  # bytes of `visitors` when the claim began

    def look(self) -> bool:
        """Return whether another run has been on the card since the claim began."""
        # What clears temporary folders of old files leaves them alone.
        os.utime(self.visitors)
        os.utime(self.seat)
        self.shared = self.shared or os.fstat(self.visitors).st_size > self.before
        return self.shared


@contextmanager
def claim(cards: Sequence[str], folder: Path | None = None) -> Iterator[Claim]:
    """Take the card with the fewest runs of this user on it, as long as the context lasts.

    `cards` are the cards' lasting names (UUIDs), in CUDA's order; `folder` is where this machine's
    runs keep their locks. Raises RuntimeError where MOST runs are on that card.
    """
    folder = folder or Path(tempfile.gettempdir(), f"trainstudy-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    with ExitStack() as held:
        with (folder / "choosing").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            os.utime(door.fileno())
            runs = [_runs_on(folder, card) for card in cards]
            index = runs.index(min(runs))
            visitors = held.enter_context((folder / f"{cards[index]}.visitors").open("a")).fileno()
            os.write(visitors, b"+" if runs[index] else b"")
            before = os.fstat(visitors).st_size
            seat = held.enter_context(_free_seat(folder, cards[index])).fileno()
        taken = Claim(index, runs[index] > 0, visitors, seat, before)
        taken.look()
        yield taken
        taken.look()


class Meter:
    """What a run takes of its GPU's energy over all its parts, and whether others were on it."""

    def __init__(self, device: torch.device, card: Claim | None) -> None:
        self.device, self.card, self.shared = device, card, False
        self._energy = self._tally(0.0)

    def read(self) -> dict[str, Any]:
        """Return the energy so far (joules, None where that of a part is not known) and shared."""
        energy = self._energy.read()
        self.shared = self.shared or (self.card is not None and self.card.look())
        return {"energy": energy, "shared": self.shared}

    def go_on(self, found: dict[str, Any]) -> None:
        """Go on, from now, with what `read` returned in the part before."""
        self._energy, self.shared = self._tally(found["energy"]), found["shared"]

    def _tally(self, before: float | None) -> Tally:
        return Tally(lambda: nvml.energy(self.device), before)


def _take(file: Path) -> IO[str] | None:
    """Return the file, locked, or None where another run holds it."""
    seat = file.open("a")
    try:
        fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        seat.close()
        return None
    return seat


def _free_seat(folder: Path, card: str) -> IO[str]:
    for number in range(MOST):
        if seat := _take(folder / f"{card}.{number}"):
            return seat
    raise RuntimeError(f"{MOST} runs are on the card {card} already; lower --resources gpu=…")


def _runs_on(folder: Path, card: str) -> int:
    count = 0
    for file in folder.glob(f"{card}.[0-9]*"):
        if seat := _take(file):
            seat.close()
        else:
            count += 1
    return count
