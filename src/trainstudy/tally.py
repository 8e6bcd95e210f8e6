"""What a count of the system, such as energy, has risen by over all parts of a run."""

from collections.abc import Callable


class Tally:
    """What a count that only rises has risen by over all parts of a run, from now on.

    `count` is asked for it, and `before` is what `read` returned in the part before.
    """

    def __init__(self, count: Callable[[], float | None], before: float | None = 0.0) -> None:
        self._count, self._before, self._start = count, before, count()

    def read(self) -> float | None:
        """Return the rise so far; None where that of a part is not known."""
        now = self._count()
        if now is None or self._start is None or self._before is None:
            return None
        return self._before + max(0.0, now - self._start)
