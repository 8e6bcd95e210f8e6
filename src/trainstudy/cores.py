"""How long a run had to wait for the processor, because others computed on it."""

from pathlib import Path

THREADS = Path("/proc/self/task")  # Linux; elsewhere there is none


def waited() -> float | None:
    """Return the seconds that threads of this process were ready to compute and had no core.

    All threads together, of those that there are; None where the system does not tell.
    """
    nanoseconds = []
    for thread in THREADS.glob("*/schedstat"):
        try:
            nanoseconds.append(int(thread.read_text().split()[1]))
        except (OSError, IndexError):  # it ended meanwhile, or the kernel keeps no such numbers
            continue
    return sum(nanoseconds) / 1e9 if nanoseconds else None
