"""Put the main table of what is kept into README.md, between <!-- begin …> and <!-- end …>.

`make reference` runs it; it reads the Parquet files in reference/<study> alone.
"""

import argparse
import re
from pathlib import Path

import pandas as pd
import yaml

from trainstudy import config, estimates, origin, results, summary
from trainstudy.tables import columns

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def read(kept: Path) -> results.Results:
    """Return the results in a folder of kept ones."""
    files = {name: str(kept / f"{name}.parquet") for name in config.RESULT_FILES}
    files["published"] = str(ROOT / "resources" / "published.csv")
    overlay = yaml.safe_load((kept / "config.yaml").read_text())
    return results.read(files, overlay["select"], overlay["seeds"], claims={})


def table(found: results.Results) -> str:
    """Return banner and table as Markdown: a row an experiment, by family, the best first."""
    notes = [f"> **{heading}.** {text}" for heading, text in origin.banners(found.runs)]
    lines = [
        "\n>\n".join(notes), "",
        "| experiment | seeds | validation | A | B | between A and B | test | s per epoch "
        "| computed in, on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for family, score in results.SCORE.items():
        runs = results.finished(found.undisturbed[found.undisturbed.family == family])
        beside = summary.beside_published(found, family)
        # By the reports' estimator and epoch; where they have none the textbook's, best epoch.
        means = runs.groupby("experiment")[f"validation_{score}_best"].mean()
        shown = beside.measured.combine_first(means)
        for name, value in shown.sort_values(ascending=score in summary.LOWER_IS_BETTER).items():
            published = beside.loc[name] if name in beside.index else pd.Series(dtype=float)
            lines.append(_row(runs[runs.experiment == name], score, value, published))
    return "\n".join(lines)


def _row(runs: pd.DataFrame, score: str, shown: float, published: pd.Series) -> str:
    name = runs.experiment.iloc[0]
    both = [published.get(report) for report in results.REPORTS]
    timed, several = runs.dropna(subset="seconds_training"), results.places(runs).nunique() > 1
    inside = {True: "yes", False: "no"}.get(published.get("inside"), "–")
    cells = [
        f"`{name}`", str(len(runs)), _written(shown, score), *(_written(v, score) for v in both),
        inside, _with_interval(list(runs[f"test_{score}_best"]), score),
        _seconds(timed, several),
        columns.joined(runs, runs.precision + ", " + results.places(runs)).item(),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _seconds(timed: pd.DataFrame, several: bool) -> str:
    """Return the seconds of an epoch, and of several machines the one that they are of."""
    if timed.empty:
        return "–"
    mean = timed.seconds_training.mean()
    where = f" ({results.places(timed).iloc[0]})" if several else ""
    return f"{mean:,.{1 if mean >= 1 else 2}f}{where}"


def _with_interval(values: list[float], score: str) -> str:
    mean, half = estimates.interval(values)
    return _written(mean, score) + ("" if half is None else f" ± {_number(half, score)}")


def _written(value: float | None, score: str) -> str:
    return "–" if value is None or pd.isna(value) else summary.written(value, score)


def _number(value: float, score: str) -> str:
    return f"{100 * value:.2f}" if score == "accuracy" else f"{value:.4g}"


def filled(text: str, made: str) -> str:
    """Return the README with another table."""
    begin, end = "<!-- begin reference -->", "<!-- end reference -->"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{made}\n{end}", text, flags=re.S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kept", type=Path, help="folder of what is kept")
    made = table(read(parser.parse_args().kept))
    README.write_text(filled(README.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
