"""Compiled training steps, and the compiler that they take."""

import logging
import os
import shlex
import shutil
import subprocess
import sys
from typing import cast

import torch
from torch import nn

log = logging.getLogger(__name__)

USUAL = "clang++" if sys.platform == "darwin" else "g++"  # what torch takes where CXX is not set


def compiler() -> str | None:
    """Return the C++ compiler that training steps are compiled with, and its version."""
    return _described(_command("CXX", USUAL))


def c_compiler() -> str | None:
    """Return the C compiler that a GPU's compiled loss takes (Triton's), and its version."""
    return _described(_command("CC", "gcc", "clang"))


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
