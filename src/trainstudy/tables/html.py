"""How a table is written as HTML."""

import html
import math
import re
from collections.abc import Sequence
from statistics import median

import pandas as pd

from trainstudy.quantities import LARGE

# Columns that are said once, above the table, where all rows agree.
SAID_ONCE = [
    "optimizer", "epochs", "data", "precision", "device", "machine", "threads", "seeds", "interval",
    "measured",
]  # fmt: skip
TIMED = re.compile(r"(?![AB]: )(.* )?(s|seconds|throughput)( |$)")  # not the reports'
TOTAL = "all runs"  # begins a row that sums up those above it, and stays below them when these sort


def to_html(table: pd.DataFrame) -> str:
    """Return a table as an HTML fragment; everything in it is escaped, empty cells show a dash.

    Half-widths ("… ±") join the number before them. Numbers carry their full value in data-value
    and have the decimals of their column, or of those of its rows that are of one metric or, of
    times, one machine. What is the same in all rows of SAID_ONCE stands in the caption. The first
    cell of a row, if it is text, names the row.
    """
    said = shared(table)
    shown = [name for name in table if not name.endswith(" ±") and name not in said]
    numeric = {name for name in shown if _is_numeric(table[name])}
    decimals = {name: _decimals(table, name) for name in numeric}
    heads = "".join(
        f'<th scope="col"{_class(name in numeric)}>{html.escape(_heading(name))}</th>'
        for name in shown
    )
    rows = []
    for number, row in enumerate(table.to_dict("records")):
        cells = [
            _number_cell(row[name], name, row.get(f"{name} ±"), decimals[name][number])
            if name in numeric
            else _text_cell(row[name], name, heads_row=name == shown[0])
            for name in shown
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>\n")
    summed = str(table.iloc[-1, 0]) == TOTAL if len(table) else False
    foot = f"<tfoot>\n{rows.pop()}</tfoot>\n" if summed else ""
    return (
        f"<table>\n{_caption(said)}<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{''.join(rows)}</tbody>\n{foot}</table>\n"
    )


def shared(table: pd.DataFrame) -> dict[str, str]:
    """Return what is the same in all of several rows, by column."""
    if len(table) < 2:
        return {}
    constant = [name for name in SAID_ONCE if name in table and table[name].nunique(False) == 1]
    values = {name: table[name].iloc[0] for name in constant}
    return {name: str(value) for name, value in values.items() if not _is_missing(value)}


def to_page(table: pd.DataFrame, title: str, notes: Sequence[tuple[str, str]] = ()) -> str:
    """Return a table as a page of its own, for Snakemake's report, with notes above it."""
    above = "".join(
        f"<p><strong>{html.escape(head)}.</strong> {html.escape(note)}</p>\n"
        for head, note in notes
    )
    style = (
        "body{font:15px system-ui,sans-serif;margin:1.5rem}table{border-collapse:collapse}"
        "th,td{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:left}"
        "[scope=row]{font-weight:normal}"
        "caption{text-align:left;color:#555}"
        ".number{text-align:right;font-variant-numeric:tabular-nums}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{style}</style>\n<h1>{html.escape(title)}</h1>\n{above}{to_html(table)}</html>\n"
    )


def _caption(said: dict[str, str]) -> str:
    text = "; ".join(f"{name} {value}" for name, value in said.items())
    return f"<caption>All rows: {html.escape(text)}.</caption>\n" if said else ""


def _heading(column: str) -> str:
    return f"{column} (points)" if _in_points(column) else column


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _text_cell(value: object, column: str, heads_row: bool) -> str:
    text = "–" if _is_missing(value) else html.escape(str(value))
    if heads_row:
        return f'<th scope="row">{text}</th>'
    mark = f' data-verdict="{text.partition(" (")[0]}"' if column == "verdict" else ""
    return f"<td{mark}>{text}</td>"


def _number_cell(value: object, column: str, half: object, decimals: int) -> str:
    if _is_missing(value):
        return '<td class="number">–</td>'
    number = float(value)  # type: ignore[arg-type]
    text = _number(number, column, decimals)
    if not _is_missing(half) and half != 0:
        width = _number(float(half), column, decimals)  # type: ignore[arg-type]
        text = f"{text.removesuffix(' %')} ± {width.removeprefix('+')}"
    exact = repr(number).replace("inf", "Infinity")
    return f'<td class="number" data-value="{exact}">{text}</td>'


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _is_numeric(values: pd.Series) -> bool:
    return not any(isinstance(value, str) for value in values)


def _in_per_cent(column: str) -> bool:
    """Say whether a column of shares is shown in per cent; in the CSV accuracies are shares."""
    return "accuracy" in column


def _in_points(column: str) -> bool:
    """Say whether a column of differences of shares is shown in points, to tell it from shares."""
    return column.startswith("difference") and _in_per_cent(column)


def _decimals(table: pd.DataFrame, column: str) -> list[int]:
    """Return the decimals of every row: one number, or one for each metric in the rows.

    Of times and throughput one for each machine, as an epoch may take minutes or fractions of a
    second.
    """
    if _in_per_cent(column) or column.endswith("(%)"):
        return [2] * len(table)
    kinds = table.get("metric", pd.Series("", index=table.index))
    if TIMED.match(column) and "machine" in table:
        machines = table.machine.astype(object).fillna("")
        kinds = machines.str.partition(", several versions")[0]
    found = table[column].groupby(kinds).apply(_decimals_of)
    return [found[kind] for kind in kinds]


def _decimals_of(values: pd.Series) -> int:
    """Return the decimals of a column.

    Such that a middling number shows four digits, or three below one; none that no number needs.
    """
    numbers = [float(value) for value in values if not _is_missing(value)]
    numbers = [number for number in numbers if math.isfinite(number) and number != 0]
    if not numbers:
        return 0
    exponent = math.floor(math.log10(median(map(abs, numbers))))
    most = max(0, 3 - exponent) if exponent >= 0 else 2 - exponent
    exact = (
        count
        for count in range(most)
        if all(math.isclose(round(number, count), number) for number in numbers)
    )
    return next(exact, most)


def _number(value: float, column: str, decimals: int) -> str:
    sign = "+" if "difference" in column else ""
    if math.isinf(value):  # a perplexity may be beyond all numbers
        return f"{value:{sign}}".replace("inf", "∞")
    if _in_per_cent(column):
        return f"{100 * value:{sign}.{decimals}f}{'' if _in_points(column) else ' %'}"
    if abs(value) >= LARGE:
        return f"{value:{sign}.4g}"
    return f"{value:{sign},.{decimals}f}"
