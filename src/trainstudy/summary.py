"""The first sentences of the page, written from the results: what came out, in short."""

from collections.abc import Iterable

import pandas as pd
from markupsafe import Markup

from trainstudy.results import PUBLISHED_DATASET, REPORTS, Results

FAMILIES = {"lstm": "Language models", "vit": "Vision transformers", "cnn": "CNNs"}
SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}
LOWER_IS_BETTER = {"perplexity"}


def sentences(results: Results, planned: int) -> list[Markup]:
    """Return one paragraph about how much ran, then one for each family of models.

    `planned` is the number of runs that the configuration declares, selected or not.
    """
    runs = results.runs
    families = [family for family in FAMILIES if (runs.family == family).any()]
    return [_counts(runs, planned), *(_family(results, family) for family in families)]


def _counts(runs: pd.DataFrame, planned: int) -> Markup:
    seeds = sorted(runs.seed.unique())
    text = Markup("<strong>{} of {} planned runs</strong> are here: {}, {}.").format(
        len(runs), planned, _count(runs.experiment.nunique(), "experiment"),
        f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds",
    )  # fmt: skip
    diverged = runs[runs.status == "diverged"]
    if len(diverged):
        text += Markup(" Diverged: {}.").format(_names(diverged.experiment.unique()))
    return text


def _family(results: Results, family: str) -> Markup:
    runs = results.runs[(results.runs.family == family) & (results.runs.status == "finished")]
    if runs.empty:
        return Markup("<strong>{}.</strong> No run finished.").format(FAMILIES[family])
    parts = [_best(runs, SCORE[family]), _fastest(runs), _published(results, family)]
    return Markup("<strong>{}.</strong> {}").format(FAMILIES[family], Markup(" ").join(parts))


def _best(runs: pd.DataFrame, score: str) -> Markup:
    """Say which experiment does best on validation data, at its best epoch, and how on test data.

    The validation data choose, so that the test score beside them is not a chosen one.
    """
    means = _means(runs, f"validation_{score}_best").dropna().sort_values()
    if means.empty:
        return Markup("No run has a validation {}.").format(score)
    name = means.index[0 if score in LOWER_IS_BETTER else -1]
    test = _means(runs, f"test_{score}_best")[name]
    seeds = (runs.experiment == name).sum()
    return Markup("{} generalises best: validation {} {}{}, test {}{}.").format(
        _name(name),
        score,
        written(means[name], score),
        f" at epoch {runs[runs.experiment == name].best_epoch.iloc[0]:.0f}" if seeds == 1 else "",
        written(test, score),
        f" (means of {seeds} seeds, best epoch of each)" if seeds > 1 else "",
    )


def _fastest(runs: pd.DataFrame) -> Markup:
    """Say which experiment trains fastest and which slowest, by seconds per training epoch."""
    seconds = _means(runs, "seconds_training").dropna().sort_values()
    if seconds.empty:
        return Markup("No run was timed.")
    if len(seconds) == 1:
        return Markup("An epoch of training takes {}.").format(written(seconds.iloc[0], "seconds"))
    return Markup("{} trains fastest, {} per epoch; {} is slowest, {}.").format(
        _name(seconds.index[0]), written(seconds.iloc[0], "seconds"),
        _name(seconds.index[-1]), written(seconds.iloc[-1], "seconds"),
    )  # fmt: skip


def _published(results: Results, family: str) -> Markup:
    """Say how far the reports' validation scores are from those measured with their estimator."""
    runs, score = results.runs[results.runs.family == family], SCORE[family]
    theirs = PUBLISHED_DATASET[family]
    if theirs not in set(runs.dataset):
        own = ", ".join(sorted(runs.dataset.unique()))
        return Markup("Trained on {}, not on the reports' {}, so no published figure compares.").format(
            own, theirs
        )  # fmt: skip
    pairs = beside_published(results, family)
    if pairs.empty:
        return Markup("Neither report gives a validation {} for these runs.").format(score)
    far = pairs.away.idxmax()
    row = pairs.loc[far]
    reports = [f"{name} {written(row[name], score)}" for name in REPORTS if pd.notna(row[name])]
    unit = "percentage points" if score == "accuracy" else "%"
    return Markup(
        "Measured and published validation {} are {:.1f} {} apart on average (the nearer report, {}); "
        "they part most for {}: {} measured, {}."
    ).format(
        score, 100 * pairs.away.mean(), unit, _count(len(pairs), "experiment"), _name(far),
        written(row.measured, score), ", ".join(reports),
    )  # fmt: skip


def beside_published(results: Results, family: str) -> pd.DataFrame:
    """Return validation scores by experiment: measured, those of A and B, and how far apart.

    Only experiments that a report names and that were trained on the report's data. CNNs count at
    their best epoch and by the textbook estimator, the others at the last epoch and by the reports'
    estimator, which is how each was published. `away` is the distance to the nearer report: a
    difference of accuracies, and a fraction of the published perplexity.
    """
    score, runs = SCORE[family], results.runs
    runs = runs[(runs.family == family) & (runs.dataset == PUBLISHED_DATASET[family])]
    if family == "cnn":
        measured = _means(runs, f"validation_{score}_best")
    else:
        rows = results.metrics[results.metrics.experiment.isin(runs.experiment)]
        rows = rows[(rows.split == "validation") & (rows.metric == f"{score}_published")]
        last = rows.sort_values("epoch").groupby(["experiment", "seed"]).value.last()
        measured = last.groupby("experiment").mean()
    table = pd.DataFrame({"measured": measured})
    rows = results.published[
        (results.published.metric == score) & (results.published.split == "validation")
    ]
    for report in REPORTS:
        table[report] = rows[rows.report == report].groupby("experiment").value.first()
    table = table.dropna(subset="measured").dropna(subset=list(REPORTS), how="all")
    away = table[list(REPORTS)].sub(table.measured, axis=0).abs()
    if score != "accuracy":
        away = away / table[list(REPORTS)]
    return table.assign(away=away.min(axis=1))


def written(value: float, score: str) -> str:
    """Return a number as a reader expects it: accuracies in per cent, seconds with their unit."""
    if score == "accuracy":
        return f"{100 * value:.2f} %"
    if score == "seconds":
        return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _means(runs: pd.DataFrame, column: str) -> pd.Series:
    return runs.groupby("experiment")[column].mean()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _name(experiment: str) -> Markup:
    return Markup("<code>{}</code>").format(experiment)


def _names(experiments: Iterable[str]) -> Markup:
    return Markup(", ").join(_name(name) for name in sorted(experiments))
