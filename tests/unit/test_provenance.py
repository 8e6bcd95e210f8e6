"""What is said about machine, releases and code."""

import os
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from trainstudy import provenance


def test_versions_are_those_that_run():
    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert torch.__version__.startswith(versions["torch"])
    assert set(versions) == {"python", *provenance.PACKAGES}


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert set(provenance.versions()) == {"python", "torch"}


def test_the_machine_is_named_with_its_cores():
    machine = provenance.machine()
    assert set(machine) == {"processor", "cores", "system"}
    assert all(isinstance(fact, str) and fact for fact in machine.values())
    assert int(machine["cores"]) >= 1


def test_its_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert provenance.machine()["cores"] == "3"
    monkeypatch.delattr(os, "sched_getaffinity")  # other systems than Linux have none
    assert provenance.machine()["cores"] == "64"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vendor_id : x\nmodel name\t: Abacus: 9\nmodel name\t: Abacus: 9\n", "Abacus: 9"),
        ("Hardware : none\n", platform.machine()),
        (
            "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n" * 2,
            "AMD EPYC (family 25, model 17)",
        ),
        (
            "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n",
            f"{platform.machine()} (implementer 0x41, part 0xd40)",
        ),
    ],
)
def test_the_processor_is_that_of_the_kernel(monkeypatch, text, name):
    monkeypatch.setattr(Path, "read_text", lambda file: text)
    assert provenance.machine()["processor"] == name


def test_without_the_kernels_list_the_processor_is_pythons(monkeypatch):
    def missing(file):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(provenance, "_output", lambda *command: None)
    assert provenance.machine()["processor"] == "arm"
    monkeypatch.setattr(provenance, "_output", lambda *command: f"Apple M1 of {command[0]}")
    assert provenance.machine()["processor"] == "Apple M1 of sysctl"


@pytest.mark.parametrize("label", ["flags", "Features"])  # the latter on ARM
def test_what_the_processor_can_do_is_what_the_kernel_says(monkeypatch, label):
    monkeypatch.setattr(Path, "read_text", lambda file: f"model : 1\n{label}\t: fp bf16\n")
    assert {"fp", "bf16"} <= provenance.processor_flags()


# The commit, in real repositories


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty working folder that no repository surrounds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set inside a git hook
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def git(*command: str) -> str:
    person = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *person, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(folder):
    git("init", "--quiet")
    (folder / "code.py").write_text("1\n")
    git("add", "code.py")
    git("commit", "--quiet", "--message", "one")
    return folder


def test_a_clean_folder_is_named_by_its_commit(repository):
    full = git("rev-parse", "HEAD")
    assert provenance.commit() == full[:12]


def test_results_beside_the_code_leave_the_commit_clean(repository):
    (repository / "results.txt").write_text("new, and not under version control")
    assert provenance.commit() == git("rev-parse", "HEAD")[:12]


def test_looking_leaves_the_index_to_the_user(repository):
    """git would renew it, under a lock that a commit at that moment fails at."""
    index = repository / ".git/index"
    os.utime(repository / "code.py", (1, 1))
    before = index.read_bytes()
    assert provenance.commit() == git("rev-parse", "HEAD")[:12]
    assert index.read_bytes() == before


@pytest.mark.parametrize("staged", [True, False])
def test_changed_code_is_marked(repository, staged):
    (repository / "code.py").write_text("2\n")
    if staged:
        git("add", "code.py")
    assert provenance.commit() == git("rev-parse", "HEAD")[:12] + "+"


def test_outside_a_repository_there_is_no_commit(folder):
    assert provenance.commit() is None


def test_before_the_first_commit_there_is_none(folder):
    git("init", "--quiet")
    assert provenance.commit() is None


def test_without_git_there_is_no_commit(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    assert provenance.commit() is None


# The GPU


@pytest.fixture
def program(folder, monkeypatch):
    """Put a program of that name in front of all others."""

    def program(name: str, text: str) -> None:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return program


def test_the_driver_is_what_nvidia_smi_says_of_the_first_gpu(program):
    program("nvidia-smi", "echo 535.104.05; echo 535.104.05")
    assert provenance.driver() == "535.104.05"


@pytest.mark.parametrize("text", ["exit 9", ":"])
def test_a_driver_that_does_not_answer_is_none(program, text):
    program("nvidia-smi", text)
    assert provenance.driver() is None


def test_without_nvidia_smi_there_is_no_driver(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    assert provenance.driver() is None


@pytest.mark.parametrize(
    ("files", "torch", "found"),
    [
        ([], "2.14.1", False),
        (["/dev/nvidiactl"], "2.14.1+cpu", True),
        (["/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1"], "2.14.1", True),
        (["/dev/dxg"], "2.14.1", False),  # WSL with another maker's graphics
        (["/dev/kfd"], "2.14.1+rocm7.1", True),
        (["/dev/kfd"], "2.14.1", False),  # an AMD processor's graphics
        (["/dev/kfd"], None, False),
    ],
)
def test_a_gpu_is_known_by_its_device_file(monkeypatch, files, torch, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(Path, "exists", lambda file: str(file) in files)
    monkeypatch.setattr(provenance, "versions", lambda: {"torch": torch} if torch else {})
    assert provenance.has_gpu() is found
    for named, seen in (("", False), ("-1", False), ("1", found)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert provenance.has_gpu() is seen
