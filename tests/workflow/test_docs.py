"""What documents promise: a test for every fault, every setting, the picture of the jobs."""

import ast
import re
import shutil
from pathlib import Path

import pytest
import yaml

FAMILIES = ("lstm", "vit", "cnn")
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


def schema(name: str) -> dict:
    return yaml.safe_load((ROOT / "workflow/schemas" / f"{name}.yaml").read_text(encoding="utf-8"))


def described(heading: str) -> dict[str, list[str]]:
    """Return the rows of a table of config/README.md by the setting that they are about."""
    text = (ROOT / "config/README.md").read_text(encoding="utf-8").partition(heading)[2]
    lines = [cells(line) for line in text.partition("\n## ")[0].splitlines() if line[:2] == "| "]
    return {line[0].strip("`"): line for line in lines[1:]}


def test_every_key_of_the_study_is_described():
    assert {*described("## The study")} == {*schema("config")["properties"]}


def test_every_setting_is_described_with_the_families_that_have_it():
    rules = schema("experiment")
    flat: dict[str, set[str]] = {}
    for name, kind in rules["properties"].items():
        if name != "model":
            parts = kind.get("properties")
            flat |= {f"{name}.{part}" if parts else name: {*FAMILIES} for part in parts or [name]}
    for family, rule in zip(FAMILIES, rules["allOf"], strict=True):
        assert rule["if"]["properties"]["family"] == {"const": family}
        for name in rules["$defs"][family]["properties"]:
            flat.setdefault(f"model.{name}", set()).add(family)
        for lacking in (n for n, kind in rule["then"]["properties"].items() if kind == {"not": {}}):
            for key in flat:
                if key.partition(".")[0] == lacking:
                    flat[key].discard(family)
    found = described("## An experiment")
    assert {*found} == {*flat}
    for key, row in found.items():
        assert {*re.findall(r"`(\w+)`", row[-1])} == (
            flat[key] if flat[key] != {*FAMILIES} else set()
        )


def test_the_picture_of_the_jobs_is_that_of_snakemake(fresh):
    shutil.copy(ROOT / "config.yaml", fresh.folder / "config.yaml")
    printed = fresh.snakemake("--rulegraph", "mermaid-js")
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", printed, re.M))
    arrows = re.findall(r"^\s*(id\d+) --> (id\d+)", printed, re.M)
    expected = {(names[one], names[other]) for one, other in arrows if names[other] != "all"}
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    found = {
        (one, other)
        for left, right in re.findall(r"^\s*(.+?) --> (.+)$", drawn, re.M)
        for one in left.split(" & ")
        for other in right.split(" & ")
    }
    assert found == expected
    assert len(found) >= 10
