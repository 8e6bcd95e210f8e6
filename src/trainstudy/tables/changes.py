"""What single changes brought, and how pre- and post-norm bear learning rates and depth."""

from typing import Any

import pandas as pd

from trainstudy import comparisons, estimates
from trainstudy.places import of_several_codes, places
from trainstudy.results import SCORES, Results, by_seed, diverged, finished, some_of


def single_changes(results: Results) -> pd.DataFrame:
    """Return a row for every two experiments that differ in one setting, with what that brought.

    Scores are those of the best epoch. Differences are with the change minus without it, and have
    an interval (Welch's) where both have several seeds that did not diverge; seconds only where
    both share a place, and neither diverged with every seed. Perplexity is set against seconds
    where it fell, and these are more than equal runs may differ by.
    """
    rows = []
    for change in comparisons.changes(finished(results.runs)):
        row: dict[str, Any] = {
            "change": f"{change.setting}: {change.values[0]} → {change.values[1]}",
            "without": change.plain,
            "with": change.changed,
        }
        names = [change.changed, change.plain]
        every = results.side_by_side(names, "seconds_total")
        runs = finished(every)
        pair = [runs[runs.experiment == name] for name in names]
        for score in SCORES:
            for split in ("validation", "test"):
                ours, theirs = (list(own[f"{split}_{score}_best"].dropna()) for own in pair)
                if ours and theirs:
                    name = f"difference of {split} {score}"
                    row[name], row[f"{name} ±"] = estimates.difference(ours, theirs)
                    row[f"{split} {score} without"] = sum(theirs) / len(theirs)
        timed = [own.dropna(subset="seconds_total") for own in pair]
        seconds = [list(own.seconds_total) for own in timed]
        both = pd.concat(timed)
        made = places(both).unique()
        shares = some_of(every.status == "diverged", every)
        row["diverged"] = ", ".join(name + share for name, share in shares.items()) or None
        if all(seconds) and len(made) == 1 and not diverged(runs):
            several = ", several versions of the code" if of_several_codes(both) else ""
            row["machine"] = made[0] + several
            added, half = estimates.difference(*seconds)
            name = "difference of total seconds"
            row |= {name: added, f"{name} ±": half}
            gained = row.get("difference of validation perplexity")
            if gained is not None and gained < 0 < added - estimates.doubt_of_times(*seconds):
                row["perplexity per added second"] = gained / added
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).dropna(axis="columns", how="all")


COLUMNS = [
    "change", "without", "with",
    *(
        f"difference of {split} {score}{end}"
        for score in SCORES
        for split in ("validation", "test")
        for end in ("", " ±")
    ),
    "difference of total seconds", "difference of total seconds ±",
    "perplexity per added second", "diverged", "machine",
    *(f"{split} {score} without" for score in SCORES for split in ("validation", "test")),
]  # fmt: skip


def norm_stability(results: Results) -> pd.DataFrame:
    """Return pre- beside post-norm for every depth and learning rate that the study tried.

    Gradient norms are the largest of completed epochs, before clipping; a diverged run names its
    step.
    Runs with the same settings count together, whatever their names.
    """
    known = comparisons.settings(results.runs)
    rows = []
    for one in comparisons.find(results.runs, "norm"):
        row: dict[str, object] = {
            "layers": known.layers[one.experiments[0]],
            "learning rate": known["optimizer.lr"][one.experiments[0]],
            "epochs": known.epochs[one.experiments[0]],
            "precision": known.precision[one.experiments[0]],
        }
        for norm in ("pre", "post"):
            names = [name for name in one.experiments if known["model.norm"][name] == norm]
            runs = results.runs[results.runs.experiment.isin(names)]
            scores = by_seed(finished(runs.assign(experiment=norm)), "validation_accuracy_best")
            accuracy, half = estimates.interval(list(scores))
            row[f"{norm}-norm: best validation accuracy"] = accuracy
            row[f"{norm}-norm: best validation accuracy ±"] = half
            row[f"{norm}-norm: largest gradient norm"] = results.largest_gradient_norm(names)
            row[f"{norm}-norm: outcome"] = _outcome(runs)
        rows.append(row | {"experiments": ", ".join(sorted(one.experiments))})
    table = pd.DataFrame(rows, columns=None if rows else ["layers", "learning rate", "epochs"])
    return table.sort_values(["epochs", "layers", "learning rate"], ignore_index=True)


def _outcome(runs: pd.DataFrame) -> str:
    diverged = runs[runs.status == "diverged"]
    if diverged.empty:
        return "finished"
    steps = ", ".join(f"{step:,.0f}" for step in sorted(diverged.diverged_step))
    return f"{len(diverged)} of {len(runs)} diverged (step {steps})"
