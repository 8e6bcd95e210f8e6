"""How a table is written as HTML."""

import html
import math
from collections.abc import Sequence

import pandas as pd


def to_html(table: pd.DataFrame) -> str:
    """Return a table as an HTML fragment; everything in it is escaped, empty cells show a dash.

    Half-widths ("… ±") join the number before them. Numbers carry their full value in data-value.
    """
    shown = [name for name in table.columns if not name.endswith(" ±")]
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in shown)
    body = "".join(
        "<tr>" + "".join(_cell(row[name], name, row.get(f"{name} ±")) for name in shown) + "</tr>\n"
        for row in table.to_dict("records")
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def to_page(table: pd.DataFrame, title: str, notes: Sequence[str] = ()) -> str:
    """Return a table as a page of its own, for Snakemake's report, with notes above it."""
    above = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes)
    style = (
        "body{font:15px system-ui,sans-serif;margin:1.5rem}table{border-collapse:collapse}"
        "th,td{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:left}"
        "td.number{text-align:right;font-variant-numeric:tabular-nums}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{style}</style>\n<h1>{html.escape(title)}</h1>\n{above}{to_html(table)}</html>\n"
    )


def _cell(value: object, column: str, half: object) -> str:
    if _is_missing(value):
        return '<td class="number">–</td>'
    if isinstance(value, str):
        mark = f' data-verdict="{html.escape(value)}"' if column == "verdict" else ""
        return f"<td{mark}>{html.escape(value)}</td>"
    number = float(value)  # type: ignore[arg-type]
    text = _number(number, column)
    if not _is_missing(half):
        text = f"{text.removesuffix(' %')} ± {_number(float(half), column)}"  # type: ignore[arg-type]
    exact = repr(number).replace("inf", "Infinity")
    return f'<td class="number" data-value="{exact}">{text}</td>'


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _number(value: float, column: str) -> str:
    sign = "+" if "difference" in column else ""
    if "accuracy" in column or column.endswith("(%)"):
        return f"{100 * value:{sign}.2f} %"
    if math.isinf(value):  # a perplexity may be beyond all numbers
        return "∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):{sign},}"
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.4g}"
