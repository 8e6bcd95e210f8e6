"""The report: one page, complete in itself, that says where its numbers come from."""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
import yaml

from results import a_run, curve, frames, sizes
from trainstudy import report, style, tables

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
CAPTIONS = ROOT / "report"
PAGE = CAPTIONS / "page"
SUBSETS = [part for size in (1, 2, 3) for part in combinations(("lstm", "vit", "cnn"), size)]
REPEATING = "snakemake --config 'select=[EXPERIMENT]' -- results/tiny/EXPERIMENT/SEED/run.parquet"
NOTHING: dict = {}  # no item: most of the time goes into captions
RUNS = [a_run("lstm-a"), a_run("vit-a"), a_run("cnn-a")]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="3pt"><text>{}</text></svg>'


@pytest.fixture
def page(tmp_path):
    """Render the report of some runs, with the items that a test is about."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "frames").mkdir()
    for name, item in CONTENTS.items():
        if item["kind"] == "figure":
            (tmp_path / "figures" / f"{name}.svg").write_text(SVG.format(name))
            (tmp_path / "figures" / f"{name}.txt").write_text(f"What {name} shows.\n")
            (tmp_path / "figures" / f"{name}.csv").write_text(f"x\n{name}\n")

    def render(*runs: dict, contents: dict = NOTHING, study: str = "tiny", missing=(), metrics=()):
        inputs = frames(tmp_path / "frames", list(runs), metrics, **sizes([*runs]))
        figures = tmp_path / "figures"
        return report.render(
            PAGE, study, contents, CAPTIONS, figures, inputs, [*missing], REPEATING, len(runs)
        )

    return render


class Elements(HTMLParser):
    """Collects every element with its attributes and the text right behind it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_data(self, text: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(text.strip())

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


# One page, complete in itself


def test_the_page_needs_nothing_but_itself(page):
    text = page(*RUNS, contents=CONTENTS)
    elements = Elements(text)
    for tag, attributes in elements.found:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:text/csv;base64,"))
    assert "@import" not in text
    assert "url(" not in text
    assert re.findall(r"https?://(?!www.w3.org/2000/svg)", text) == []  # that is a name


def test_every_link_of_the_page_leads_somewhere(page):
    elements = Elements(page(*RUNS, contents=CONTENTS))
    places = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    links = {attributes["href"] for attributes in elements.all("a")}
    targets = {link.removeprefix("#") for link in links if link.startswith("#")}
    assert targets >= {*CONTENTS, "provenance"}
    assert targets <= places


def test_figures_lie_inside_the_page_and_have_a_text_beside_them(page):
    images = Elements(page(*RUNS, contents=CONTENTS)).all("img")
    named = [name for name, item in CONTENTS.items() if item["kind"] == "figure"]
    titles = [CONTENTS[name]["title"] for name in named]
    assert [image["alt"] for image in images] == [f"{title}, described below." for title in titles]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page(*RUNS, contents=CONTENTS))
    assert captions == [f"What {name} shows." for name in named]
    for image, name in zip(images, named, strict=True):
        kind, content = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(content).decode() == SVG.format(name)


def test_items_stand_in_the_order_of_the_contents(page):
    elements = Elements(page(*RUNS, contents=CONTENTS))
    titles = [title for title in elements.texts["h3"] if title]
    assert titles[: len(CONTENTS)] == [item["title"] for item in CONTENTS.values()]
    categories = list(dict.fromkeys(item["category"] for item in CONTENTS.values()))
    headings = ["Summary", *categories, "Where the numbers come from"]
    assert [t for t in elements.texts["h2"] if t] == headings


def test_an_item_holds_its_caption_and_its_table(page):
    contents = {"vit-results": CONTENTS["vit-results"]}
    run = a_run("vit-a")
    metrics = curve(run, "validation", "accuracy", 0.5, 0.6125)
    text = page(run, contents=contents, metrics=metrics)
    section = text[text.index('<section id="vit-results"') :]
    section = section[: section.index("</section>")]
    assert CONTENTS["vit-results"]["title"] in section
    assert "half the 95 % t interval; one" in section.replace("\n", " ")  # the caption
    assert '<th scope="row">vit-a</th>' in section
    assert "61.25 %" in section
    assert '<section id="memory"' not in text


def test_numbers_lie_beside_tables_and_figures_as_csv(page):
    names = ("vit-results", "vit-curves-epochs")
    text = page(a_run("vit-a", seed=7), contents={name: CONTENTS[name] for name in names})
    links = [link for link in Elements(text).all("a") if "download" in link]
    assert [link["download"] for link in links] == ["vit-results.csv", "vit-curves-epochs.csv"]
    table, figure = (base64.b64decode(link["href"].split(",")[1]).decode() for link in links)
    assert table.splitlines()[0].startswith("experiment,")
    assert table.splitlines()[1].startswith("vit-a,")
    assert figure == "x\nvit-curves-epochs\n"


def test_the_page_lets_nothing_run_but_its_own_scripts_and_loads_nothing(page):
    text = page(*RUNS)
    metas = Elements(text).all("meta")
    (policy,) = (m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in hashes]
    assert len(hashes) == 2


def test_the_page_names_its_study(page):
    text = page(*RUNS, study="demo")
    assert "<title>trainstudy: demo</title>" in text
    assert "<h1>trainstudy: demo</h1>" in text


# Escaping


@pytest.mark.parametrize(
    "fact", ["experiment", "data_description", "device", "commit", "driver", "model.norm", "study"]
)
def test_nothing_a_run_says_becomes_html(page, fact):
    evil = "<script>alert(1)</script>"
    if fact == "study":
        text = page(*RUNS, study=evil)
    else:
        facts = {"data_origin": "mirrored", "status": "diverged"}
        text = page(a_run("vit-a") | facts | {fact: evil})
    assert "alert(1)</script>" not in text
    assert html.escape(evil) in text


def test_titles_and_figures_are_escaped(page, tmp_path):
    evil = '"><script>alert(1)</script>'
    contents = {
        name: CONTENTS[name] | {"title": evil, "category": evil}
        for name in ("vit-results", "vit-curves-epochs")
    }
    (tmp_path / "figures/vit-curves-epochs.txt").write_text(evil)
    text = page(*RUNS, contents=contents)
    assert "alert(1)</script>" not in text
    assert f"<figcaption>{html.escape(evil, quote=False)}" in text.replace("&#34;", '"')


# Contents and captions


def test_every_item_has_a_caption_and_every_caption_an_item():
    captions = {file.stem for file in CAPTIONS.glob("*.rst")}
    assert captions == {*CONTENTS, "workflow"}


@pytest.mark.parametrize("file", sorted(CAPTIONS.glob("*.rst")), ids=lambda file: file.stem)
def test_a_caption_is_one_to_four_sentences_of_sound_text(file):
    text = file.read_text()
    assert 1 <= len(re.findall(r"[.?!](?=\s|$)", text)) <= 4
    assert text.strip().endswith(".")
    caption = report._caption(file)
    assert "system-message" not in caption  # docutils' mark of a mistake
    assert caption.startswith("<p>")


def test_a_caption_can_neither_read_files_nor_bring_html(tmp_path):
    (tmp_path / "secret").write_text("hidden words")
    for text in (".. include:: secret\n", ".. raw:: html\n\n   <script>alert(1)</script>\n"):
        (tmp_path / "caption.rst").write_text(text)
        caption = report._caption(tmp_path / "caption.rst")
        assert "hidden words" not in caption
        assert "<script>" not in caption


def test_every_item_is_complete():
    for item in CONTENTS.values():
        assert set(item) == {"kind", "families", "category", "title", "labels"}
        assert list(item["labels"]) == ["item", "family", "optimizer", "depth", "split"]
        assert item["kind"] in ("table", "figure")
        assert set(item["families"]) <= {"lstm", "vit", "cnn"}
        assert all(item.values())
        assert all(item["labels"].values())


@pytest.mark.parametrize("families", SUBSETS, ids="-".join)
def test_no_label_becomes_a_switch_in_snakemakes_report(families):
    """See getData in its abstract_results.js: a switch looks up pairs of which none is there."""
    categories: dict[str, list[dict]] = {}
    for item in CONTENTS.values():
        if {*families} & {*item["families"]}:
            categories.setdefault(item["category"], []).append(item["labels"])
    for category, labels in categories.items():
        for label in list(labels[0])[1:]:
            counts = Counter(one[label] for one in labels).values()
            assert len(counts) != 2 or len({*counts}) != 1, (category, label)


def sections(text: str) -> list[str]:
    return [section["id"] for section in Elements(text).all("section")]


def test_a_study_of_one_family_has_a_report_of_its_items(page):
    own = [name for name, item in CONTENTS.items() if "cnn" in item["families"]]
    text = page(a_run("cnn-a"), contents=CONTENTS)
    assert sections(text) == ["summary", *own]


def test_a_part_of_the_study_names_what_is_missing_and_the_command_for_it(page):
    missing = [
        {"family": "vit", "experiments": ["vit-x", "vit-y"], "command": "snakemake for vit"},
        {"family": "cnn", "experiments": ["cnn-z"], "command": "snakemake for cnn"},
        {"family": None, "experiments": ["cnn-z", "vit-x", "vit-y"], "command": "all of it"},
    ]
    text = page(a_run("lstm-a"), contents=CONTENTS, missing=missing)
    assert {"lstm-results", "missing"} <= {*sections(text)}
    assert "vit-results" not in sections(text)
    part = text[text.index('<section id="missing"') : text.index('<h2 id="provenance"')]
    said = '<a href="#missing">3 of the declared experiments</a> were not run'
    assert said in text[: text.index("<nav")]
    for words in ("vit-x", "vit-y", "snakemake for vit", "cnn-z", "snakemake for cnn", "all of it"):
        assert words in part
    question = text[text.index(">Vision transformers</h2>") :]
    question = question[: question.index("<h2")]
    assert 'need runs of <a href="#missing-vit">Vision transformers</a>, of which none' in question
    for name, item in CONTENTS.items():
        assert f"{item['title']}" in text, name
    mixed = text[text.index(">Optimizer, depth and norm</h2>") :]
    mixed = mixed[: mixed.index(">Over-fitting</h2>")]
    assert "Pre-norm against post-norm; Pre- and post-norm over" in mixed
    assert {link["href"] for link in Elements(text).all("a") if "#" in link["href"]} <= {
        f"#{attributes['id']}" for _, attributes in Elements(text).found if "id" in attributes
    }
    assert 'id="missing-vit"' in part
    assert 'id="missing"' not in page(a_run("lstm-a"), contents=CONTENTS)


def test_what_is_missing_beside_learned_embeddings_names_their_setting(page):
    missing = [{"family": "lstm", "experiments": ["lstm-x"], "command": "snakemake for lstm"}]
    learned = {"dataset": "wikitext2", "model.embedding": "learned"}
    said = "<code>embedding: learned</code> stands under"
    assert said in page(a_run("lstm-a", **learned), contents=CONTENTS, missing=missing)
    assert said not in page(a_run("lstm-a"), contents=CONTENTS, missing=missing)
    images = [{"family": "vit", "experiments": ["vit-x"], "command": "snakemake for vit"}]
    assert said not in page(a_run("lstm-a", **learned), contents=CONTENTS, missing=images)


def test_what_has_nothing_to_compare_says_so_with_the_way_to_more(page, tmp_path):
    """A figure of which there is no drawing, and a table without rows."""
    (tmp_path / "figures/norm.csv").write_text(f"{style.NOTHING_DRAWN}\nNo two runs.\n")
    (tmp_path / "figures/norm.txt").write_text("No two runs.\n")
    names = ("norm", "norm-stability")
    contents = {name: CONTENTS[name] for name in names}
    missing = [{"family": "vit", "experiments": ["vit-x"], "command": "snakemake for vit"}]
    text = page(a_run("vit-a"), contents=contents, missing=missing)
    for name, reason in zip(names, ("No two runs.", "No run of this study"), strict=True):
        section = text[text.index(f'<section id="{name}"') :]
        section = section[: section.index("</section>")]
        assert reason in section
        assert '<a href="#missing-vit">Vision transformers</a>' in section
        assert not re.search("<img|<table|<figure|download", section)
    assert "#missing" not in page(a_run("vit-a"), contents=contents)


def test_the_page_has_the_command_that_repeats_a_run(page):
    words = re.sub(r"\s+", " ", html.unescape(page(a_run("vit-a"))))
    names = "and run, with its names in place of EXPERIMENT and SEED,"
    assert f"{names} <code>{REPEATING}</code>. A commit" in words


def test_curves_come_as_data_once_for_each_family(page):
    text = page(*RUNS, contents=CONTENTS)
    blocks = re.findall(r'<script type="application/json" id="curves-(\w+)">(.*?)</script>', text)
    assert [family for family, _ in blocks] == ["lstm", "vit", "cnn"]
    assert [json.loads(data)["metrics"][0]["name"] for _, data in blocks] == [
        "perplexity", "accuracy", "accuracy",
    ]  # fmt: skip
    charts = [box for box in Elements(text).all("div") if box.get("class") == "chart"]
    assert {box["data-curves"] for box in charts} == {"curves-lstm", "curves-vit", "curves-cnn"}
    assert {box["data-axis"] for box in charts} == {"epochs", "seconds"}


def test_a_column_in_which_nothing_stands_is_left_out_of_the_page():
    table = report._table(pd.DataFrame({"a": ["x"], "b": [None], "c": [float("nan")]}))
    assert table["html"].count('<th scope="col"') == 1


@pytest.mark.parametrize(("height", "upright"), [("800pt", False), ("1000.5", True)])
def test_a_tall_figure_is_printed_on_an_upright_sheet(page, tmp_path, height, upright):
    drawing = (
        f'<?xml version="1.0"?>\n<svg width="1000pt" viewBox="0 0 9 9" height="{height}"></svg>'
    )
    (tmp_path / "figures/vit-curves-epochs.svg").write_text(drawing)
    text = page(a_run("vit-a"), contents={"vit-curves-epochs": CONTENTS["vit-curves-epochs"]})
    assert ('<section id="vit-curves-epochs" class="upright">' in text) == upright


def test_a_table_says_how_much_room_it_needs_in_print():
    narrow = report._table(pd.DataFrame({"a": ["x"], "b": [1]}))
    wide = report._table(pd.DataFrame({"two words": ["x" * 80], "b": ["y" * 500]}))
    assert narrow["characters"] == 3 + 3
    assert wide["characters"] == 82 + 42  # long text wraps, the name of a run does not
    assert not narrow["dense"]
    assert not wide["dense"]


def test_a_table_too_wide_to_be_read_in_print_wraps_wherever_it_can():
    numbers = {f"loss {n}": [1.2345] for n in range(20)}
    halves = {f"loss {n} ±": [0.1234] for n in range(20)}
    table = report._table(pd.DataFrame({"run": ["vit-6-adamw-50-epochs"]} | numbers | halves))
    assert table["dense"]
    assert table["characters"] == len("adamw-50-") + 2 + 20 * (len("0.123") + 2)


def test_a_table_by_itself_says_where_its_data_come_from():
    page = tables.to_page(pd.DataFrame({"a": [1]}), "Title", [("Heading", "digits: <small> data.")])
    assert page.index("Title</h1>") < page.index(
        "<p><strong>Heading.</strong> digits: &lt;small&gt; data.</p>"
    )
    assert "<p>" not in tables.to_page(pd.DataFrame({"a": [1]}), "Title")
