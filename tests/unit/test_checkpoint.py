"""Files of checkpoints, what is wrong with them, and signals."""

import errno
import fcntl
import logging
import math
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny import settings, start, timeless
from trainstudy import checkpoint, files
from trainstudy.checkpoint import Checkpoints, DiskFullError, Interrupted
from trainstudy.trainer import fit

IDENTITY = {"settings.optimizer.lr": 0.1, "seed": 1, "code src/a.py": "c0ffee", "torch": "2.0"}


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {
        "one": torch.full((3, 4), value),
        "step": torch.tensor(value),
        "random": torch.arange(5, dtype=torch.uint8),
    }


def save(folder, *values: float, **changed) -> None:
    """Write a checkpoint for each value."""
    with Checkpoints(folder, IDENTITY | changed, 600) as checkpoints:
        for value in values:
            checkpoints.save({"value": value, "nan": float("nan")}, tensors(value))


def load(folder, **changed) -> float | None:
    """Return the value that the checkpoint in use was made with."""
    with Checkpoints(folder, IDENTITY | changed, 600) as checkpoints:
        found = checkpoints.load()
    if found is None:
        return None
    facts, stored = found
    assert facts["nan"] != facts["nan"]
    assert stored.keys() == tensors(0).keys()
    assert all(torch.equal(stored[key], t) for key, t in tensors(facts["value"]).items())
    return facts["value"]


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_newest_is_used_and_one_more_is_kept(tmp_path):
    folder = tmp_path / "runs" / "my-run" / "42"
    assert load(folder) is None
    save(folder, 1.0, 2.0, 3.0)
    assert names(folder) == ["latest.safetensors", "lock", "previous.safetensors"]
    assert load(folder) == 3.0
    (folder / "latest.safetensors").unlink()  # killed between two renames
    assert load(folder) == 2.0


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "garbage"])
def test_a_damaged_one_gives_way_to_the_one_before_with_a_warning(tmp_path, caplog, damage):
    save(tmp_path, 1.0, 2.0)
    spoil(tmp_path / "latest.safetensors", damage)
    assert load(tmp_path) == 1.0
    assert "latest.safetensors is damaged" in caplog.text
    spoil(tmp_path / "previous.safetensors", damage)
    assert load(tmp_path) is None
    assert "previous.safetensors is damaged" in caplog.text


def test_a_damaged_one_does_not_take_the_place_of_the_sound_one(tmp_path, monkeypatch):
    save(tmp_path, 1.0, 2.0)
    spoil(tmp_path / "latest.safetensors", "flipped")
    assert load(tmp_path) == 1.0

    def killed(file: Path, target: Path) -> None:
        if file.name == "new.safetensors":
            raise KeyboardInterrupt
        os.replace(file, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3.0)
    assert load(tmp_path) == 1.0


def spoil(file, damage: str) -> None:
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-1] ^= 1  # in a tensor
    else:
        data = {"truncated": data[: len(data) // 2], "emptied": b"", "garbage": b"\xff" * 99}[
            damage
        ]
    file.write_bytes(data)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    save(folder, 1.0, 2.0)
    return folder, (folder / "latest.safetensors").read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_is_ever_loaded(pair, place, bit):
    folder, whole = pair
    data = bytearray(whole)
    data[int(place * len(data))] ^= 1 << bit
    (folder / "latest.safetensors").write_bytes(data)
    assert load(folder) == 1.0


@given(share=st.floats(0, 1, exclude_max=True))
def test_no_part_of_a_file_is_ever_loaded(pair, share):
    folder, whole = pair
    (folder / "latest.safetensors").write_bytes(whole[: int(share * len(whole))])
    assert load(folder) == 1.0


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"settings.optimizer.lr": 0.2}, "settings.optimizer.lr"),
        ({"code src/a.py": "decaf"}, "code src/a.py"),
        ({"seed": 2, "torch": "2.1"}, "seed, torch"),
        ({"code src/b.py": "new"}, "code src/b.py"),
    ],
)
def test_one_of_another_run_is_not_used_and_the_difference_is_named(
    tmp_path, caplog, changed, named
):
    save(tmp_path, 1.0)
    assert load(tmp_path, **changed) is None
    assert f"latest.safetensors is not used, for these differ: {named}" in caplog.text
    caplog.clear()
    assert load(tmp_path) == 1.0
    assert caplog.text == ""


def test_settings_compare_equal_after_their_way_through_a_file(tmp_path):
    identity = {"settings.augmentation.crop_scale": (0.8, 1.0), "settings.clipping": None}
    save(tmp_path, 1.0, **identity)
    assert load(tmp_path, **identity) == 1.0


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = files.sync, Path.replace
    monkeypatch.setattr(files, "sync", lambda p: done.append(("sync", p.name)) or sync(p))

    def renamed(self, target):
        done.append((self.name, target.name))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", renamed)
    save(tmp_path, 1.0, 2.0)
    once = [("sync", "new.safetensors"), ("new.safetensors", "latest.safetensors")]
    once += [("sync", tmp_path.name)]
    turned = [once[0], ("latest.safetensors", "previous.safetensors"), *once[1:]]
    assert done == once + turned


@contextmanager
def disk_full():
    """Let no file grow beyond a few bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_the_run_and_the_one_before_stays(tmp_path):
    save(tmp_path, 1.0)
    with pytest.raises(DiskFullError) as caught, disk_full():
        save(tmp_path, 2.0)
    message = str(caught.value)
    assert f"{tmp_path}: the disk is full (" in message
    assert "File too large" in message
    assert "Free some space (a checkpoint takes 0.0 MB) and run again" in message
    assert names(tmp_path) == ["latest.safetensors", "lock"]
    assert load(tmp_path) == 1.0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_gives_no_name_to_a_checkpoint_is_full_too(tmp_path, monkeypatch, number):
    save(tmp_path, 1.0)

    def refuse(path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "sync", refuse)
    with pytest.raises(DiskFullError, match=os.strerror(number)):
        save(tmp_path, 2.0)
    assert load(tmp_path) == 1.0


class Filling(Checkpoints):
    """The disk fills up before the third checkpoint."""

    saves = 0

    def save(self, *saved) -> None:
        self.saves += 1
        with disk_full() if self.saves > 2 else nullcontext():
            super().save(*saved)


@pytest.mark.parametrize("name", ["vit", "lstm"])
def test_a_run_whose_disk_filled_up_goes_on_to_the_same_numbers(tmp_path, monkeypatch, name):
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)  # one after every epoch, however short
    chosen = settings(name, epochs=4)
    whole = fit(*start(chosen), chosen)
    with pytest.raises(DiskFullError), Filling(tmp_path, {}, 600) as checkpoints:
        fit(*start(chosen), chosen, checkpoints)
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        facts, _ = checkpoints.load()
    assert (facts["epoch"], facts["step"]) == (3, 0)  # lost is what came after the last checkpoint
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        outcome = fit(*start(chosen), chosen, checkpoints)
    assert timeless(outcome) == timeless(whole)
    assert all(torch.equal(outcome.weights[key], whole.weights[key]) for key in whole.weights)


def test_a_folder_that_cannot_be_made_stops_no_training(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    chosen = settings("vit", epochs=2)
    with Checkpoints(tmp_path / "file" / "folder", {}, 0) as checkpoints:
        outcome = fit(*start(chosen), chosen, checkpoints)
    assert outcome.best_epoch is not None
    assert "cannot be locked" in caplog.text
    assert caplog.text.count("no checkpoint could be written, the one before is kept") == 2 * 3 + 2


def test_who_is_told_to_stop_where_nothing_can_be_saved_does_not_say_that_it_is(
    tmp_path, monkeypatch, caplog
):
    """Exit code 75 means that all is saved."""
    save(tmp_path, 1.0)

    def broken(*_, **__) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint, "_write", broken)
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        monkeypatch.setattr(Path, "unlink", broken)  # the library's unfinished file
        (tmp_path / ".tmpA1b2C3").write_text("")
        checkpoints.save({}, {})
        assert "no checkpoint could be written" in caplog.text
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(OSError, match="Input/output error"):
            checkpoints.save({}, {})
        monkeypatch.undo()
    assert load(tmp_path) == 1.0


def test_one_that_cannot_be_read_for_now_is_kept(tmp_path, monkeypatch, caplog):
    save(tmp_path, 1.0, 2.0)
    read = checkpoint._read

    def stale(file: Path):
        if file.name == "latest.safetensors":
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(file)

    monkeypatch.setattr(checkpoint, "_read", stale)
    assert load(tmp_path) == 1.0
    assert "Stale file handle" in caplog.text
    monkeypatch.undo()
    assert load(tmp_path) == 2.0


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    save(tmp_path, 1.0)
    (tmp_path / ".tmpA1b2C3").write_text("half a checkpoint, under the library's temporary name")
    (tmp_path / "new.safetensors").write_text("one that was not renamed any more")
    (tmp_path / "resumes.part").write_text("")
    assert load(tmp_path) == 1.0
    assert names(tmp_path) == ["latest.safetensors", "lock", "resumes"]


def test_every_process_that_takes_up_a_run_is_counted(tmp_path):
    def resumes(**changed) -> int | None:
        with Checkpoints(tmp_path, IDENTITY | changed, 600) as checkpoints:
            found = checkpoints.load()
        return found and found[0]["resumes"]

    assert resumes() is None
    save(tmp_path, 1.0)
    assert [resumes() for _ in range(3)] == [1, 2, 3]  # killed before they saved themselves
    spoil(tmp_path / "latest.safetensors", "emptied")
    assert resumes() is None
    save(tmp_path, 1.0)
    assert resumes() == 1
    (tmp_path / "resumes").write_bytes(b"\0\xff")
    assert resumes() == 1
    (tmp_path / "resumes").unlink()
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        checkpoints.save({"resumes": 7}, tensors(1.0))
    assert resumes() == 8
    assert resumes(seed=2) is None  # the run begins anew
    assert not (tmp_path / "resumes").exists()


def test_a_count_that_cannot_be_written_stops_no_run(tmp_path, caplog):
    save(tmp_path, 1.0)
    (tmp_path / "resumes").mkdir()
    assert load(tmp_path) == 1.0
    assert "the number of resumes could not be kept" in caplog.text


def test_a_finished_run_leaves_nothing(tmp_path):
    folder = tmp_path / "42"
    with Checkpoints(folder, {}, 600) as checkpoints:
        checkpoints.save({}, tensors(1))
        checkpoints.remove()
    assert not folder.exists()


# When a checkpoint is due, and what stops a run


def test_one_is_due_after_so_many_seconds(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    with Checkpoints(tmp_path, {}, seconds=10) as checkpoints:
        assert not checkpoints.due()
        now[0] += 10
        assert checkpoints.due()
        checkpoints.save({}, tensors(1))
        assert not checkpoints.due()
        now[0] += 9.9
        assert not checkpoints.due()


def test_between_epochs_one_is_due_that_takes_a_twentieth_of_the_time(tmp_path, monkeypatch):
    now, write = [100.0], checkpoint._write

    def slow(*arguments) -> None:
        now[0] += 1.5
        write(*arguments)

    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "_write", slow)
    with Checkpoints(tmp_path, {}, seconds=600) as checkpoints:
        assert checkpoints.due(between_epochs=True)  # nothing is saved yet
        checkpoints.save({}, tensors(1))
        now[0] += 29
        assert not checkpoints.due(between_epochs=True)
        now[0] += 1
        assert checkpoints.due(between_epochs=True)
        assert not checkpoints.due()


@pytest.mark.parametrize("number", checkpoint.SIGNALS)
def test_a_signal_leads_to_a_checkpoint_and_exit_code_75(tmp_path, caplog, number):
    def told_twice():
        with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # by an impatient person
            assert checkpoints.due()
            checkpoints.save({"value": 7.0, "nan": float("nan")}, tensors(7.0))

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped:
        told_twice()
    assert stopped.value.code == 75
    assert "exit code 75" in caplog.text
    assert signal.getsignal(number) == before
    assert load(tmp_path) == 7.0


def test_a_signal_that_was_ignored_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        with Checkpoints(tmp_path, {}, 600) as checkpoints:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not checkpoints.due()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_leaves_at_once_what_changes_nothing(tmp_path):
    done = []
    with Checkpoints(tmp_path, {}, 600) as checkpoints:

        def told():
            with checkpoints.stoppable():
                done.append("begun")
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)

        for _ in range(2):  # the second time it is not even begun
            with pytest.raises(Interrupted):
                told()
    assert done == ["begun"]


@pytest.fixture
def orphan(monkeypatch):
    """Return what makes this process one whose parent was killed."""
    return lambda: monkeypatch.setattr(os, "getppid", lambda: 1_000_000_000)


def test_a_run_whose_parent_was_killed_during_its_tests_keeps_its_checkpoints(
    tmp_path, orphan, caplog
):
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        checkpoints.save({"value": 1.0, "nan": float("nan")}, tensors(1.0))
        with checkpoints.stoppable():
            orphan()
        with pytest.raises(Interrupted):
            checkpoints.remove()
    assert caplog.text.count("the process that started this run is gone") == 1
    assert load(tmp_path) == 1.0


def test_a_run_that_was_told_to_stop_while_it_wrote_its_results_keeps_its_checkpoints(tmp_path):
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        checkpoints.save({"value": 1.0, "nan": float("nan")}, tensors(1.0))
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            checkpoints.remove()
    assert load(tmp_path) == 1.0


def test_a_process_whose_parent_was_killed_begins_no_evaluation(tmp_path, orphan):
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        orphan()
        with pytest.raises(Interrupted), checkpoints.stoppable():
            pytest.fail("it was begun")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_run_whose_parent_is_killed_in_its_last_evaluation_goes_on_with_it(
    tmp_path, monkeypatch, orphan, split
):
    chosen = settings("vit", epochs=2)
    whole = fit(*start(chosen), chosen)
    task, model = start(chosen)
    evaluate, parent = task.evaluate, os.getppid

    def killing(model, asked):
        if asked == split:
            orphan()
        return evaluate(model, asked)

    task.evaluate = killing

    def first_part() -> None:
        with Checkpoints(tmp_path, {}, 600) as checkpoints:
            fit(task, model, chosen, checkpoints)
            checkpoints.remove()

    with pytest.raises(Interrupted):
        first_part()
    monkeypatch.setattr(os, "getppid", parent)
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        outcome = fit(*start(chosen), chosen, checkpoints)
    assert timeless(outcome) == timeless(whole)
    assert outcome.resumes == 1


def test_a_process_whose_parent_was_killed_stops(tmp_path, monkeypatch, caplog):
    with Checkpoints(tmp_path, IDENTITY, 600) as checkpoints:
        assert not checkpoints.due()
        monkeypatch.setattr(os, "getppid", lambda: 1_000_000_000)
        assert checkpoints.due()
        with pytest.raises(Interrupted):
            checkpoints.save({"value": 1.0, "nan": float("nan")}, tensors(1.0))
    assert "the process that started this run is gone" in caplog.text
    assert load(tmp_path) == 1.0


# Two processes for one run

HOLD = """
import fcntl, os, shutil, sys
lock = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
if sys.argv[2] == "finish":
    shutil.rmtree(sys.argv[1])
"""


@contextmanager
def another_process(folder, end: str):
    """Let another process hold the folder, until it is sent a line."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(folder), end]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


@pytest.mark.parametrize("end", ["stop", "finish"])
def test_the_second_process_of_a_run_waits_for_the_first(tmp_path, caplog, monkeypatch, end):
    folder, lock = tmp_path / "run", fcntl.flock
    with another_process(folder, end) as other, caplog.at_level(logging.WARNING):

        def waiting(file, how):
            if how == fcntl.LOCK_EX:  # after it was refused
                other.stdin.write("\n")
                other.stdin.flush()
            lock(file, how)

        monkeypatch.setattr(fcntl, "flock", waiting)
        save(folder, 1.0)
        assert other.wait() == 0  # it held the lock to its end
        assert "another process still trains this run" in caplog.text
    assert load(folder) == 1.0
