"""Where the time of a call of Snakemake went, from the benchmark files of its jobs."""

import csv
from collections import defaultdict
from pathlib import Path


def where_time_went(folders: list[Path], runs: list[Path], since: float) -> str:
    """Return the seconds that each rule's jobs took together, for jobs ended after `since`.

    `folders` hold <rule>.tsv or <rule>/**/*.tsv as Snakemake's `benchmark` directive writes them,
    `runs` are the run.parquet files, whose seconds are told where there is pyarrow; `since` is
    seconds since the epoch. Empty where no job ran.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    for folder in folders:
        for file in filter(lambda file: file.stat().st_mtime >= since, folder.rglob("*.tsv")):
            rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
            spent[rule].append(_seconds(file))
    everything = sum(map(sum, spent.values()))
    lines = []
    for rule, seconds in sorted(spent.items(), key=lambda item: -sum(item[1])):
        total, share = sum(seconds), sum(seconds) / everything
        jobs = f"{len(seconds):>5} job{'s' if len(seconds) > 1 else ' '}"
        lines.append(f"  {rule:<18}{jobs}{total:>10,.1f} s{share:>6.0%}")
    epochs = _seconds_in_epochs([file for file in runs if file.stat().st_mtime >= since])
    if epochs:
        lines.append(f"  (train: {epochs:,.1f} s in epochs; the rest to start, load and save)")
    title = "Where the jobs' time went (of jobs side by side, each counts whole):"
    return "\n".join([title, *lines]) if lines else ""


def _seconds(file: Path) -> float:
    with file.open(newline="") as lines:
        return sum(float(row["s"]) for row in csv.DictReader(lines, delimiter="\t"))


def _seconds_in_epochs(runs: list[Path]) -> float:
    """Return the seconds that runs recorded; 0 where nothing can read them.

    With conda, Snakemake has an environment of its own, which does without pyarrow.
    """
    try:
        import pyarrow.parquet as pq  # here, as most calls train nothing
    except ModuleNotFoundError:
        return 0
    return sum(pq.read_table(run, columns=["seconds_total"])[0][0].as_py() for run in runs)
