"""report.html: one page with every table and figure, complete in itself."""

import base64
import hashlib
import html
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainstudy import curves, origin, style, summary, tables
from trainstudy.results import FAMILIES, Results, learned_instead

SCRIPTS = ("chart.js", "page.js")
NOTHING = "No run of this study belongs here."  # instead of a table without rows
READABLE = 185  # characters of a row that are 6.5 pt high where they fill 273 mm


def render(
    page: Path,
    study: str,
    contents: dict,
    captions: Path,
    figures: Path,
    results: Results,
    missing: list[dict],
    repeating: str | None,
    declared: int,
) -> str:
    """Return the page.

    `page` is the folder of template, style and scripts, `contents` all items that a study may show,
    `captions` the folder of their .rst texts, `figures` that of the SVG files with the texts and
    numbers beside them, `missing` and `repeating` what missing.of and missing.repeating return,
    `declared` the number of experiments in the configuration, selected or not.
    """
    families = {*results.runs.family}
    shown = {name: item for name, item in contents.items() if families & {*item["families"]}}
    items = {name: _item(name, item, captions, figures, results) for name, item in shown.items()}
    drawn = dict.fromkeys(item["curves"][0] for item in items.values() if item["curves"])
    scripts = [Markup((page / name).read_text(encoding="utf-8")) for name in SCRIPTS]
    environment = Environment(
        loader=FileSystemLoader(page), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        study=study,
        style=Markup((page / "style.css").read_text(encoding="utf-8")),
        scripts=scripts,
        script_hashes=" ".join(_hash(script) for script in scripts),
        not_published=origin.NOT_PUBLISHED,
        other_data=origin.other_data(results.runs),
        mixed=origin.mixed(results.runs),
        summary=summary.sentences(results, declared),
        sections=_sections(contents, items),
        missing=missing,
        repeating=repeating,
        learned=bool(learned_instead(results.runs).any()),
        families=FAMILIES,
        provenance=[(title, _table(t)) for title, t in origin.tables(results.runs).items()],
        curves={family: curves.of_family(results, family) for family in drawn},
    )


def _item(name: str, item: dict, captions: Path, figures: Path, results: Results) -> dict:
    """Return what the template shows of a table or a figure."""
    shown = {
        "name": name, "title": item["title"], "caption": _caption(captions / f"{name}.rst"),
        "families": item["families"], "curves": None, "upright": False,
    }  # fmt: skip
    if item["kind"] != "figure":
        table = tables.build(name, results)
        if table.empty:
            return shown | {"figure": None, "table": None, "csv": None, "text": NOTHING}
        csv = _inside("text/csv", table.to_csv(index=False).encode())
        return shown | {"figure": None, "text": "", "table": _table(table), "csv": csv}
    numbers = (figures / f"{name}.csv").read_bytes()
    drawing = (figures / f"{name}.svg").read_bytes()
    text = (figures / f"{name}.txt").read_text(encoding="utf-8").strip()
    shown |= {"text": text, "table": None}
    if numbers.splitlines()[0] == style.NOTHING_DRAWN.encode():
        return shown | {"figure": None, "csv": None}
    interactive = re.fullmatch(rf"({'|'.join(FAMILIES)})-curves-(epochs|seconds)", name)
    return shown | {
        "figure": _inside("image/svg+xml", drawing),
        "csv": _inside("text/csv", numbers),
        "curves": interactive and interactive.groups(),
        "upright": _is_tall(drawing),
    }


def _is_tall(drawing: bytes) -> bool:
    """Say whether a figure comes out larger on an upright sheet of A4 than on one that lies."""
    sizes = [
        re.search(rb'<svg[^>]* %s="([\d.]+)' % side, drawing) for side in (b"height", b"width")
    ]
    height, width = (float(size[1]) if size else 0.0 for size in sizes)
    return height > 0.83 * width


def _sections(contents: dict, items: dict[str, dict]) -> list[dict]:
    """Return the questions of the study in their order, each with its items and those it lacks."""
    titles = dict.fromkeys(item["category"] for item in contents.values())
    return [
        {
            "title": title,
            "anchor": f"question-{number}",
            "entries": [items[name] for name in names if name in items],
            "absent": _absent([contents[name] for name in names if name not in items]),
        }
        for number, title in enumerate(titles, 1)
        for names in [[name for name, item in contents.items() if item["category"] == title]]
    ]


def _absent(items: list[dict]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return titles of items by the families of which they need runs."""
    titles: dict[tuple[str, ...], list[str]] = {}
    for item in items:
        titles.setdefault((*item["families"],), []).append(item["title"])
    return [*titles.items()]


def _table(table: pd.DataFrame) -> dict:
    """Return a table as HTML, with the characters of its longest row, by which print shrinks it.

    Columns in which nothing stands are left out. A "dense" table would become too small to read in
    print; there its cells wrap at every space and hyphen, and its characters are counted so.
    """
    text = tables.to_html(table.dropna(axis="columns", how="all") if len(table) else table)
    cells = [html.unescape(cell) for cell in re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", text, re.S)]
    shown = text.count('scope="col"')  # half-widths stand in the cells they belong to
    columns = [cells[column::shown] for column in range(shown)]
    of_name = _wrapped if "statement" in table else len  # names of runs do not wrap
    characters = _characters(columns, of_name, _wrapped)
    dense = characters > READABLE
    if dense:
        characters = _characters(columns, _longest_part, _longest_part)
    return {"html": Markup(text), "characters": characters, "dense": dense}


def _wrapped(cell: str) -> int:
    return min(len(cell), 40)


def _characters(
    columns: list[list[str]], of_name: Callable[[str], int], of_cell: Callable[[str], int]
) -> int:
    """Return those of the longest row, from what is needed by a name of a run and another cell."""
    heading = [max(map(len, column[0].split()), default=0) for column in columns]  # these wrap
    widths = [of_name, *[of_cell] * (len(columns) - 1)]
    longest = [
        max(map(width, column[1:]), default=0)
        for width, column in zip(widths, columns, strict=True)
    ]
    return sum(max(pair) + 2 for pair in zip(heading, longest, strict=True))


def _longest_part(text: str) -> int:
    """Return the characters between two places where a browser may wrap; none is before a digit."""
    return max(map(len, re.split(r"\s+|(?<=\w-)(?=[a-z])", text)))


def _caption(file: Path) -> Markup:
    settings = {"file_insertion_enabled": False, "raw_enabled": False}
    parts = publish_parts(
        file.read_text(encoding="utf-8"), writer="html5", settings_overrides=settings
    )
    return Markup(parts["fragment"])


def _inside(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _hash(script: str) -> str:
    """Return a script's hash as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
