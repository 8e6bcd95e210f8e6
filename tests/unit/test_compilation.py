"""Compiled training steps: the same training, and nothing of the trial batch remains."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from test_trainer import run, settings, start, timeless, values
from tiny import AUGMENTATION, MODELS
from trainstudy import compilation, provenance, trainer
from trainstudy.step import try_batches
from trainstudy.trainer import fit


@pytest.fixture
def eager(monkeypatch):
    """Let torch.compile trace but generate no code, which takes seconds less."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiled(model, backend="aot_eager"))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_the_trial_batch_leaves_no_trace(name, compiles):
    task, model = start(settings(name))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    learner = compilation.compiled(model) if compiles else model
    assert (learner is not model) == compiles
    assert try_batches(task, learner) > 0
    assert all(weight.grad is None for weight in model.parameters())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


DEEP = {
    "model": MODELS["vit"][1] | {"depth": 3, "drop_path": 0.3},
    "augmentation": AUGMENTATION | {"mixup": 0.4},
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("name", "options"), [("vit", {}), ("vit", DEEP), ("resnet", {})])
def test_a_compiled_run_learns_what_an_uncompiled_one_learns(name, options):
    chosen = settings(name, epochs=2, **options)
    plain, compiled = run(chosen), run(chosen | {"compile": True})
    assert plain.seconds_compiling is None
    assert compiled.seconds_compiling > 0
    assert [row[:3] for row in timeless(compiled)] == [row[:3] for row in timeless(plain)]
    ours, theirs = ([row[3] for row in timeless(outcome)] for outcome in (compiled, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("eager")
def test_time_of_compiling_is_kept_apart(monkeypatch):
    monkeypatch.setattr(trainer, "try_batches", lambda task, learner: 1234.5)
    outcome = run(settings("vit", epochs=1, compile=True))
    assert outcome.seconds_compiling == 1234.5
    assert outcome.seconds < 1000
    assert values(outcome, "train", "seconds")[0] < 1000


class Counted(nn.Module):
    """A model that counts the batches it sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.batches = model, 0

    def forward(self, x):
        self.batches += 1
        return self.model(x)


def test_only_training_is_compiled(monkeypatch):
    chosen = settings("vit", epochs=1, compile=True)
    task, model = start(chosen)
    counted = Counted(model)
    monkeypatch.setattr(compilation, "compiled", lambda model: counted)
    fit(task, model, chosen)
    assert counted.batches == 1 + task.steps  # with the one that is tried


def test_the_compiler_is_named_with_its_version(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    script(tmp_path / "c++", "echo 'c++ 19'")
    assert compilation.compiler() is None  # torch looks for no other one
    usual = script(tmp_path / compilation.USUAL, "echo 'gcc 14.2'; echo 'Copyright'")
    assert compilation.compiler() == f"{usual}: gcc 14.2"
    monkeypatch.setenv("CXX", f"{script(tmp_path / 'own', 'echo $*')} -pipe")
    assert compilation.compiler() == f"{tmp_path}/own -pipe: -pipe --version"
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert compilation.compiler().startswith("/nowhere/g++: [Errno 2]")


def test_the_c_compiler_is_the_one_that_triton_takes(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert compilation.c_compiler() is None
    clang = script(tmp_path / "clang", "echo 'clang 19'")
    assert compilation.c_compiler() == f"{clang}: clang 19"
    gcc = script(tmp_path / "gcc", "echo 'gcc 14.2'")
    assert compilation.c_compiler() == f"{gcc}: gcc 14.2"
    monkeypatch.setenv("CC", str(clang))
    assert compilation.c_compiler() == f"{clang}: clang 19"


@pytest.mark.skipif("CXX" in os.environ, reason="CXX decides what torch takes")
def test_the_compiler_is_the_one_that_torch_takes():
    assert inductor.cpp.cxx[-1] == compilation.USUAL


def script(file: Path, text: str) -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.slow
def test_code_generated_for_this_machine_trains_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    chosen = settings("vit", epochs=2)
    plain, compiled = run(chosen), run(chosen | {"compile": True})
    assert compiled.seconds_compiling > 0
    np.testing.assert_allclose(
        values(compiled, "train", "loss"), values(plain, "train", "loss"), rtol=1e-3
    )
    again = run(chosen | {"compile": True})
    assert timeless(again) == timeless(compiled)


def test_code_is_compiled_for_each_kind_of_processor_apart(tmp_path, monkeypatch):
    def folder(*flags: str) -> str:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
        monkeypatch.setattr(provenance, "processor_flags", lambda: {*flags})
        compilation.keep_apart()
        compilation.keep_apart()  # a second run in the process
        return os.environ["TORCHINDUCTOR_CACHE_DIR"]

    wide, narrow = folder("avx2", "avx512f"), folder("avx2")
    assert wide == folder("avx512f", "avx2")
    assert wide != narrow
    assert Path(wide).parent == Path(narrow).parent == tmp_path
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compilation.keep_apart()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ  # torch's own, which nobody shares
