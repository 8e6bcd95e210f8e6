"""What the study found: the input of every table, figure and claim."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from trainstudy import data, estimates, records
from trainstudy.files import DataError
from trainstudy.places import places, usual_places

FAMILIES = {"lstm": "Language models", "vit": "Vision transformers", "cnn": "CNNs"}  # in order
SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}  # that stands for learning
PUBLISHED_DATASET = {"lstm": "wikitext2", "vit": "cifar10", "cnn": "cifar10"}
REPORTS = ("A", "B")
SCORES = ("accuracy", "perplexity")
LOWER_IS_BETTER = {"perplexity"}
BUDGETS = (60, 300, 600)  # seconds of training and evaluation at which runs are compared
# What depends on the machine, and says little where several runs shared a GPU.
TIMES = [
    "seconds_total", "seconds_compiling", "seconds_waiting", "seconds_training",
    "seconds_evaluating", "throughput", "memory_resident",
]  # fmt: skip
GPU_MEMORY = ["memory_allocated", "memory_reserved", "memory_process", "memory_device"]


def after(metric: str, seconds: int) -> str:
    """Return the name of a validation score after some seconds, as a column of the facts."""
    return f"validation_{metric}_after_{seconds}_s"


AFTER = [after(metric, seconds) for metric in SCORES for seconds in BUDGETS]
COSTS = (TIMES, GPU_MEMORY, AFTER)


def is_cost(column: str) -> bool:
    """Say whether a column of the facts depends on the machine."""
    return any(column in kind for kind in COSTS)


@dataclass(frozen=True)
class Results:
    """Everything that tables, figures and claims are made from.

    `runs` and `metrics` as in the Parquet files, `published` the figures of the reports,
    `predicted` memory and `attention` parameters (see sizes.py), `claims` the statements of the
    reports (see claims.py).
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    published: pd.DataFrame
    predicted: pd.DataFrame
    attention: pd.DataFrame
    claims: Mapping[str, dict]

    @cached_property
    def over_fitting(self) -> pd.DataFrame:
        """How the losses of every run parted; see estimates.over_fitting."""
        return estimates.over_fitting(self.metrics)

    @cached_property
    def undisturbed(self) -> pd.DataFrame:
        """The runs, without times and memory (see COSTS) where these would not be comparable.

        Comparable are those of one place for each experiment, where most of its runs were made.
        """
        return self.facts[self.runs.columns]

    @cached_property
    def facts(self) -> pd.DataFrame:
        """The undisturbed runs, with what over-fitting, prediction and equal times add.

        rise, gap_last and others, memory_predicted, validation_accuracy_after_60_s and others.
        GPU memory is of a place with GPUs, and scores after a time are of one where runs last long
        enough for one of them; these need not be the place of the times.
        """
        return _at_usual_places(self._everything)

    def side_by_side(self, experiments: Collection[str], cost: str) -> pd.DataFrame:
        """Return the facts of some experiments, with costs of one place as far as there is one.

        It is that where most of them have a `cost`, if they are of several families one with as
        many of these as can be; what has none there keeps its own place.
        """
        facts = self._everything[self._everything.experiment.isin(experiments)]
        main = self._main_place(finished(facts.dropna(subset=cost)))
        return _at_usual_places(facts, main, cost)

    def compared(self, experiments: Collection[str], column: str) -> pd.DataFrame:
        """Return the facts of some experiments' runs that count and have a quantity.

        A cost is of the one machine where most of them have it; see side_by_side and finished.
        """
        facts = finished(self.side_by_side(experiments, column)).dropna(subset=column)
        return self.at_main_place(facts) if is_cost(column) else facts

    def at_main_place(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return those of some runs that were made where most of their experiments were.

        Places with fewer of their families come last. Of equal places it is that of most of these
        runs, then of most experiments of the study.
        """
        return runs[places(runs) == self._main_place(runs)]

    def _main_place(self, runs: pd.DataFrame) -> str | None:
        """Return where most of some runs' experiments were made, of places with most families."""
        made = places(runs)
        families = runs.groupby(made).family.transform("nunique")
        most = families == families.max()
        return _commonest(runs[most], made[most], self._experiments_at)

    @cached_property
    def _experiments_at(self) -> dict[str, int]:
        """How many experiments of the study were run at each place."""
        return self.runs.groupby(places(self.runs)).experiment.nunique().to_dict()

    @cached_property
    def _everything(self) -> pd.DataFrame:
        """The facts, with the costs of every run that had its GPU for itself."""
        keys = ["experiment", "seed"]
        added = self.over_fitting.drop(columns="verdict")
        facts = self.runs.merge(added, on=keys, how="left")
        sizes = self.predicted.set_index("experiment").total
        facts["memory_predicted"] = facts.experiment.map(sizes)
        facts = facts.merge(self._after_seconds, on=keys, how="left")
        facts = facts.merge(self._last_as_published, on=keys, how="left")
        for kind in COSTS:
            facts[kind] = facts[kind].where(~facts.gpu_shared.eq(True))
        # Of all seeds of an experiment, or none: who was quicker had ended by then, or was ahead.
        done = finished(facts[~facts.gpu_shared.eq(True)])
        together = done.experiment + " on " + places(done)
        for column in AFTER:
            facts.loc[done.index, column] = estimates.all_or_none(done[column], together)
        return facts

    def curves(self, experiments: Collection[str]) -> pd.DataFrame:
        """Return the metrics of some experiments, with seconds of one place if there is one.

        See side_by_side; seconds that do not count are empty.
        """
        keys = ["experiment", "seed"]
        known = self.side_by_side(experiments, "seconds_total")
        apart = pd.MultiIndex.from_frame(known[known.seconds_total.isna()][keys])
        own = self.metrics[self.metrics.experiment.isin(experiments)]
        disturbed = pd.MultiIndex.from_frame(own[keys]).isin(apart)
        return own.assign(seconds=own.seconds.mask(disturbed))

    def timed(self, experiments: Collection[str]) -> pd.DataFrame:
        """Return those runs of some experiments whose seconds count where these are compared."""
        return self.side_by_side(experiments, "seconds_total").dropna(subset="seconds_total")

    def timed_at(self, experiments: Collection[str]) -> pd.Series:
        """Return the place of the seconds that count, by experiment; see timed."""
        runs = self.timed(experiments)
        return places(runs).groupby(runs.experiment).first()

    @cached_property
    def validation_curves(self) -> pd.DataFrame:
        """The validation scores of all runs, by epoch."""
        own = self.metrics[(self.metrics.split == "validation") & self.metrics.metric.isin(SCORES)]
        return own.sort_values("epoch")

    @cached_property
    def _after_seconds(self) -> pd.DataFrame:
        """Validation scores of every run, read off its curve at BUDGETS."""
        rows = []
        for key, run in self.validation_curves.groupby(["experiment", "seed"]):
            row = dict(zip(("experiment", "seed"), key, strict=True))
            for metric, curve in run.groupby("metric"):
                row |= {after(metric, s): estimates.at_seconds(curve, s) for s in BUDGETS}
            rows.append(row)
        return pd.DataFrame(rows, columns=["experiment", "seed", *AFTER])

    @cached_property
    def _last_as_published(self) -> pd.DataFrame:
        """Validation scores of every finished run's last epoch, by the reports' estimator."""
        scores = {
            f"validation_{metric}_published_last": self.scores("validation", f"{metric}_published")
            for metric in SCORES
        }
        return pd.DataFrame(scores).rename_axis(["experiment", "seed"]).reset_index()

    def largest_gradient_norm(self, experiments: Collection[str]) -> float:
        """Return the largest norm of the gradient in completed epochs; NaN where there is none."""
        rows = self.metrics[self.metrics.metric == "gradient_norm_largest"]
        return float(rows[rows.experiment.isin(experiments)].value.max())

    @cached_property
    def several_places(self) -> bool:
        """Whether the study was run on several machines or with several numbers of threads."""
        return places(self.runs).nunique() > 1

    @cached_property
    def comparable(self) -> set[str]:
        """The experiments that were run on the data set of the reports, original or mirrored."""
        same = self.runs.dataset == self.runs.family.map(PUBLISHED_DATASET)
        return set(self.runs.experiment[same])

    @cached_property
    def timed_by_reports(self) -> set[str]:
        """The comparable experiments of which a report gives the seconds of an epoch."""
        told = self.published.experiment[self.published.metric == "seconds_per_epoch"]
        return self.comparable & {*told}

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

    def scores_as_published(self, family: str) -> pd.Series:
        """Return the validation scores of comparable experiments as the reports have theirs.

        By experiment, a value for each run that counts. CNNs' are of their best epoch and by the
        textbook estimator, the others' of the last epoch and by the reports' estimator.
        """
        runs = finished(self.runs)
        own = runs[(runs.family == family) & runs.experiment.isin(self.comparable)]
        if family == "cnn":
            return own.set_index("experiment")[f"validation_{SCORE[family]}_best"]
        scores = self.scores("validation", f"{SCORE[family]}_published").droplevel("seed")
        return scores[scores.index.isin(own.experiment)]

    def scores(self, split: str, metric: str, epoch: str = "last") -> pd.Series:
        """Return a score by experiment and seed, of the last epoch or of the best ("best").

        Of the runs that count; see finished.
        """
        keys = ["experiment", "seed"]
        counts = finished(self.runs)[[*keys, "best_epoch"]]
        rows = self.metrics[(self.metrics.split == split) & (self.metrics.metric == metric)]
        rows = rows.merge(counts, on=keys)
        if epoch == "best":
            return rows[rows.epoch == rows.best_epoch].set_index(keys).value
        last = rows.sort_values("epoch").drop_duplicates(keys, keep="last")
        return last.set_index(keys).value.sort_index()


def learned_instead(runs: pd.DataFrame) -> pd.Series:
    """Say of which runs the embedding was learned, where the reports had GPT-1's, frozen."""
    return (runs.dataset == PUBLISHED_DATASET["lstm"]) & (runs["model.embedding"] == "learned")


def _at_usual_places(
    facts: pd.DataFrame, main: str | None = None, cost: str | None = None
) -> pd.DataFrame:
    """Return the facts with costs of one place for each experiment; see places.usual_places.

    It is one of those where runs have a `cost`, or any of a kind.
    """
    facts, made = facts.copy(), places(facts)
    for kind in COSTS:
        known = finished(facts.dropna(how="all", subset=[cost] if cost in kind else kind))
        there = made == facts.experiment.map(usual_places(known, main))
        facts[kind] = facts[kind].where(there)
    return facts


def _commonest(
    runs: pd.DataFrame, facts: pd.Series, elsewhere: dict[str, int] | None = None
) -> str | None:
    """Return the fact of most experiments, of equals that of most runs.

    Then it is that with the highest number in `elsewhere`, then the first by name.
    """
    counts = runs.groupby(facts).experiment.agg(["nunique", "size"])
    counts = counts.rename_axis("fact").reset_index()
    counts["elsewhere"] = counts.fact.map(elsewhere or {})
    order = ["nunique", "size", "elsewhere", "fact"]
    ranked = counts.sort_values(order, ascending=[False, False, False, True])
    return next(iter(ranked.fact), None)


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that finished; of an experiment of which none did all, as far as they came.

    Only these make means: what a run reached before it diverged is no result of as many epochs.
    """
    done = runs.status == "finished"
    return runs[done | ~done.groupby(runs.experiment).transform("any")]


def by_seed(runs: pd.DataFrame, column: str) -> pd.Series:
    """Return a column by experiment and seed, of several equal runs under one name their mean."""
    return runs.dropna(subset=column).groupby(["experiment", "seed"])[column].mean()


def diverged(runs: pd.DataFrame) -> list[str]:
    """Name the experiments of which no run finished, since all diverged."""
    counts = finished(runs)
    return sorted({*counts.experiment[counts.status == "diverged"]})


def some_of(holds: pd.Series, runs: pd.DataFrame, noun: str = "") -> dict[str, str]:
    """Return of which experiments something holds of a run, by name, and how many where not all."""
    counts = holds.groupby(runs.experiment).agg(["sum", "size"])
    return {
        name: "" if some == every else f" ({some} of {every}{noun})"
        for name, some, every in counts[counts["sum"] > 0].itertuples()
    }


def held_out(datasets: Collection[str], split: str) -> int | None:
    """Return how many images the smallest of some data sets has in a split; None for text."""
    known = [data.find(name) for name in datasets if name in data.names()]  # perhaps no longer
    sizes = [getattr(module, "HELD_OUT", {}).get(split) for module in known]
    return min(filter(None, sizes), default=None)


def of_images(runs: pd.DataFrame) -> pd.DataFrame:
    """Return those of some runs whose score is an accuracy."""
    return runs[runs.family.map(SCORE) == "accuracy"]


def on_main_dataset(runs: pd.DataFrame) -> pd.DataFrame:
    """Return those of some runs that learned from the data set of most experiments.

    Scores compare on one data set only. Of equals it is that of most runs, then the first by name.
    """
    return runs[runs.dataset == _commonest(runs, runs.dataset)]


def by_family(families: pd.Series) -> pd.Series:
    """Return the places of families in their order, as a key to sort by."""
    return families.map([*FAMILIES].index)


def read(
    files: Mapping[str, str],
    experiments: Collection[str],
    seeds: Collection[int],
    claims: Mapping[str, dict],
) -> Results:
    """Read what some experiments and seeds have in runs, metrics, predicted, attention, published.

    An earlier study, which is reported on without training, may hold more, and lack columns that a
    later release added: these are empty. Raises DataError where it has none of them, and for a file
    that is broken.
    """
    frames = {name: records.read(Path(files[name]), name).to_pandas() for name in records.SCHEMAS}
    attention = frames.pop("attention")
    known = ", ".join(sorted({*frames["runs"].experiment}))
    kept_seeds = ", ".join(map(str, sorted({*frames["runs"].seed})))
    frames = {name: frame[frame.experiment.isin(experiments)] for name, frame in frames.items()}
    for name in ("runs", "metrics"):
        frames[name] = frames[name][frames[name].seed.isin(seeds)]
    if frames["runs"].empty:
        raise DataError(
            f"the keys `select` and `seeds` name no run that is in {files['runs']}; name some of "
            f"those that are: experiments {known}; seeds {kept_seeds}"
        )
    return Results(
        **{name: frame.reset_index(drop=True) for name, frame in frames.items()},
        attention=attention,
        published=pd.read_csv(Path(files["published"])),
        claims=claims,
    )
