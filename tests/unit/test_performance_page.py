"""How measured tables get into docs/performance.md."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page():
    """Return benchmarks/page.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CPU = "# Speed\n<!-- begin cpu speed -->\nold\n<!-- end cpu speed -->\nprose\n"


def test_a_part_is_replaced_and_the_rest_stays(page):
    expected = "# Speed\n<!-- begin cpu speed -->\nnew \\1\n<!-- end cpu speed -->\nprose\n"
    assert page.fill(CPU, "cpu speed", "new \\1") == expected


def test_the_first_table_of_a_gpu_follows_that_of_the_cpu_and_is_replaced_later(page):
    first = page.fill(CPU, "cuda speed", "one")
    part = "<!-- begin cuda speed -->\none\n<!-- end cuda speed -->"
    assert first == CPU.replace("-->\nprose", f"-->\n\n{part}\nprose")
    assert page.fill(first, "cuda speed", "two") == first.replace("one", "two")


def test_the_first_table_of_a_processor_without_bf16_follows_that_of_one_with_it(page):
    first = page.fill(CPU, "cpu fp32 speed", "one")
    part = "<!-- begin cpu fp32 speed -->\none\n<!-- end cpu fp32 speed -->"
    assert first == CPU.replace("-->\nprose", f"-->\n\n{part}\nprose")


def test_what_is_reached_stands_against_the_ceiling_of_its_precision(page):
    case = {
        "unit": "images", "ratio": 2.0, "flops": 4e9, "achieved": 50e9,
        "textbook": {"rate": [1, 2, 3], "memory": 2**20}, "ours": {"rate": [2, 4, 6], "memory": 0},
    }  # fmt: skip
    machine = {"processor": "Xeon", "cores": "2"}
    result = {
        "machine": machine, "versions": {"torch": "2", "python": "3"}, "date": "2026-01-01",
        "threads": 2, "device": "CPU", "cases": {"resnet": case},
        "ceilings": {"float32": 100e9, "bfloat16": 200e9, "copy": 1e9},
    }  # fmt: skip
    for precision, share in (("fp32", "50%"), ("bf16", "25%")):
        *_, header, _, row = page.speed(result | {"precision": precision}).splitlines()
        assert f"of the {precision} ceiling" in header
        assert row.endswith(f" {share} |")


def test_variants_that_were_not_measured_leave_their_cells_empty(page):
    run = {"data": "cifar10 (mirrored)", "measure": "accuracy", "loss": 1.25, "validation": 0.5}
    facts = {
        "machine": {"processor": "Xeon", "cores": "2"}, "date": "2026-01-01", "threads": 1,
        "versions": {"torch": "2", "python": "3"}, "device": "CPU",
    }  # fmt: skip
    seeds = {"42": run | {"taken": facts}}
    result = {"runs": {"vit-2, 10 epochs": {"per image": seeds}}}
    first, *_, row = page.precision(result).splitlines()
    assert first.startswith("per image of vit-2, 10 epochs: 2026-01-01, Xeon")
    seeds["43"] = run | {"taken": facts | {"date": "2026-01-02"}}
    first, second, *_ = page.precision(result).splitlines()
    assert first.startswith("per image of vit-2, 10 epochs (seed 42): 2026-01-01, Xeon")
    assert second.startswith("per image of vit-2, 10 epochs (seed 43): 2026-01-02, Xeon")
    del seeds["43"]
    assert row == (
        "| vit-2, 10 epochs | cifar10 (mirrored) | – | – | 1.25 | accuracy – | – | 0.5 |"
    )


def test_a_part_that_the_page_has_no_place_for_is_named(page):
    with pytest.raises(SystemExit, match="no part cuda growth"):
        page.fill(CPU, "cuda growth", "text")


def test_the_page_holds_what_was_measured_and_shows_its_figures(page):
    text = page.PAGE.read_text()
    assert page.filled(text) == text
    for file in page.RESULTS.glob("*-speed.json"):
        assert f"]({file.stem}.png)" in text
        assert (page.PAGE.parent / f"{file.stem}.png").is_file()


def test_the_page_has_a_place_for_every_table(page):
    text = page.PAGE.read_text()
    for name in ("speed", "growth", "profile", "precision", "sharing"):
        assert f"<!-- begin cpu {name} -->" in text
