"""Compiled training steps, the compiler that they take, and where compiled code lies."""

import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import nn

from trainstudy import provenance

log = logging.getLogger(__name__)

USUAL = "clang++" if sys.platform == "darwin" else "g++"  # what torch takes where CXX is not set


def compiler() -> str | None:
    """Return the C++ compiler that training steps are compiled with, and its version."""
    return _described(_command("CXX", USUAL))


def c_compiler() -> str | None:
    """Return the C compiler that a GPU's compiled loss takes (Triton's), and its version."""
    return _described(_command("CC", "gcc", "clang"))


def lacking(on_gpu: bool) -> tuple[str, str] | None:
    """Return what compiling training steps needs and this machine has not, and the cure."""
    if not compiler():
        cure = "install it, name another one in the environment variable CXX"
        return f"no C++ compiler ({USUAL}) on PATH", cure
    headers = Path(sysconfig.get_path("include"))
    # On macOS torch looks in more places.
    if sys.platform == "linux" and not (headers / "Python.h").exists():
        return f"no Python.h in {headers}", "install Python's headers (Debian: python3-dev)"
    if on_gpu and not find_spec("triton"):
        return "no Triton, which compiles for GPUs", "install the package triton"
    if on_gpu and not c_compiler():
        return (
            "no C compiler (gcc) on PATH",
            "install it, name another one in the environment variable CC",
        )
    return None


def keep_apart() -> None:
    """Give code that is compiled for this kind of processor a folder of its own.

    It lies in the one that jobs share, TORCHINDUCTOR_CACHE_DIR; torch looks code up there by the
    model, and not by the processor whose instructions and width of vectors it was made for.
    """
    shared = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    kind = f"{platform.machine()} {' '.join(sorted(provenance.processor_flags()))}"
    own = hashlib.sha256(kind.encode()).hexdigest()[:12]
    if shared and Path(shared).name != own:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(shared, own)


def _described(command: list[str]) -> str | None:
    if not command:
        return None
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
    except OSError as error:  # CXX names none; compiling will fail with torch's own words
        said = str(error)
    return f"{shlex.join(command)}: {said.partition(chr(10))[0]}"


def _command(variable: str, *usual: str) -> list[str]:
    """Return the command that the variable names, or the first usual one there is; else nothing."""
    found = filter(None, map(shutil.which, usual))
    return shlex.split(os.environ.get(variable, "")) or list(found)[:1]


def compiled(model: nn.Module) -> nn.Module:
    """Return the model with compiled training steps; its first batch waits for the compiler."""
    log.info("compiling the training step; takes up to a minute the first time on a machine")
    return cast(nn.Module, torch.compile(model))
