"""Put the main tables of what is kept into README.md, between <!-- begin …> and <!-- end …>.

`make reference` runs it; it reads the Parquet files in reference/<study> alone.
"""

import argparse
import re
from pathlib import Path

import pandas as pd
import yaml

from trainstudy import claims, config, estimates, origin, places, quantities, results, summary
from trainstudy.tables import columns

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DECIDED = [claims.SUPPORTED, claims.CONTRADICTED]


def read(kept: Path) -> results.Results:
    """Return the results in a folder of kept ones."""
    files = {name: str(kept / f"{name}.parquet") for name in config.RESULT_FILES}
    files["published"] = str(ROOT / "resources" / "published.csv")
    overlay = yaml.safe_load((kept / "config.yaml").read_text())
    declared = ROOT / "report" / "claims.yaml", ROOT / "workflow" / "schemas" / "claims.yaml"
    stated = config.checked(*declared)["claims"]
    return results.read(files, overlay["select"], overlay["seeds"], stated)


def made(found: results.Results) -> str:
    """Return banners, folded behind their headings, and tables as Markdown."""
    return "\n\n".join([*_folded(found.runs), beside_reports(found), *statements(found)])


def _folded(runs: pd.DataFrame) -> list[str]:
    banners = origin.banners(runs)
    if not banners:
        return []
    headings = "; ".join(dict.fromkeys(heading for heading, _ in banners))
    notes = "\n".join(f"- **{heading}.** {text}" for heading, text in banners)
    return [f"<details><summary><strong>{headings}</strong></summary>", notes, "</details>"]


def beside_reports(found: results.Results) -> str:
    """Return a row for every experiment that a report has a figure of, by family, the best first.

    Scores are of the reports' estimator and epoch.
    """
    lines = [
        "| experiment | seeds | validation | A | B | between A and B | test | s per epoch "
        "| computed in, on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for family, score in results.SCORE.items():
        ascending = score in results.LOWER_IS_BETTER
        beside = summary.beside_published(found, family).sort_values(
            "measured", ascending=ascending
        )
        runs = results.finished(found.side_by_side(beside.index, "seconds_training"))
        for name, published in beside.iterrows():
            lines.append(_row(runs[runs.experiment == name], score, published))
    return "\n".join(lines)


def statements(found: results.Results) -> list[str]:
    """Return how many statements are decided, and a row for each of these."""
    decided = claims.table(found).query("verdict in @DECIDED").sort_values("verdict", kind="stable")
    rows = [
        f"| {row.statement} | {row.verdict} | {row['decided by']} |"
        for _, row in decided.iterrows()
    ]
    table = "\n".join(["| statement | verdict | decided by |", "|---|---|---|", *rows])
    folded = f"<details><summary>The {len(rows)} that are decided</summary>"
    return [summary.statements(found).striptags(), folded, table, "</details>"]


def _row(runs: pd.DataFrame, score: str, beside: pd.Series) -> str:
    name = runs.experiment.iloc[0]
    theirs = [_written(beside[report], score) for report in results.REPORTS]
    timed, several = runs.dropna(subset="seconds_training"), places.places(runs).nunique() > 1
    inside = {True: "yes", False: "no"}.get(beside.inside, "–")
    if inside == "no" and beside.reached:
        inside = "no, but ± reaches A or B"
    cells = [
        f"`{name}`", str(len(runs)), _with_interval(beside.measured, beside.half, score), *theirs,
        inside, _with_interval(*estimates.interval(list(runs[f"test_{score}_best"])), score),
        _seconds(timed, several),
        f"{columns.joined(runs, runs.precision).item()}, {_where(runs)}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _where(runs: pd.DataFrame) -> str:
    """Return the machine of runs, or how many there were; the banners name them."""
    made = places.places(runs).unique()
    return made[0] if len(made) == 1 else f"{len(made)} kinds of machine"


def _seconds(timed: pd.DataFrame, several: bool) -> str:
    """Return the seconds of an epoch, and of several machines the one that they are of."""
    if timed.empty:
        return "–"
    mean = timed.seconds_training.mean()
    where = f" ({places.places(timed).iloc[0]})" if several else ""
    return f"{mean:,.{1 if mean >= 1 else 2}f}{where}"


def _with_interval(mean: float, half: float | None, score: str) -> str:
    spread = "" if half is None or pd.isna(half) else f" ± {_number(half, score)}"
    return _written(mean, score) + spread


def _written(value: float, score: str) -> str:
    return "–" if pd.isna(value) else quantities.written(value, score)


def _number(value: float, score: str) -> str:
    return f"{100 * value:.2f}" if score == "accuracy" else f"{value:.4g}"


def filled(text: str, block: str) -> str:
    """Return the README with another block of results."""
    begin, end = "<!-- begin reference -->", "<!-- end reference -->"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{block}\n{end}", text, flags=re.S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kept", type=Path, help="folder of what is kept")
    block = made(read(parser.parse_args().kept))
    README.write_text(filled(README.read_text(encoding="utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    main()
