"""Where a number comes from: machine, releases, code."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("torch", "numpy", "tokenizers", "scikit-learn", "pyarrow", "safetensors")
# Files that all exist where an NVIDIA GPU and its driver are; WSL has the device for any maker's.
NVIDIA = (("/dev/nvidiactl",), ("/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1"))
CPUINFO = Path("/proc/cpuinfo")
AMD = "/dev/kfd"  # also that of a processor's graphics, which only torch for ROCm would use


def machine() -> dict[str, str]:
    """Return processor, cores and operating system of this machine."""
    return {
        "processor": _processor(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Return the releases of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the git commit of the working folder, with "+" where files differ from it."""
    revision = _output("git", "rev-parse", "--short=12", "HEAD")
    if revision is None:
        return None
    # Without locks, which would stand in the way of what the user does with git.
    changed = _output("git", "--no-optional-locks", "status", "--porcelain", "-uno")
    return revision + ("+" if changed else "")


def has_gpu() -> bool:
    """Say whether torch would find a GPU on this machine, without loading it.

    A driver that is too old for it is not noticed, nor is a torch that was built for CPUs.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden
        return False
    if any(all(Path(file).exists() for file in files) for files in NVIDIA):
        return True
    return Path(AMD).exists() and "rocm" in versions().get("torch", "")


def processor_flags() -> set[str]:
    """Return what Linux says the first processor can do; empty on other systems."""
    lines = _cpuinfo() or []
    named = ("flags", "Features")  # the latter on ARM
    return next(({*line.split()} for line in lines if line.startswith(named)), set())


def driver() -> str | None:
    """Return the version of the NVIDIA driver, or None."""
    lines = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return lines.splitlines()[0] if lines else None


def _processor() -> str:
    """Return the name of the processor, with the numbers of its kind where there are any.

    Rented machines call every AMD EPYC that, and one kind multiplies bfloat16 twice as fast as
    another.
    """
    lines = _cpuinfo()
    if lines is None:  # macOS calls every processor of Apple's arm
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    facts: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in lines):
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    numbers = {
        "cpu family": "family", "model": "model",
        "CPU implementer": "implementer", "CPU part": "part",  # on ARM, where there is no name
    }  # fmt: skip
    kind = ", ".join(f"{label} {facts[key]}" for key, label in numbers.items() if key in facts)
    return f"{name} ({kind})" if kind else name


def _cpuinfo() -> list[str] | None:
    """Return what Linux says of its processors, by line; None on other systems."""
    try:
        return CPUINFO.read_text().splitlines()
    except OSError:
        return None


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
