"""What the study found: the input of every table, figure and claim."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from trainstudy import estimates
from trainstudy.quantities import counted

FAMILIES = {"lstm": "Language models", "vit": "Vision transformers", "cnn": "CNNs"}  # in order
SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}  # that stands for learning
PUBLISHED_DATASET = {"lstm": "wikitext2", "vit": "cifar10", "cnn": "cifar10"}
REPORTS = ("A", "B")
SCORES = ("accuracy", "perplexity")
BUDGETS = (60, 300, 600)  # seconds of training and evaluation at which runs are compared
# Columns of runs.parquet that say little where several runs shared a GPU.
COSTS = [
    "seconds_total", "seconds_compiling", "seconds_training", "seconds_evaluating", "throughput",
    "memory_resident", "memory_allocated", "memory_reserved", "memory_process", "memory_device",
]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """Everything that tables, figures and claims are made from.

    `runs` and `metrics` as in the Parquet files, `published` the figures of the reports,
    `predicted` memory and `attention` parameters (see sizes.py), `groups` {experiment: group},
    `claims` the statements of the reports (see claims.py).
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    published: pd.DataFrame
    predicted: pd.DataFrame = field(default_factory=pd.DataFrame)
    attention: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, dict] = field(default_factory=dict)

    @cached_property
    def over_fitting(self) -> pd.DataFrame:
        """How the losses of every run parted; see estimates.over_fitting."""
        return estimates.over_fitting(self.metrics)

    @cached_property
    def undisturbed(self) -> pd.DataFrame:
        """The runs, without times and memory (see COSTS) where others shared their GPU."""
        runs = self.runs.copy()
        costs = [name for name in COSTS if name in runs]
        runs[costs] = runs[costs].where(~runs.gpu_shared.eq(True))
        return runs

    @cached_property
    def facts(self) -> pd.DataFrame:
        """The undisturbed runs, with what over-fitting, prediction and equal times add.

        rise, gap_last and others, memory_predicted, validation_accuracy_after_60_s and others.
        """
        added = self.over_fitting.drop(columns="verdict")
        facts = self.undisturbed.merge(added, on=["experiment", "seed"], how="left")
        predicted = self.predicted.set_index("experiment").total if len(self.predicted) else {}
        facts["memory_predicted"] = facts.experiment.map(predicted)
        return facts.merge(self._after_seconds, on=["experiment", "seed"], how="left")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The metrics, without seconds where other runs shared the GPU."""
        keys = ["experiment", "seed"]
        shared = pd.MultiIndex.from_frame(self.runs[self.runs.gpu_shared.eq(True)][keys])
        disturbed = pd.MultiIndex.from_frame(self.metrics[keys]).isin(shared)
        return self.metrics.assign(seconds=self.metrics.seconds.mask(disturbed))

    @cached_property
    def timed_curves(self) -> pd.DataFrame:
        """Validation scores by epoch, of the runs whose seconds are undisturbed."""
        own = self.curves[(self.curves.split == "validation") & self.curves.metric.isin(SCORES)]
        return own.dropna(subset="seconds").sort_values("epoch")

    @cached_property
    def _after_seconds(self) -> pd.DataFrame:
        """Validation scores of every run, read off its curve at BUDGETS."""
        rows = []
        for key, run in self.timed_curves.groupby(["experiment", "seed"]):
            row = dict(zip(("experiment", "seed"), key, strict=True))
            for metric, curve in run.groupby("metric"):
                row |= {after(metric, s): estimates.at_seconds(curve, s) for s in BUDGETS}
            rows.append(row)
        columns = [after(metric, seconds) for metric in SCORES for seconds in BUDGETS]
        return pd.DataFrame(rows, columns=["experiment", "seed", *columns])

    @cached_property
    def largest_gradient_norms(self) -> dict[str, float]:
        """The largest norm of the gradient in any step, by experiment, where it was recorded."""
        rows = self.metrics[self.metrics.metric == "gradient_norm_largest"]
        return rows.groupby("experiment").value.max().to_dict()

    @cached_property
    def comparable(self) -> set[str]:
        """The experiments that were run on the data set of the reports, original or mirrored."""
        same = self.runs.dataset == self.runs.family.map(PUBLISHED_DATASET)
        return set(self.runs.experiment[same])

    @cached_property
    def data(self) -> dict[str, str]:
        """The data set of every experiment, with how it departs from that of the reports."""
        runs = self.runs
        mirrored = (runs.data_origin == "mirrored").map({True: " (mirrored)", False: ""})
        learned = learned_instead(runs).map({True: ", learned embedding", False: ""})
        return dict(zip(runs.experiment, runs.dataset + mirrored + learned, strict=True))

    def published_values(self, report: str, metric: str, split: str) -> pd.Series:
        """Return what a report says of the comparable experiments, by experiment."""
        told = self.published.fillna({"split": ""})  # the number of parameters is of no split
        rows = told.query("report == @report and metric == @metric and split == @split")
        rows = rows[rows.experiment.isin(self.comparable)]
        return rows.groupby("experiment").value.first()

    def scores(self, split: str, metric: str, epoch: str = "last") -> pd.Series:
        """Return a score by experiment and seed, of the last epoch or of the best ("best")."""
        rows = self.metrics[(self.metrics.split == split) & (self.metrics.metric == metric)]
        keys = ["experiment", "seed"]
        if epoch == "best":
            chosen = self.runs[[*keys, "best_epoch"]].rename(columns={"best_epoch": "epoch"})
            return rows.merge(chosen, on=[*keys, "epoch"]).set_index(keys).value
        return rows.sort_values("epoch").groupby(keys).value.last()


def learned_instead(runs: pd.DataFrame) -> pd.Series:
    """Say of which runs the embedding was learned, where the reports had GPT-1's, frozen."""
    return (runs.dataset == PUBLISHED_DATASET["lstm"]) & (runs["model.embedding"] == "learned")


def machines(runs: pd.DataFrame) -> pd.Series:
    """Return on what every run was computed: the GPU, or else processor and its cores.

    A run that went on elsewhere names its earlier places, too.
    """
    return pd.Series([*map(_machine, runs.device, runs.machine)], index=runs.index, dtype=object)


def places(runs: pd.DataFrame) -> pd.Series:
    """Return machine and, without a GPU, threads of every run: times compare only where equal."""
    threads = [counted(count, "thread") for count in runs.threads]
    pairs = zip(machines(runs), runs.device, threads, strict=True)
    named = [name if device != "CPU" else f"{name}, {count}" for name, device, count in pairs]
    return pd.Series(named, index=runs.index, dtype=object)


def at_main_place(runs: pd.DataFrame) -> pd.DataFrame:
    """Return those of some runs made where most experiments were; of equals the first by name."""
    made = places(runs)
    experiments = runs.groupby(made).experiment.nunique()
    return runs[made == experiments.idxmax()]


def _machine(device: str, machine: str) -> str:
    facts = json.loads(machine)
    own = f"{facts['processor']}, {counted(int(facts['cores']), 'core')}"
    name = own if device == "CPU" else device
    return f"{name} (earlier: {facts['earlier parts']})" if "earlier parts" in facts else name


def by_family(families: pd.Series) -> pd.Series:
    """Return the places of families in their order, as a key to sort by."""
    return families.map([*FAMILIES].index)


def after(metric: str, seconds: int) -> str:
    """Return the name of a validation score after some seconds, as a column of the facts."""
    return f"validation_{metric}_after_{seconds}_s"


def read(
    files: Mapping[str, str], groups: Mapping[str, str], claims: Mapping[str, dict]
) -> Results:
    """Read the results from their files: runs, metrics, predicted, attention, published."""
    parquet = ("runs", "metrics", "predicted", "attention")
    frames = {name: pd.read_parquet(Path(files[name])) for name in parquet}
    published = pd.read_csv(Path(files["published"]))
    return Results(**frames, published=published, groups=groups, claims=claims)
