"""Compiled training steps, for the models whose settings ask for them."""

import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from typing import cast

import torch
from torch import nn

from trainstudy.tasks import Task

log = logging.getLogger(__name__)

USUAL = "clang++" if sys.platform == "darwin" else "g++"  # what torch takes where CXX is not set


def compiler() -> str | None:
    """Return the C++ compiler that training steps are compiled with, and its version."""
    command = _command()
    if not command:
        return None
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
    except OSError as error:  # CXX names none; compiling will fail with torch's own words
        said = str(error)
    return f"{shlex.join(command)}: {said.partition(chr(10))[0]}"


def _command() -> list[str]:
    """Return the command of a C++ compiler; empty where there is none."""
    found = shutil.which(USUAL)
    return shlex.split(os.environ.get("CXX", "")) or ([found] if found else [])


def compile_training(task: Task, model: nn.Module) -> tuple[nn.Module, float | None]:
    """Return the model with compiled training steps, and the seconds that compiling took.

    One batch is tried, so that no later step waits for the compiler. Without a C++ compiler the
    model comes back as it is, with a warning and None.
    """
    if not _command():
        log.warning(
            "no C++ compiler (%s) on PATH: training steps are not compiled, which costs vision "
            "transformers about a tenth of their speed; install it, name another one in the "
            "environment variable CXX, or set compile: false",
            USUAL,
        )
        return model, None
    began = time.perf_counter()
    log.info("compiling the training step; takes up to a minute the first time on a machine")
    compiled = cast(nn.Module, torch.compile(model))
    try_batch(task, compiled)
    return compiled, time.perf_counter() - began


def try_batch(task: Task, model: nn.Module) -> None:
    """Let one batch go forward and backward; it leaves weights, gradients and buffers as they were.

    What is made when first used, compiled code or a GPU's libraries, is there afterwards.
    """
    model.train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    task.loss(model, next(task.batches(1)))[0].backward()
    model.zero_grad(set_to_none=True)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
