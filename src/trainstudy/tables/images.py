"""CNNs against vision transformers, and the parameters of attention."""

import pandas as pd

from trainstudy import estimates
from trainstudy.results import Results
from trainstudy.tables import columns


def cnn_against_vit(results: Results) -> pd.DataFrame:
    """Return accuracy and size of all image models, best validation accuracy first.

    At equal epochs, at equal seconds and at the budget of the run. Equal is what the shortest run
    that did not diverge had.
    """
    runs = results.runs[results.runs.family.isin(["cnn", "vit"])]
    table = columns.heads(runs, family="family")
    table["parameters"] = runs.groupby("experiment").parameters_trained.first()
    finished = runs[runs.status != "diverged"]
    if len(finished):
        epochs, seconds = estimates.last_epoch(finished).min(), finished.seconds_total.min()
        _add_at_equal_cost(table, results, int(epochs), seconds)
    columns.add(table, "best epoch", columns.by_experiment(runs, "best_epoch"))
    for split in ("validation", "test"):
        values = columns.by_experiment(runs, f"{split}_accuracy_best")
        columns.add(table, f"{split} accuracy, best epoch", values)
    for split in ("validation", "test"):
        columns.add_reports(table, results, "accuracy", split)
    columns.add(table, "total s", columns.by_experiment(runs, "seconds_total"))
    order = "validation accuracy, best epoch"
    return table.sort_values(order, ascending=False, kind="stable").reset_index()


def attention_parameters(results: Results) -> pd.DataFrame:
    """Return the parameters of multi-head attention: by the formula and in the module."""
    table = results.attention.rename(
        columns={"head_size": "size of a head", "formula": "4·(d² + d)", "width": "width d"}
    )
    agrees = results.attention.formula == results.attention.module
    return table.assign(agrees=agrees.map({True: "yes", False: "no"}))


def _add_at_equal_cost(table: pd.DataFrame, results: Results, epochs: int, seconds: float) -> None:
    """Add the validation accuracy after some epochs and, off the curve, after some seconds."""
    rows = results.metrics.query("split == 'validation' and metric == 'accuracy'")
    rows = rows[rows.experiment.isin(table.index)]
    reached = rows[rows.epoch == epochs].set_index("experiment").value
    columns.add(table, f"validation accuracy after {epochs} epochs", reached)
    curves = rows.sort_values("epoch").groupby(["experiment", "seed"])
    values = {key: estimates.at_seconds(curve, seconds) for key, curve in curves}
    index = pd.MultiIndex.from_tuples(values, names=["experiment", "seed"])
    read_off = pd.Series(values.values(), index=index, dtype=float).droplevel("seed")
    columns.add(table, f"validation accuracy after {seconds:.3g} s", read_off)
