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


def test_a_part_that_the_page_has_no_place_for_is_named(page):
    with pytest.raises(SystemExit, match="no part cuda growth"):
        page.fill(CPU, "cuda growth", "text")


def test_the_page_has_a_place_for_every_table(page):
    text = page.PAGE.read_text()
    for name in ("speed", "growth", "profile", "precision", "sharing"):
        assert f"<!-- begin cpu {name} -->" in text
