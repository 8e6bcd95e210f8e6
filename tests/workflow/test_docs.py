"""The fault matrices: every row of a table whose last column is `test` names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("faults.md", "trust.md")]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables whose last column is headed `test`."""
    found = []
    for table in re.findall(r"^\|.*\n\|[-| :]+\|\n((?:\|.*\n?)+)", text, re.M):
        head = text[: text.index(table)].splitlines()[-2]
        if cells(head)[-1] == "test":
            found += [cells(line) for line in table.splitlines()]
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def missing(row: list[str]) -> list[str]:
    """Return what is wrong with a row: tests that do not exist, or none named at all."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[-1])
    if not named or len(named) != row[-1].count("`") / 2:
        return [f"no test named in: {row[-1]!r}"]
    return [f"{file}::{name}" for file, name in named if name not in functions(ROOT / file)]


def functions(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fault_has_a_test_that_exists(page):
    found = rows(page.read_text())
    assert len(found) >= 10
    assert [problem for row in found for problem in missing(row)] == []


@pytest.mark.parametrize(
    "last",
    ["", "to come", "`tests/none.py::test_x`", "`tests/workflow/test_docs.py::test_none`",
     "`tests/workflow/test_docs.py::rows`, by hand `x`"],
)  # fmt: skip
def test_a_row_without_its_test_is_found(last):
    table = f"| fault | what happens | test |\n|---|---|---|\n| a | b | {last} |\n"
    (row,) = rows(table)
    assert missing(row)


def test_a_table_about_something_else_is_left_alone():
    assert rows("| what | when |\n|---|---|\n| a | b |\n") == []
