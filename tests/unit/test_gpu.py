"""Who sits on which card: claims by real processes, some of them killed."""

import fcntl
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch

from trainstudy import gpu, nvml
from trainstudy.gpu import claim

CARDS = ["GPU-a", "GPU-b"]
GPU = torch.device("cuda", 0)


def test_every_run_has_a_card_to_itself_while_there_are_enough(tmp_path):
    with claim(CARDS, tmp_path) as one, claim(CARDS, tmp_path) as other:
        assert {one.index, other.index} == {0, 1}
    assert not one.shared
    assert not other.shared


def test_runs_beyond_the_cards_share_and_all_who_shared_know(tmp_path):
    with claim(CARDS, tmp_path) as first, claim(CARDS, tmp_path) as second:
        with claim(CARDS, tmp_path) as third:
            assert third.shared
        assert third.index == first.index
    assert first.shared
    assert not second.shared


def test_who_stays_behind_shares_with_who_comes_next(tmp_path):
    first = claim(CARDS[:1], tmp_path)
    first.__enter__()
    with claim(CARDS[:1], tmp_path) as stays:
        first.__exit__(None, None, None)  # its seat, the first, is free again
        with claim(CARDS[:1], tmp_path) as late:
            assert late.shared
        assert stays.shared


def test_one_after_the_other_is_not_sharing(tmp_path):
    for _ in range(3):
        with claim(CARDS[:1], tmp_path) as alone:
            assert alone.index == 0
        assert not alone.shared


def test_a_fourth_run_goes_where_fewest_are(tmp_path):
    first, second, third, fourth = (claim(CARDS, tmp_path) for _ in range(4))
    with first, second, third as one, fourth as other:
        assert other.index != one.index


def test_other_cards_of_the_machine_are_no_concern(tmp_path):
    with claim(["GPU-a"], tmp_path) as one, claim(["GPU-b"], tmp_path) as other:
        assert (one.index, other.index) == (0, 0)
    assert not one.shared
    assert not other.shared


def test_a_run_outlives_a_cleaner_of_temporary_folders(tmp_path):
    for _ in range(2):
        with claim(CARDS[:1], tmp_path) as alone:
            (notes,) = tmp_path.glob("*.visitors")
            notes.unlink()
            assert not alone.look()
        assert not alone.shared


def test_a_claim_makes_its_files_look_new_whenever_it_looks(tmp_path):
    """Or what clears temporary folders of old files takes the lock of a run away."""
    with claim(CARDS[:1], tmp_path):
        pass
    files = [*tmp_path.iterdir()]
    assert len(files) == 3
    for file in files:
        os.utime(file, (0, 0))
    with claim(CARDS[:1], tmp_path) as taken:
        assert all(file.stat().st_mtime > 0 for file in files)
        held = [file for file in files if file.name != "choosing"]
        for file in held:
            os.utime(file, (0, 0))
        taken.look()
        assert all(file.stat().st_mtime > 0 for file in held)


def test_runs_choose_one_after_the_other(tmp_path):
    """Two that looked at the same time would both find the same card empty."""
    entered = threading.Event()

    def second() -> None:
        with claim(CARDS, tmp_path):
            entered.set()

    with (tmp_path / "choosing").open("a") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


def test_a_failed_run_gives_its_card_back(tmp_path):
    with pytest.raises(ZeroDivisionError), claim(CARDS[:1], tmp_path):
        raise ZeroDivisionError
    with claim(CARDS[:1], tmp_path) as after:
        assert not after.shared


def test_a_killed_run_gives_its_card_back(tmp_path):
    script = f"""
        import sys, time
        from pathlib import Path
        from trainstudy.gpu import claim
        with claim(["GPU-a"], Path({str(tmp_path)!r})):
            print("sits", flush=True)
            time.sleep(60)
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(gpu.__file__).parents[1])},
    )
    assert run.stdout.readline() == "sits\n"
    with claim(["GPU-a"], tmp_path) as beside:
        assert beside.shared
    run.kill()
    run.wait()
    run.stdout.close()
    with claim(["GPU-a"], tmp_path) as after:
        assert not after.shared


def test_too_many_runs_on_a_card_are_refused_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "MOST", 2)
    one, two, three = (claim(["GPU-a"], tmp_path) for _ in range(3))
    with one, two, pytest.raises(RuntimeError, match="--resources gpu"), three:
        pass


# What it took


def metered(monkeypatch, *counts: float | None) -> None:
    """Let the GPU's count of joules be these, one after the other."""
    left = iter(counts)
    monkeypatch.setattr(nvml, "energy", lambda device: next(left))


def test_a_run_without_a_gpu_has_no_energy():
    cpu = torch.device("cpu")
    assert gpu.Meter(cpu, None).read() == {"energy": None, "shared": False}


def test_energy_is_that_between_the_beginnings_and_the_ends_of_all_parts(monkeypatch):
    metered(monkeypatch, 100, 107, 150, 1000, 1003, 1004)
    first = gpu.Meter(GPU, None)
    assert first.read()["energy"] == 7
    second = gpu.Meter(GPU, None)  # made at 150, before it knows of a part before
    second.go_on({"energy": 7, "shared": False})
    assert [second.read()["energy"] for _ in range(2)] == [10, 11]


@pytest.mark.parametrize("counts", [(None, 1, 2, 3), (1, 2, None, 3), (1, 2, 3, None)])
def test_energy_of_which_a_part_is_not_known_stays_empty(monkeypatch, counts):
    begun, stopped, again, end = counts
    metered(monkeypatch, begun, stopped, 0, again, end)
    found = gpu.Meter(GPU, None).read()
    other = gpu.Meter(GPU, None)
    other.go_on(found)
    assert other.read()["energy"] is None


def test_a_card_that_was_shared_in_one_part_was_shared(monkeypatch, tmp_path):
    monkeypatch.setattr(nvml, "energy", lambda device: 1.0)
    with claim(CARDS[:1], tmp_path) as card:
        meter = gpu.Meter(GPU, card)
        assert not meter.read()["shared"]
        with claim(CARDS[:1], tmp_path):
            pass
        found = meter.read()
        assert found["shared"]
    with claim(CARDS[:1], tmp_path) as card:
        again = gpu.Meter(GPU, card)
        assert not again.read()["shared"]
        again.go_on(found)
        assert again.read()["shared"]
