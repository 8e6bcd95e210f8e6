"""Keep what studies found: runs of several sittings and machines, in one small folder of files.

`python -m trainstudy.keep results/full reference/full` adds the results of a study to those kept;
`snakemake --configfile reference/full/config.yaml` reports on them without training. It is no rule
of the workflow because Snakemake deletes the output of a job before it starts it, and what is kept
already is half of the outcome.
"""

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from trainstudy import config as settings_of
from trainstudy import files, grids, records

log = logging.getLogger(__name__)

LONGEST = 70  # characters of a folder's name; "reference-" stands before it
# Runs of one experiment are means and intervals together only where all of these agree.
DECIDES = ["dataset", "data_origin", "data_sha256", *(field.name for field in records.SETTINGS)]


def keep(study: Path, kept: Path) -> None:
    """Add the runs in the folder of a study to those in `kept`, and write the overlay beside them.

    A run (experiment and seed) takes the place of an earlier one. Kept runs of its experiment that
    were made with other settings or data are dropped, with a warning. Raises DataError for a file
    that is broken or of another release.
    """
    kept.mkdir(parents=True, exist_ok=True)
    new = {name: records.read(study / f"{name}.parquet", name) for name in records.SCHEMAS}
    old = {name: table.slice(0, 0) for name, table in new.items()}
    there = {name: kept / f"{name}.parquet" for name in records.SCHEMAS}
    old |= {name: records.read(file, name) for name, file in there.items() if file.exists()}
    added = new["runs"].to_pylist()
    _check_whole(new, study)
    _check_alike(added, study)
    stays = [run for run in old["runs"].to_pylist() if _stays(run, added)]
    merged = {
        "runs": pa.concat_tables([_of_runs(old["runs"], stays), new["runs"]]),
        "metrics": pa.concat_tables([_of_runs(old["metrics"], stays), new["metrics"]]),
        "predicted": pa.concat_tables(
            [_without(old["predicted"], new["predicted"]), new["predicted"]]
        ),
        "attention": new["attention"],
    }
    for name, rows in merged.items():
        table = rows.sort_by([(key, "ascending") for key in records.KEYS[name]])
        records.store(table, kept / f"{name}.parquet")
        if name == "runs":
            _write_overlay(table, kept)
    log.info("%s: %d runs added or renewed, %d kept", kept, new["runs"].num_rows, len(stays))


def check_named(kept: Path) -> None:
    """Raise DataError where the name of a folder cannot be that of the study it is reported as."""
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", kept.name) or len(kept.name) > LONGEST:
        raise files.DataError(
            f"{kept}: '{kept.name}' becomes part of a study's name; use lower-case letters and "
            f"digits, joined by single hyphens, {LONGEST} characters at most"
        )


def check_declared(study: Path, declared: Path) -> None:
    """Raise DataError where a study has experiments that a configuration does not declare.

    What is kept is reported on by that configuration, which would not know them.
    """
    experiments = grids.expanded(
        yaml.safe_load(declared.read_text(encoding="utf-8"))["experiments"]
    )
    runs = records.read(study / "runs.parquet", "runs")
    if unknown := sorted({*runs["experiment"].to_pylist()} - {*experiments}):
        raise files.DataError(
            f"{declared} does not declare {', '.join(unknown)}, of {study}: no report could show "
            "them; add them there, as they were, and keep again"
        )


def departures(study: Path, declared: Path) -> list[str]:
    """Return which experiments a study ran with other settings than a configuration declares.

    But for the precision and whether steps were compiled, which machines decide too.
    """
    runs = {
        run["experiment"]: run for run in records.read(study / "runs.parquet", "runs").to_pylist()
    }
    whole = yaml.safe_load(declared.read_text(encoding="utf-8")) | {"select": sorted(runs)}
    wanted = settings_of.resolve(whole, [declared], declared.parent / "workflow/schemas")
    found = []
    for name, run in runs.items():
        own = records.flatten(settings_of.training_settings(wanted[name]))
        keys = [key for key in DECIDES if key in own and key not in ("precision", "compile")]
        if apart := _apart(run, own, keys):
            changed = ", ".join(f"{key} {run[key]} instead of {own[key]}" for key in apart)
            found.append(f"{name}: {changed}")
    return found


def _check_whole(new: dict[str, pa.Table], study: Path) -> None:
    """Raise DataError where a study has runs that its predicted memory is not of."""
    predicted = {*new["predicted"]["experiment"].to_pylist()}
    if lacking := sorted({*new["runs"]["experiment"].to_pylist()} - predicted):
        raise files.DataError(
            f"{study}/predicted.parquet lacks {', '.join(lacking)}, of which runs are there; run "
            "the study to its report, with all of them in `select`"
        )


def _check_alike(added: list[dict], study: Path) -> None:
    """Raise DataError where runs of one experiment differ in what decides its numbers."""
    first: dict[str, dict] = {}
    for run in added:
        other = first.setdefault(run["experiment"], run)
        if apart := _apart(run, other):
            raise files.DataError(
                f"{study}: {run['experiment']} has another {', '.join(apart)} with seed "
                f"{run['seed']} than with seed {other['seed']}; name it in the configuration and "
                "run the experiment again, so that its runs are alike"
            )


def _apart(run: dict, other: dict, keys: Sequence[str] = DECIDES) -> list[str]:
    return [key for key in keys if _value(other, key) != _value(run, key)]


def _value(run: dict, key: str) -> object:
    return bool(run[key]) if key in records.SWITCHES else run[key]


def _stays(run: dict, added: list[dict]) -> bool:
    """Say whether a kept run stays beside those that are added."""
    same = [other for other in added if other["experiment"] == run["experiment"]]
    if any(other["seed"] == run["seed"] for other in same):
        return False
    apart = _apart(run, same[0]) if same else []
    if apart:
        log.warning(
            "%s, seed %d: dropped, it was made with another %s (%s)",
            run["experiment"], run["seed"], ", ".join(apart),
            ", ".join(f"{run[key]} instead of {same[0][key]}" for key in apart),
        )  # fmt: skip
    return not apart


def _of_runs(table: pa.Table, runs: list[dict]) -> pa.Table:
    """Return the rows (of runs or metrics) that belong to the given runs."""
    wanted = {(run["experiment"], run["seed"]) for run in runs}
    pairs = zip(table["experiment"].to_pylist(), table["seed"].to_pylist(), strict=True)
    return table.filter(pa.array([pair in wanted for pair in pairs], pa.bool_()))


def _without(old: pa.Table, new: pa.Table) -> pa.Table:
    return old.filter(pc.invert(pc.is_in(old["experiment"], new["experiment"])))


def _write_overlay(runs: pa.Table, kept: Path) -> None:
    """Write the configuration that reports on what is kept; it is laid over config.yaml."""
    overlay = {
        "study": f"reference-{kept.name}",
        "measured": kept.as_posix(),
        "select": sorted({*runs["experiment"].to_pylist()}),
        "seeds": sorted({*runs["seed"].to_pylist()}),
    }
    text = yaml.safe_dump(overlay, sort_keys=False, default_flow_style=None, width=100)
    with files.whole(kept / "config.yaml") as part:
        part.write_text(
            "# Written by `make keep`: reports on the runs in this folder, trains nothing.\n" + text
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of the results of a study")
    parser.add_argument("kept", type=Path, help="folder of what is kept, relative to the project")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        check_named(arguments.kept)
        check_declared(arguments.study, Path("config.yaml"))
        for departure in departures(arguments.study, Path("config.yaml")):
            log.warning(
                "not as config.yaml declares it, so the page's commands make another: %s", departure
            )
        keep(arguments.study, arguments.kept)
    except (files.DataError, settings_of.ConfigError) as error:
        parser.exit(1, f"{error}\n")
    except FileNotFoundError as error:  # pyarrow's has the file as its text alone
        parser.exit(1, f"{arguments.study} holds no finished study; there is no {error}\n")


if __name__ == "__main__":
    main()
