"""The first sentences of the page, written from the results: what came out, in short."""

from collections.abc import Iterable

import pandas as pd
from markupsafe import Markup

from trainstudy import claims
from trainstudy.results import PUBLISHED_DATASET, REPORTS, Results

FAMILIES = {"lstm": "Language models", "vit": "Vision transformers", "cnn": "CNNs"}
SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}
VERDICTS = (claims.SUPPORTED, claims.CONTRADICTED, claims.UNDECIDED)
LOWER_IS_BETTER = {"perplexity"}


def sentences(results: Results, planned: int) -> list[Markup]:
    """Return paragraphs: how much ran, each family of models, the claims of the reports.

    `planned` is the number of runs that the configuration declares, selected or not.
    """
    runs = results.runs
    families = [family for family in FAMILIES if (runs.family == family).any()]
    paragraphs = [_counts(runs, planned), *(_family(results, family) for family in families)]
    return [*paragraphs, _claims(results)] if results.claims else paragraphs


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


def _claims(results: Results) -> Markup:
    verdicts = claims.table(results).verdict
    return Markup(
        "<strong>Statements of the reports.</strong> Of {} {} supported, {} contradicted, and {} "
        "undecided, because runs are missing, too few, or on other data than the reports'."
    ).format(_count(len(verdicts), "statement"), *(_are(verdicts == each) for each in VERDICTS))


def _are(which: pd.Series) -> str:
    return f"{which.sum()} is" if which.sum() == 1 else f"{which.sum()} are"


def _published(results: Results, family: str) -> Markup:
    """Say how far the reports' validation scores are from those measured with their estimator."""
    runs, score = results.runs[results.runs.family == family], SCORE[family]
    theirs = PUBLISHED_DATASET[family]
    if theirs not in set(runs.dataset):
        own = ", ".join(sorted(runs.dataset.unique()))
        text = Markup("Trained on {}, not on the reports' {}, so no published figure compares.")
        return text.format(own, theirs)
    pairs = beside_published(results, family)
    if pairs.empty:
        return Markup("Neither report gives a validation {} for these runs.").format(score)
    far = pairs.away.idxmax()
    row = pairs.loc[far]
    reports = [f"{name} {written(row[name], score)}" for name in REPORTS if pd.notna(row[name])]
    unit = "percentage points" if score == "accuracy" else "%"
    return Markup(
        "Measured and published validation {} are {:.1f} {} apart on average (the nearer report, "
        "{}); they part most for {}: {} measured, {}."
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
    own = runs[(runs.family == family) & runs.experiment.isin(results.comparable)]
    if family == "cnn":
        measured = _means(own, f"validation_{score}_best")
    else:
        scores = results.scores("validation", f"{score}_published").groupby("experiment").mean()
        measured = scores[scores.index.isin(own.experiment)]
    table = pd.DataFrame({"measured": measured})
    for report in REPORTS:
        table[report] = results.published_values(report, score, "validation")
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
