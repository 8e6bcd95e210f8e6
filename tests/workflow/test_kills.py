"""Training processes are killed at random instants, go on, and end as those that were not."""

import contextlib
import logging
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainstudy import arrays, checkpoint, data, logs, records, run

# The processes fork from one that has imported torch: 30 times that takes minutes.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["trainstudy.run"])

COMMON = {
    "early_stopping": None, "gradient_clipping": 1.0, "label_smoothing": 0.1, "precision": "fp32",
}  # fmt: skip
ADAMW = {"name": "adamw", "lr": 0.003, "weight_decay": 5e-4, "momentum": 0.9}
COSINE = {"name": "cosine", "warmup_epochs": 1, "milestones": [], "gamma": 0.1}
IMAGES = {
    "augmentation": {
        "flip": 0.5, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1],
        "mixup": 0.5, "cutmix": 1.0,
    }
}  # fmt: skip
SETTINGS = {
    "lstm": COMMON | {
        "family": "lstm", "dataset": "pydocs", "epochs": 3, "batch_size": 8,
        "model": {
            "layers": 2, "hidden": 32, "embedding": "learned", "embedding_size": 24, "dropout": 0.2
        },
        "sequence_length": 32, "carry_state": True, "optimizer": ADAMW, "schedule": COSINE,
    },
    "vit": COMMON | IMAGES | {
        "family": "vit", "dataset": "digits", "epochs": 6, "batch_size": 32,
        "model": {
            "depth": 2, "dim": 32, "heads": 4, "mlp": 64, "patch": 2, "norm": "pre", "dropout": 0.2,
            "drop_path": 0.1,
        },
        "optimizer": ADAMW, "schedule": COSINE,
    },
    "cnn": COMMON | IMAGES | {
        "family": "cnn", "dataset": "digits", "epochs": 3, "batch_size": 32,
        "model": {"name": "resnet"},
        "optimizer": {"name": "momentum", "lr": 0.05, "weight_decay": 1e-4, "momentum": 0.9},
        "schedule": COSINE | {"name": "step", "milestones": [2]},
    },
}  # fmt: skip
LATEST = Path("checkpoints", checkpoint.GENERATIONS[0])
TIMES = ["seconds_total", "seconds_training", "seconds_evaluating", "seconds_waiting",
         "throughput", "started",
         "memory_resident", "resumes"]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> dict[str, Path]:
    """Return some digits and a text in which half of the tokens follow from the one before."""
    folder = tmp_path_factory.mktemp("prepared")
    images, manifest = data.find("digits").prepare({})
    manifest |= {"kind": "images", "origin": "embedded", "description": "digits"}
    few = {name: array[:320] for name, array in images.items()}
    arrays.save(few, manifest, folder / "digits.safetensors", folder / "digits.json")

    rng, text = np.random.default_rng(0), {}
    for split, count in (("train", 16_000), ("validation", 2_000), ("test", 2_000)):
        tokens = rng.integers(1, 200, count)
        tokens[1::2] = (tokens[::2] * 7) % 199 + 1
        text[f"{split}.tokens"] = tokens.astype(np.uint16)
    manifest = {
        "kind": "text", "origin": "embedded", "description": "chains", "vocabulary": 200,
        "bytes": dict.fromkeys(("train", "validation", "test"), 9_000),
    }  # fmt: skip
    arrays.save(text, manifest, folder / "pydocs.safetensors", folder / "pydocs.json")
    return {name: folder / f"{name}.safetensors" for name in ("digits", "pydocs")}


def train(family: str, prepared: Path, folder: Path) -> None:
    """Do in a process of its own what workflow/scripts/train.py does."""
    with logs.job(str(folder / "log"), family):
        logging.getLogger().handlers.pop()  # the terminal
        run.train(
            family,
            SETTINGS[family],
            seed=1,
            prepared=prepared,
            table=None,
            threads=1,
            deterministic=False,
            code=[Path(run.__file__)],
            checkpoints=folder / "checkpoints",
            checkpoint_seconds=0.1,
            **{f"{part}_file": folder / part for part in ("metrics", "run", "weights")},
        )


class Killer:
    """Starts training processes and kills them."""

    def __init__(self, prepared: dict[str, Path], rng: random.Random) -> None:
        self.prepared, self.rng = prepared, rng
        self.kills = self.while_writing = 0
        self.begin()

    def begin(self) -> None:
        """Count anew the processes that could go on from a checkpoint, and those that said so."""
        self.could = self.did = 0

    def start(self, family: str, folder: Path):
        folder.mkdir(exist_ok=True)
        self.could += saved(folder)
        prepared = self.prepared[SETTINGS[family]["dataset"]]
        process = PROCESSES.Process(target=train, args=(family, prepared, folder))
        process.start()
        return process

    def whole(self, family: str, folder: Path) -> float:
        """Let a run end; return its seconds."""
        began = time.monotonic()
        process = self.start(family, folder)
        process.join()
        said = self.take_log(folder)
        assert process.exitcode == 0, said
        return time.monotonic() - began

    def take_log(self, folder: Path) -> str:
        """Return the log of the process that has ended, and note whether it went on."""
        log = folder / "log"
        said = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)  # the next process may be killed before it begins its own
        self.did += "goes on with" in said
        return said

    def kill(self, family: str, folder: Path, seconds: float, how: str) -> bool:
        """Kill a run at a moment of the kind `how`; False: it ended before."""
        left = half_written(folder)
        process = self.start(family, folder)
        match how:
            case "saved":
                while process.is_alive() and not saved(folder):
                    time.sleep(0.001)
            case "start":
                process.join(self.rng.uniform(0, 0.2))
            case "any":
                process.join(self.rng.uniform(0, seconds))
            case "writing":
                awaited = self.rng.randint(1, 8)
                seen = set(left)
                while process.is_alive() and len(seen) < len(left) + awaited:
                    seen |= half_written(folder)
        process.kill()
        process.join()
        said = self.take_log(folder)
        if process.exitcode == 0:
            return False
        assert process.exitcode == -9, said
        if (folder / "weights").exists() and not (folder / LATEST).exists():  # only the exit lacks
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            return False
        self.kills += 1
        self.while_writing += bool(half_written(folder) - left)
        return True


def saved(folder: Path) -> bool:
    """Say whether a run has a checkpoint to go on from."""
    return any((folder / "checkpoints" / name).exists() for name in checkpoint.GENERATIONS)


def half_written(folder: Path) -> set[tuple[str, int]]:
    """Return the checkpoints that have no final name yet, each with its inode."""
    found, folder = set(), folder / "checkpoints"
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError):  # at the end of a run the folder goes
        names = os.listdir(folder)
    for name in names:
        if name.startswith((".tmp", "new")):
            with contextlib.suppress(FileNotFoundError):
                found.add((name, (folder / name).stat().st_ino))
    return found


def assert_equal(folder: Path, reference: Path) -> None:
    """Compare all files of two runs, but for times."""
    one, other = (
        pd.read_parquet(place / "metrics").query("metric != 'seconds'").drop(columns="seconds")
        for place in (folder, reference)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not one.duplicated(records.KEYS["metrics"]).any()
    assert (folder / "weights").read_bytes() == (reference / "weights").read_bytes()
    one, other = (
        pd.read_parquet(place / "run").drop(columns=TIMES) for place in (folder, reference)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not (folder / "checkpoints").exists()


def kill_and_compare(prepared, tmp_path, kills: int, families: list[str]) -> Killer:
    """Kill runs of each family so often, let them end, and compare."""
    seed = int(os.environ.get("TRAINSTUDY_KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"kills: TRAINSTUDY_KILL_SEED={seed}")
    killer = Killer(prepared, random.Random(seed))
    for family in families:
        reference = tmp_path / family
        seconds = killer.whole(family, reference)
        done, runs, resumes = 0, 0, 0
        while done < kills:
            folder = tmp_path / f"{family}-{runs}"
            killer.begin()
            before, ended = done, False
            while done < kills and not ended:
                # The first with a checkpoint, so that there is one to go on from.
                how = killer.rng.choice(["start", "writing", "any"]) if done else "saved"
                ended = not killer.kill(family, folder, seconds, how)
                done += not ended
            if not ended:
                killer.whole(family, folder)
            assert_equal(folder, reference)
            counted = pd.read_parquet(folder / "run").resumes.item()
            # A process counts before it says so, and may be killed in between or before.
            assert killer.did <= counted <= killer.could <= done - before
            runs, resumes = runs + 1, resumes + counted
        assert resumes > 0
    print(f"{killer.kills} kills, {killer.while_writing} of them while a checkpoint was written")
    return killer


@pytest.mark.slow
def test_thirty_kills_change_no_number(prepared, tmp_path):
    killer = kill_and_compare(prepared, tmp_path, kills=12, families=["lstm", "vit", "cnn"])
    assert killer.kills >= 36
    assert killer.while_writing > 0


def test_four_kills_change_no_number(prepared, tmp_path):
    killer = kill_and_compare(prepared, tmp_path, kills=2, families=["lstm", "cnn"])
    assert killer.kills == 4
