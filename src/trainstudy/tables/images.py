"""CNNs against vision transformers, and the parameters of attention."""

import pandas as pd

from trainstudy import estimates
from trainstudy.places import places
from trainstudy.quantities import counted, written
from trainstudy.results import Results, finished, of_images, on_main_dataset
from trainstudy.tables import columns


def cnn_against_vit(results: Results) -> pd.DataFrame:
    """Return accuracy and size of image models, best validation accuracy first.

    Of those on the data set of most experiments. At equal epochs, at equal seconds and at the
    budget of the run. Equal is what the shortest run that did not diverge had.
    """
    images = on_main_dataset(of_images(results.runs)).experiment
    runs = finished(results.side_by_side(images, "seconds_total"))
    table = columns.heads(runs)
    for split in ("validation", "test"):
        values = columns.by_experiment(runs, f"{split}_accuracy_best")
        columns.add(table, f"{split} accuracy, best epoch", values)
    table["parameters"] = runs.groupby("experiment").parameters_trained.first()
    _add_at_equal_cost(table, results, runs[runs.status != "diverged"])
    for split in ("validation", "test"):
        columns.add_reports(table, results, "accuracy", split)
    columns.add_reports(table, results, "parameters", "")
    columns.add(table, "best epoch", columns.by_experiment(runs, "best_epoch"))
    timed = results.compared(images, "seconds_total")
    columns.add(table, "total s", columns.by_experiment(timed, "seconds_total"))
    if results.several_places:
        table["seconds of"] = columns.joined(timed, places(timed))
    columns.add_notes(table, results)
    order = "validation accuracy, best epoch"
    return table.sort_values(order, ascending=False, kind="stable").reset_index()


def attention_parameters(results: Results) -> pd.DataFrame:
    """Return the parameters of multi-head attention: by the formula and in the module."""
    table = results.attention.rename(
        columns={"head_size": "size of a head", "formula": "4·(d² + d)", "width": "width d"}
    )
    agrees = results.attention.formula == results.attention.module
    return table.assign(agrees=agrees.map({True: "yes", False: "no"}))


def _add_at_equal_cost(table: pd.DataFrame, results: Results, runs: pd.DataFrame) -> None:
    """Add the validation accuracy after some epochs and, off the curve, after some seconds."""
    if runs.empty:
        return
    curves = results.validation_curves.query("metric == 'accuracy'")
    epochs = int(estimates.last_epoch(runs).min())
    keys = ["experiment", "seed"]
    reached = curves[curves.epoch == epochs].merge(runs[keys], on=keys)
    heading = f"validation accuracy after {counted(epochs, 'epoch')}"
    columns.add(table, heading, reached.set_index("experiment").value)
    # The seconds of another machine are others.
    own = results.at_main_place(runs.dropna(subset="seconds_total"))[keys]
    timed = curves.merge(own, on=keys)
    if timed.empty:
        return
    seconds = timed.groupby(keys).seconds.max().min()  # where the first curve ends
    curves_of_runs = timed.groupby(keys)[["seconds", "value"]]
    read_off = curves_of_runs.apply(estimates.at_seconds, seconds).reset_index("seed", drop=True)
    read_off = estimates.all_or_none(read_off, read_off.index)
    columns.add(table, f"validation accuracy after {written(seconds, 'seconds')}", read_off)
