"""One run from settings and prepared data to its three files, on a few small digits and words."""

import copy
import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import tiny
from trainstudy import (
    arrays,
    checkpoint,
    compilation,
    cores,
    data,
    gpu,
    models,
    precision,
    provenance,
    records,
    run,
    trainer,
)
from trainstudy.checkpoint import Checkpoints, Interrupted
from trainstudy.files import DataError
from trainstudy.step import Step

COMMON = {
    "epochs": 2,
    "early_stopping": None,
    "batch_size": 32,
    "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.0, "momentum": 0.9},
    "schedule": {"name": "none", "warmup_epochs": 0, "milestones": [], "gamma": 0.1},
    "gradient_clipping": None,
    "label_smoothing": 0.0,
    "precision": "fp32",
}
VIT = COMMON | {
    "family": "vit",
    "dataset": "digits",
    "model": {
        "depth": 1, "dim": 8, "heads": 2, "mlp": 8, "patch": 4, "norm": "pre", "dropout": 0.0,
        "drop_path": None,
    },
    "augmentation": {
        "flip": 0.0, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1],
        "mixup": None, "cutmix": None,
    },
    "compile": False,
}  # fmt: skip
RESNET = VIT | {"family": "cnn", "model": {"name": "resnet"}}
LSTM = COMMON | {
    "family": "lstm",
    "dataset": "pydocs",
    "model": {
        "layers": 1, "hidden": 8, "embedding": "gpt1", "embedding_size": 6, "dropout": 0.0
    },
    "sequence_length": 16,
    "carry_state": False,
    "batch_size": 4,
}  # fmt: skip
VOCABULARY = 12
COMMIT = "0123456789ab+"  # the real one may change while the tests run


@pytest.fixture(autouse=True)
def _process():
    """Leave threads and arithmetic of this process as they were: a run sets them."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return the first few images of each split, prepared."""
    folder = tmp_path_factory.mktemp("digits")
    prepared, manifest = data.find("digits").prepare({})
    few = {name: array[:96] for name, array in prepared.items()}
    manifest |= {"kind": "images", "origin": "embedded", "description": "a few digits"}
    arrays.save(few, manifest, folder / "digits.safetensors", folder / "digits.json")
    return folder / "digits.safetensors"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Return a text of twelve tokens that follow each other in a circle, prepared."""
    folder = tmp_path_factory.mktemp("words")
    circle = np.arange(300) % (VOCABULARY - 1) + 1
    splits = {"train": circle, "validation": circle[:70], "test": circle[:50]}
    tokens = {f"{split}.tokens": part.astype(np.uint16) for split, part in splits.items()}
    manifest = {
        "kind": "text", "origin": "embedded", "description": "a circle", "vocabulary": VOCABULARY,
        "bytes": {split: 4 * len(part) for split, part in splits.items()},
    }  # fmt: skip
    arrays.save(tokens, manifest, folder / "words.safetensors", folder / "words.json")
    return folder / "words.safetensors"


@pytest.fixture
def table(tmp_path):
    """Return a frozen embedding, as prepared from GPT-1's weights."""
    table = np.random.default_rng(0).normal(size=(VOCABULARY, 6)).astype(np.float32)
    table[0] = 0
    return save_table(table, tmp_path / "table.safetensors")


def save_table(table: np.ndarray, file: Path) -> Path:
    manifest = {"origin": "mirrored"}
    arrays.save({"embedding": table}, manifest, file, file.with_suffix(".json"))
    return file


class Files:
    def __init__(self, folder) -> None:
        self.metrics_file = folder / "metrics.parquet"
        self.run_file = folder / "run.parquet"
        self.weights_file = folder / "weights.safetensors"

    @property
    def metrics(self) -> pd.DataFrame:
        return pd.read_parquet(self.metrics_file)

    @property
    def facts(self) -> dict:
        (row,) = pq.read_table(self.run_file).to_pylist()
        return row

    @property
    def described(self) -> dict:
        with safe_open(self.weights_file, framework="pt") as stored:
            return json.loads(stored.metadata()["run"])


def train(
    folder, settings, prepared, table=None, seed=42, deterministic=None, code=(), **changes
) -> Files:
    """Train and return the files; `changes` are settings of the optimizer or of the top.

    Deterministic by default where there is a GPU, which repeats a run to the last bit only then.
    """
    settings = copy.deepcopy(settings)
    for key, value in changes.items():
        place = settings["optimizer"] if key in settings["optimizer"] else settings
        place[key] = value
    folder.mkdir(exist_ok=True)
    files = Files(folder)
    run.train(
        "my-run",
        settings,
        seed,
        prepared,
        table,
        threads=1,
        deterministic=torch.cuda.is_available() if deterministic is None else deterministic,
        code=code,
        checkpoints=folder / "checkpoints",
        checkpoint_seconds=600,
        **vars(files),
    )
    return files


def test_checkpoints_stay_until_all_results_are_written(tmp_path, digits, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "save_file", full)  # of the weights, the last of the three files
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path, VIT, digits)
    monkeypatch.undo()
    assert train(tmp_path, VIT, digits).facts["resumes"] == 1


def test_a_setting_that_no_column_takes_is_told_before_anything_is_trained(
    tmp_path, digits, monkeypatch
):
    monkeypatch.setattr(run.trainer, "fit", lambda *_: pytest.fail("it was trained"))
    own = VIT | {"model": VIT["model"] | {"width": 3}}
    with pytest.raises(ValueError, match=r"no column for the settings model\.width: add each"):
        train(tmp_path, own, digits)


def test_no_run_is_recorded_with_an_embedding_that_it_has_not(tmp_path, words, table):
    with pytest.raises(ValueError, match="goes with settings that name gpt1"):
        train(tmp_path, LSTM, words)
    own = LSTM | {"model": LSTM["model"] | {"embedding": "learned"}}
    with pytest.raises(ValueError, match="goes with settings that name gpt1"):
        train(tmp_path, own, words, table)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits) -> Files:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "commit", lambda: COMMIT)
        return train(tmp_path_factory.mktemp("vit"), VIT, digits)


# The three files


def test_the_files_have_the_schemas_of_the_study(trained):
    assert pq.read_schema(trained.metrics_file).equals(records.METRICS)
    assert pq.read_schema(trained.run_file).equals(records.RUNS)
    assert len(load_file(trained.weights_file)) > 0


def test_metric_rows_name_their_run_and_cover_every_epoch_and_split(trained):
    metrics = trained.metrics
    assert (metrics.experiment == "my-run").all()
    assert (metrics.family == "vit").all()
    assert (metrics.dataset == "digits").all()
    assert (metrics.seed == 42).all()
    for split in ("train", "validation"):
        loss = metrics[(metrics.split == split) & (metrics.metric == "loss")]
        assert loss.epoch.tolist() == [1, 2]
    assert 2 in set(metrics[metrics.split == "test"].epoch)
    keys = metrics[records.KEYS["metrics"]]
    assert not keys.duplicated().any()
    assert np.isfinite(metrics.value).all()


def test_the_row_of_a_run_holds_its_settings(trained):
    facts = trained.facts
    settings = records.flatten(VIT)
    assert {name: facts[name] for name in settings} == settings
    assert facts["experiment"] == "my-run"
    assert facts["seed"] == 42
    assert facts["status"] == "finished"
    assert facts["diverged_step"] is None
    assert facts["model.layers"] is None  # of another family
    assert facts["epochs_trained"] == 2


def test_the_row_of_a_run_repeats_the_scores_of_its_last_and_best_epoch(trained):
    facts, metrics = trained.facts, trained.metrics.set_index(["epoch", "split", "metric"]).value
    last, best = 2, facts["best_epoch"]
    accuracy = metrics[:, "validation", "accuracy"]
    assert accuracy[best] == accuracy.max()
    for split in ("train", "validation", "test"):
        for metric in ("loss", "accuracy"):
            assert facts[f"{split}_{metric}_last"] == metrics[last, split, metric]
            assert facts[f"{split}_{metric}_best"] == metrics[best, split, metric]
        assert facts[f"{split}_perplexity_last"] is None


def test_the_row_of_a_run_says_where_its_numbers_come_from(trained, digits):
    facts = trained.facts
    manifest = json.loads(digits.with_suffix(".json").read_text())
    assert facts["data_origin"] == "embedded"
    assert facts["data_description"] == "a few digits"
    assert facts["data_sha256"] == manifest["sha256"]
    assert facts["commit"] == COMMIT
    assert facts["code"] is None  # it was told of none
    assert json.loads(facts["versions"]) == provenance.versions()
    assert json.loads(facts["machine"]) == provenance.machine()
    assert facts["threads"] == 1
    assert facts["resumes"] == 0
    assert facts["started"].endswith("+00:00")


def test_the_row_of_a_run_holds_parameters_pace_and_memory(trained):
    facts = trained.facts
    weights = load_file(trained.weights_file)
    assert facts["parameters_trained"] == facts["parameters_total"]
    assert facts["parameters_trained"] == sum(weight.numel() for weight in weights.values())
    assert facts["throughput_unit"] == "images"
    assert facts["throughput"] == pytest.approx(96 / facts["seconds_training"])  # 3 batches of 32
    assert facts["seconds_total"] >= 2 * facts["seconds_training"] > 0
    if cores.waited() is None:
        assert facts["seconds_waiting"] is None
    else:
        assert facts["seconds_waiting"] >= 0
    assert facts["memory_resident"] > 2**24  # bytes: more than 16 MiB
    if facts["device"] == "CPU":
        assert facts["memory_allocated"] is None
        assert facts["energy"] is None
        assert facts["gpu_shared"] is None
        assert facts["driver"] is None


def jump(factor: float) -> dict:
    """Return a schedule whose learning rate jumps up after the first epoch."""
    return VIT["schedule"] | {"name": "step", "milestones": [1], "gamma": factor}


def assert_equal_weights(one: Files, two: Files) -> None:
    first, second = load_file(one.weights_file), load_file(two.weights_file)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def test_weights_and_best_scores_are_those_of_the_best_epoch(tmp_path, digits):
    short = train(tmp_path / "short", VIT, digits, epochs=1)
    files = train(tmp_path / "long", VIT, digits, schedule=jump(300))  # the second epoch spoils it
    facts = files.facts
    assert facts["status"] == "finished"
    assert facts["best_epoch"] == 1
    assert files.described == {"experiment": "my-run", "seed": 42, "epoch": 1}
    assert_equal_weights(files, short)
    assert facts["test_loss_best"] == short.facts["test_loss_last"]
    assert facts["test_loss_last"] != facts["test_loss_best"]
    assert set(files.metrics.query("split == 'test'").epoch) == {1, 2}


def test_a_run_that_ends_early_says_after_how_many_epochs(tmp_path, digits):
    # The rate vanishes after the first epoch, and with it all improvement.
    files = train(tmp_path, VIT, digits, epochs=5, early_stopping=2, schedule=jump(1e-30))
    facts, metrics = files.facts, files.metrics.set_index(["epoch", "split", "metric"]).value
    assert (facts["epochs"], facts["epochs_trained"], facts["best_epoch"]) == (5, 3, 1)
    assert facts["status"] == "finished"
    assert facts["test_loss_last"] == metrics[3, "test", "loss"]
    assert max(files.metrics.epoch) == 3


# Language models, with a frozen table


def test_a_language_model_is_trained_on_a_frozen_table(tmp_path, words, table):
    files = train(tmp_path / "run", LSTM, words, table, epochs=3)
    facts = files.facts
    assert facts["status"] == "finished"
    assert facts["parameters_total"] - facts["parameters_trained"] == VOCABULARY * 6
    weights = load_file(files.weights_file)
    assert "table" not in weights  # it is not trained, and belongs to GPT-1
    assert facts["parameters_trained"] == sum(weight.numel() for weight in weights.values())
    assert facts["throughput_unit"] == "tokens"
    assert facts["throughput"] == pytest.approx(299 / facts["seconds_training"])
    for split in ("train", "validation", "test"):
        loss = facts[f"{split}_loss_last"]
        assert facts[f"{split}_perplexity_last"] == pytest.approx(np.exp(loss))
        assert facts[f"{split}_accuracy_last"] is None
    validation = files.metrics.query("split == 'validation' and metric == 'loss'").value
    assert validation.is_monotonic_decreasing  # a circle is easy to learn


def test_without_a_table_the_embedding_is_learned(tmp_path, words):
    learned = LSTM | {"model": LSTM["model"] | {"embedding": "learned"}}
    files = train(tmp_path, learned, words)
    facts = files.facts
    assert facts["parameters_trained"] == facts["parameters_total"]
    assert load_file(files.weights_file)["table"].shape == (VOCABULARY, 6)


def test_the_table_that_is_given_decides_the_result(tmp_path, words, table):
    one = train(tmp_path / "1", LSTM, words, table, epochs=1)
    other = save_table(arrays.load(table).arrays["embedding"] * 2, tmp_path / "other.safetensors")
    two = train(tmp_path / "2", LSTM, words, other, epochs=1)
    assert one.facts["validation_loss_last"] != two.facts["validation_loss_last"]


@pytest.mark.parametrize(
    ("data", "table", "origin"),
    [
        ("original", "original", "original"),
        ("original", "mirrored", "mirrored"),
        ("original", None, "original"),
        ("mirrored", "original", "mirrored"),
        ("embedded", "mirrored", "embedded"),
    ],
)
def test_a_table_that_is_not_the_original_makes_the_data_of_a_run_mirrored(data, table, origin):
    dataset = arrays.Dataset({}, {"origin": data, "description": "a text"})
    columns = run._origin(dataset, arrays.Dataset({}, {"origin": table}) if table else None)
    assert columns["data_origin"] == origin
    told = "; GPT-1's weights from a mirror, not the originals"
    assert columns["data_description"] == "a text" + told * (table == "mirrored")


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_table_that_changed_since_it_was_prepared_is_not_trained_on(
    tmp_path, words, table, ending
):
    changed = table.with_suffix(ending)
    content = bytearray(changed.read_bytes())
    content[content.rindex(b"6")] ^= 1  # a number of the shape, or of whatever stands last
    changed.write_bytes(content)
    with pytest.raises(DataError, match=f"{changed} has changed since it was prepared. Delete"):
        train(tmp_path / "run", LSTM, words, table)
    assert not (tmp_path / "run/run.parquet").exists()


# Repeating a run


def scores(files: Files) -> pd.DataFrame:
    rows = files.metrics[files.metrics.metric != "seconds"]
    return rows.drop(columns="seconds").reset_index(drop=True)


def test_one_disturbed_epoch_does_not_count_in_the_pace():
    outcome, task = trainer.Outcome(), SimpleNamespace(units=100, unit="images")
    for epoch, (training, evaluating) in enumerate([(2.0, 1.0), (50.0, 30.0), (4.0, 0.5)], 1):
        outcome.record(epoch, "train", {"seconds": training}, 0.0)
        outcome.record(epoch, "validation", {"seconds": evaluating}, 0.0)
    pace = run._pace(outcome, task)
    assert (pace["seconds_training"], pace["seconds_evaluating"]) == (4.0, 1.0)
    assert pace["throughput"] == 25.0


@pytest.mark.parametrize("family", ["vit", "lstm"])
def test_an_equal_seed_gives_equal_numbers_and_weights(
    tmp_path, digits, words, table, monkeypatch, family
):
    monkeypatch.setattr(provenance, "commit", lambda: COMMIT)
    settings, prepared, given = {
        "vit": (VIT, digits, None),
        "lstm": (LSTM, words, table),
    }[family]
    one = train(tmp_path / "1", settings, prepared, given)
    torch.rand(7)  # what happened before in the process does not matter
    two = train(tmp_path / "2", settings, prepared, given)
    other = train(tmp_path / "3", settings, prepared, given, seed=43)
    pd.testing.assert_frame_equal(scores(one), scores(two), check_exact=True)
    assert_equal_weights(one, two)
    assert one.described == two.described
    assert not scores(one).value.equals(scores(other).value)
    measured = ("seconds", "throughput", "memory")
    varies = {name for name in records.RUNS.names if name.startswith(measured)}
    varies |= {"started", "energy"}
    assert {k: v for k, v in one.facts.items() if k not in varies} == {
        k: v for k, v in two.facts.items() if k not in varies
    }


def test_equal_runs_write_equal_files_of_weights(tmp_path, digits):
    one, two = (train(tmp_path / n, VIT, digits, epochs=1) for n in ("1", "2"))
    assert one.weights_file.read_bytes() == two.weights_file.read_bytes()


@pytest.fixture
def _default_mode(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize(("wanted", "rounded"), [("fp32", False), ("bf16", True)])
def test_fp32_is_float32_in_cudnn_too(tmp_path, digits, wanted, rounded):
    torch.backends.cuda.matmul.allow_tf32 = True  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE does
    train(tmp_path, VIT, digits, epochs=1, precision=wanted)
    assert torch.backends.cudnn.allow_tf32 == rounded
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="the processor cannot do it")
def test_numbers_too_small_to_be_normal_count_as_zero_in_every_thread():
    code = """
import numpy as np, torch
from trainstudy import run
tiny = np.full(1_000_000, 1e-40, np.float32)
torch.set_num_threads(2)
run.choose_algorithms({'precision': 'fp32'}, deterministic=False)
scaled = (torch.from_numpy(tiny) * 0.5).numpy()
print(*(np.count_nonzero(numbers.view(np.int32)) for numbers in (tiny, scaled)))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(run.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environment, text=True) == "1000000 0\n"


def test_the_precision_that_the_machine_chose_is_the_one_recorded(tmp_path, digits, monkeypatch):
    for fast, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precision, "_multiplies_bf16", lambda fast=fast: fast)
        files = train(tmp_path / expected, VIT, digits, epochs=1, precision="auto")
        named = train(tmp_path / f"named {expected}", VIT, digits, epochs=1, precision=expected)
        assert files.facts["precision"] == expected
        assert files.weights_file.read_bytes() == named.weights_file.read_bytes()


@pytest.mark.usefixtures("_default_mode")
def test_the_deterministic_mode_is_torchs_and_is_recorded(tmp_path, digits):
    for deterministic in (True, False):
        files = train(tmp_path / str(deterministic), VIT, digits, deterministic=deterministic)
        assert files.facts["deterministic"] == deterministic
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert torch.backends.cudnn.deterministic == deterministic
        if deterministic:
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_without_a_compiler_the_run_goes_on_uncompiled_and_says_so(
    tmp_path, digits, monkeypatch, caplog
):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    facts = train(tmp_path, VIT, digits, epochs=1, compile=True, deterministic=False).facts
    assert facts["status"] == "finished"
    assert not facts["compile"]
    assert facts["seconds_compiling"] is None
    assert "install it, name another one in the environment variable CXX" in caplog.text


def test_a_card_that_another_run_joined_while_this_one_trained_was_shared(
    tmp_path, digits, monkeypatch
):
    card = SimpleNamespace(shared=False, look=lambda: True)
    monkeypatch.setattr(run, "_device", lambda: nullcontext((torch.device("cpu"), card)))
    facts = train(tmp_path, VIT, digits, epochs=1).facts
    assert facts["gpu_shared"]
    assert facts["energy"] is None


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_card_is_told_when_it_is_taken(monkeypatch, caplog, shared):
    card = SimpleNamespace(index=1, shared=shared)
    taken, used = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cards = {0: SimpleNamespace(uuid="one"), 1: SimpleNamespace(uuid="other")}
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.get)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(gpu, "claim", lambda names: taken.append(names) or nullcontext(card))
    with run._device() as (device, claimed):
        assert (device, claimed) == (torch.device("cuda", 1), card)
    assert (taken, used) == ([["one", "other"]], [1])
    assert ("another run is on the same GPU" in caplog.text) == shared


def test_compiled_code_lies_by_kind_of_processor(tmp_path, digits, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    train(tmp_path, VIT, digits, epochs=1)
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent == tmp_path / "compiled"


def test_the_seconds_of_compiling_and_of_waiting_are_told_apart(tmp_path, digits, monkeypatch):
    waited = itertools.count(0, 1_000)  # seconds, longer than the whole run
    monkeypatch.setattr(cores, "waited", lambda: float(next(waited)))
    monkeypatch.setattr(trainer, "try_batches", lambda *_: 500.0)
    monkeypatch.setattr(compilation, "compiled", lambda model: model)
    facts = train(tmp_path, VIT, digits, epochs=1, compile=True, deterministic=False).facts
    assert facts["seconds_compiling"] == 500
    assert facts["seconds_waiting"] >= 1_000
    assert facts["seconds_total"] < 500


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch looks in more places")
def test_without_headers_of_python_the_run_goes_on_uncompiled_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(compilation, "compiler", lambda: "g++ 14.2")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    settled = run.settled(VIT | {"compile": True}, deterministic=False)
    assert not settled["compile"]
    assert "no Python.h in /nowhere: training steps are not compiled" in caplog.text
    assert "install Python's headers (Debian: python3-dev)" in caplog.text


@pytest.mark.parametrize("card", [True, False])
@pytest.mark.parametrize(
    ("triton", "said"),
    [
        (object(), "no C compiler (gcc) on PATH"),
        (None, "no Triton, which compiles for GPUs"),
    ],
)
def test_a_gpu_wants_triton_and_a_c_compiler_too(monkeypatch, caplog, card, triton, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(compilation, "compiler", lambda: "g++ 14.2")
    monkeypatch.setattr(compilation, "c_compiler", lambda: None)
    monkeypatch.setattr(compilation, "find_spec", lambda name: triton)
    assert run.settled(VIT | {"compile": True}, deterministic=False)["compile"] == (not card)
    assert (said in caplog.text) == card


@pytest.mark.parametrize("card", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("wanted", [True, False, None])
def test_steps_are_compiled_but_for_the_deterministic_mode_on_a_gpu(
    monkeypatch, card, deterministic, wanted
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(compilation, "compiler", lambda: "g++ 14.2")
    monkeypatch.setattr(compilation, "c_compiler", lambda: "gcc 14.2")
    monkeypatch.setattr(compilation, "find_spec", lambda name: object())
    settings = LSTM if wanted is None else VIT | {"compile": wanted}
    expected = settings | {"compile": False} if wanted and card and deterministic else settings
    assert run.settled(settings, deterministic) == expected


def test_a_run_without_compiled_steps_loads_no_compiler():
    """Loading it takes as long as all else that a job does before its first step."""
    code = """
import sys
import tiny
from trainstudy import run, trainer
from trainstudy.state import State
run.choose_algorithms({'precision': 'fp32'}, deterministic=False)
for name in tiny.MODELS:
    for optimizer in ("adam", "momentum"):
        chosen = tiny.settings(name, epochs=1, gradient_clipping=1.0)
        chosen["optimizer"]["name"] = optimizer
        task, model = tiny.start(chosen)
        trainer.fit(task, model, chosen)
        State(task, model, chosen).restore(*State(task, model, chosen).capture())
print("torch._dynamo" in sys.modules, "torch._inductor" in sys.modules)
"""
    folders = [Path(run.__file__).parents[1], Path(__file__).parent]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environment, text=True) == "False False\n"


# Energy


@pytest.mark.parametrize("shared", [None, False, True])
@pytest.mark.parametrize("earlier", [False, True])
def test_energy_is_given_where_the_gpu_was_not_shared_in_any_part(tmp_path, shared, earlier):
    outcome = trainer.Outcome(gpu={"energy": 12.5, "shared": earlier})
    card = None if shared is None else gpu.Claim(0, shared, tmp_path, tmp_path, 0)
    if card is None:
        outcome.gpu = {"energy": None, "shared": earlier}
    found = run._gpu_columns(outcome, card)
    alone = shared is False and not earlier
    assert found == {
        "gpu_shared": None if card is None else not alone,
        "energy": 12.5 if alone else None,
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch finds none")
@pytest.mark.usefixtures("_default_mode")
@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["vit", "lstm", "googlenet", "resnet", "densenet"])
def test_the_deterministic_mode_repeats_every_byte_on_a_gpu(
    tmp_path, digits, words, table, name, wanted
):
    network = RESNET | {"model": {"name": name}}
    settings, prepared, given = {"vit": (VIT, digits, None), "lstm": (LSTM, words, table)}.get(
        name, (network, digits, None)
    )
    one, two = (
        train(tmp_path / part, settings, prepared, given, deterministic=True, precision=wanted)
        for part in ("1", "2")
    )
    assert one.facts["device"] == torch.cuda.get_device_name()
    pd.testing.assert_frame_equal(scores(one), scores(two), check_exact=True)
    assert one.weights_file.read_bytes() == two.weights_file.read_bytes()


# Interruptions


def interrupted(folder, *arguments, after: int, **changes) -> None:
    """Begin a run that is told to stop in its step number `after`."""
    take, steps = Step.__call__, iter(range(1, 1000))

    def told(step, rows):
        if next(steps) == after:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(step, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "__call__", told)
        with pytest.raises(Interrupted):
            train(folder, *arguments, **changes)


@pytest.mark.parametrize("settings", [VIT, RESNET], ids=["vit", "resnet"])
def test_an_interrupted_run_goes_on_and_counts_its_resumes(tmp_path, digits, settings):
    whole = train(tmp_path / "whole", settings, digits)
    for after in (2, 1):  # the second time in the first step after the resume
        interrupted(tmp_path / "parts", settings, digits, after=after)
        assert not (tmp_path / "parts/run.parquet").exists()
    files = train(tmp_path / "parts", settings, digits)
    pd.testing.assert_frame_equal(scores(files), scores(whole), check_exact=True)
    assert files.weights_file.read_bytes() == whole.weights_file.read_bytes()
    assert (files.facts["resumes"], whole.facts["resumes"]) == (2, 0)
    assert not (tmp_path / "parts/checkpoints").exists()


def test_all_that_decides_a_run_is_part_of_what_its_checkpoint_belongs_to(digits, monkeypatch):
    dataset = arrays.load(digits)
    other = arrays.Dataset(dataset.arrays, dataset.manifest | {"manifest_sha256": "another"})
    plain = {
        "settings": VIT, "seed": 1, "deterministic": False, "dataset": dataset,
        "embedding": dataset, "code": (),
    }  # fmt: skip
    changes = {
        "settings.epochs": {"settings": VIT | {"epochs": 9}},
        "seed": {"seed": 2},
        "deterministic": {"deterministic": True},
        "data": {"dataset": other},
        "embedding": {"embedding": other},
        f"code {__file__}": {"code": [Path(__file__)]},
    }
    usual = run._identity(**plain)
    for name, change in changes.items():
        assert checkpoint._differences(usual, run._identity(**plain | change)) == [name]
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert checkpoint._differences(usual, run._identity(**plain)) == ["torch"]


def test_a_run_that_went_on_elsewhere_names_its_earlier_places(digits):
    def machine(*places: str) -> dict:
        outcome = trainer.Outcome(places=[*places])
        columns = run._provenance_columns(arrays.load(digits), torch.device("cpu"), outcome, {})
        return json.loads(columns["machine"])

    assert (
        machine("an abacus", "a slide rule", "here")["earlier parts"] == "an abacus; a slide rule"
    )
    assert "earlier parts" not in machine("here")


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_that_torch_cannot_use_is_told_of(monkeypatch, caplog, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(provenance, "has_gpu", lambda: there)
    with run._device() as (device, card):
        assert (device.type, card) == ("cpu", None)
    assert ("there is a GPU, but this torch cannot use it" in caplog.text) == there


def test_every_run_computes_on_the_card_that_it_claimed(tmp_path, monkeypatch):
    set_to = []
    cards = [SimpleNamespace(uuid="GPU-a"), SimpleNamespace(uuid="GPU-b")]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    monkeypatch.setattr(torch.cuda, "set_device", set_to.append)
    with run._device() as (one, first), run._device() as (other, second):
        assert {one.index, other.index} == {0, 1}
        assert [first.index, second.index] == set_to == [one.index, other.index]
        assert not first.shared


def test_the_row_of_a_run_tells_its_code_from_other_code(tmp_path, digits):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1\n")
    two.write_text("2\n")

    def told(*code: Path) -> str:
        return train(tmp_path / "run", VIT, digits, epochs=1, code=code).facts["code"]

    digest = told(one, two)
    assert re.fullmatch("[0-9a-f]{12}", digest)
    assert told(two, one) == digest
    assert told(one) != digest
    two.write_text("3\n")
    assert told(one, two) != digest


def test_equal_code_is_the_same_wherever_a_copy_of_it_lies(tmp_path, digits):
    """Some clusters copy the inputs of a job into a folder of their own."""
    files = [tmp_path / copy / "src/trainstudy/step.py" for copy in ("a", "b/storage")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("1\n")
    one, other = (
        run._identity(VIT, 42, False, arrays.load(digits), None, [file]) for file in files
    )
    assert one == other
    assert "code src/trainstudy/step.py" in one


def test_the_code_of_a_run_is_that_with_which_it_began(tmp_path, digits, monkeypatch):
    code, fit = tmp_path / "code.py", trainer.fit
    code.write_text("1\n")
    usual = train(tmp_path / "run", VIT, digits, epochs=1, code=[code]).facts

    def edited(*arguments):
        code.write_text("2\n")
        monkeypatch.setattr(provenance, "versions", lambda: {"torch": "renewed"})
        return fit(*arguments)

    monkeypatch.setattr(trainer, "fit", edited)
    facts = train(tmp_path / "run", VIT, digits, epochs=1, code=[code]).facts
    assert (facts["code"], facts["versions"]) == (usual["code"], usual["versions"])


def test_a_run_with_other_settings_or_code_starts_anew(tmp_path, digits, caplog):
    code = tmp_path / "code.py"
    code.write_text("one = 1\n")
    interrupted(tmp_path / "a", VIT, digits, after=4, code=[code])
    code.write_text("two = 2\n")
    files = train(tmp_path / "a", VIT, digits, code=[code], lr=0.02)
    assert files.facts["resumes"] == 0
    assert f"these differ: code {code}, settings.optimizer.lr" in caplog.text


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_run_is_not_continued_with_other_data(tmp_path, digits, caplog, ending):
    prepared = tmp_path / "digits.safetensors"
    dataset = arrays.load(digits)
    changes = {"mean": [0.25]} if ending == ".json" else {}
    arrays.save(dataset.arrays, dataset.manifest, prepared, prepared.with_suffix(".json"))
    interrupted(tmp_path / "a", VIT, prepared, after=4)
    content = dict(dataset.arrays)
    if ending == ".safetensors":
        content["train.images"] = content["train.images"] + np.uint8(1)
    arrays.save(content, dataset.manifest | changes, prepared, prepared.with_suffix(".json"))
    assert train(tmp_path / "a", VIT, prepared).facts["resumes"] == 0
    assert "these differ: data" in caplog.text


def test_a_compiled_run_is_not_continued_uncompiled_nor_by_another_compiler(
    tmp_path, digits, monkeypatch, caplog
):
    monkeypatch.setattr(compilation, "compiled", lambda model: model)
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'g++ 14.2'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    compiled = {"compile": True, "deterministic": False}  # a GPU compiles in no other mode
    interrupted(tmp_path / "a", VIT, digits, after=4, **compiled)
    compiler.write_text("#!/bin/sh\necho 'g++ 15.1'\n")
    interrupted(tmp_path / "a", VIT, digits, after=4, **compiled)
    assert "these differ: compiler" in caplog.text
    caplog.clear()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "/nowhere")
    assert train(tmp_path / "a", VIT, digits, **compiled).facts["resumes"] == 0
    assert "these differ: compiler" in caplog.text


@pytest.mark.parametrize(
    ("settings", "card", "kind", "named"),
    [
        (VIT | {"compile": True}, False, "images", "g++ 14.2"), (VIT, True, "images", None),
        (LSTM, True, "text", "gcc 14.2"), (LSTM, False, "text", None),
    ],
)  # fmt: skip
def test_the_compiler_is_part_of_what_decides_a_run_where_it_compiles(
    monkeypatch, digits, settings, card, kind, named
):
    """On a GPU that is a language model's loss, too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(compilation, "compiler", lambda: "g++ 14.2")
    monkeypatch.setattr(compilation, "c_compiler", lambda: "gcc 14.2")
    dataset = arrays.load(digits)
    dataset.manifest["kind"] = kind
    identity = run._identity(settings, 42, False, dataset, None, ())
    assert identity["compiler"] == named
    if kind == "text":  # whose loss that mode does not compile
        assert run._identity(settings, 42, True, dataset, None, ())["compiler"] is None


def test_no_compiler_is_asked_for_where_nothing_is_compiled(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(compilation, "compiler", lambda: pytest.fail("asked"))
    assert train(tmp_path, VIT, digits, epochs=1).facts["status"] == "finished"


def test_a_run_on_a_cpu_is_not_continued_on_a_gpu(tmp_path, digits, monkeypatch, caplog):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU, where the run begins on the CPU")
    interrupted(tmp_path / "a", VIT, digits, after=4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    identity = run._identity(VIT, 42, False, arrays.load(digits), None, ())
    with Checkpoints(tmp_path / "a/checkpoints", identity, 600) as checkpoints:
        assert checkpoints.load() is None
    assert "these differ: device" in caplog.text


def test_a_run_in_bf16_is_not_continued_where_auto_takes_fp32(
    tmp_path, digits, monkeypatch, caplog
):
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda: True)
    interrupted(tmp_path / "a", VIT, digits, after=4, precision="auto")
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda: False)
    assert train(tmp_path / "a", VIT, digits, precision="auto").facts["resumes"] == 0
    assert "these differ: settings.precision" in caplog.text


# Divergence


def test_a_run_that_diverges_is_a_result_too(tmp_path, digits):
    files = train(tmp_path, VIT, digits, name="sgd", lr=1e30)
    facts = files.facts
    assert facts["status"] == "diverged"
    assert facts["diverged_step"] == 2  # the first step's loss is that of fresh weights
    assert facts["best_epoch"] is None
    assert facts["epochs_trained"] == 0
    assert facts["train_loss_last"] is None
    assert facts["seconds_training"] is None
    assert facts["throughput"] is None
    assert facts["seconds_total"] > 0
    assert pq.read_schema(files.metrics_file).equals(records.METRICS)
    assert len(files.metrics) == 0
    assert files.described["epoch"] is None
    assert (
        load_file(files.weights_file).keys()
        == models.build("vit", VIT["model"], json.loads(digits.with_suffix(".json").read_text()))
        .state_dict()
        .keys()
    )


def test_a_run_that_diverges_late_keeps_the_weights_of_its_best_epoch(tmp_path, digits):
    good = train(tmp_path / "good", VIT, digits, epochs=1)
    files = train(tmp_path / "late", VIT, digits, schedule=jump(1e30))
    facts = files.facts
    assert facts["status"] == "diverged"
    assert facts["diverged_step"] > 3  # an epoch has three steps
    assert facts["epochs_trained"] == 1
    assert facts["best_epoch"] == 1
    assert files.described["epoch"] == 1
    assert_equal_weights(files, good)
    assert set(files.metrics.epoch) == {1}
    assert facts["validation_loss_last"] == good.facts["validation_loss_last"]


def test_every_seed_begins_with_weights_of_its_own():
    one, again, other = (
        run._model(tiny.settings("vit"), seed, tiny.images(), None).embed.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_run_computes_with_as_many_threads_as_it_records(tmp_path, digits, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    files = train(tmp_path, VIT, digits, epochs=1)
    assert asked == [files.facts["threads"]]


def test_order_augmentation_and_dropout_are_of_the_seed_of_the_run(tmp_path, digits, monkeypatch):
    seen, fit = [], trainer.fit

    def noted(task, *others):
        seen.append(task.seed)
        return fit(task, *others)

    monkeypatch.setattr(trainer, "fit", noted)
    train(tmp_path, VIT, digits, seed=7, epochs=1)
    assert seen == [7]
