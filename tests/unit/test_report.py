"""The report: one page, complete in itself, that says where its numbers come from."""

import base64
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from results import a_run, frames
from trainstudy import report

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
CAPTIONS = ROOT / "report"
NOTHING: dict = {}  # no item: most of the time goes into captions
RUNS = [a_run("lstm-a"), a_run("vit-a"), a_run("cnn-a")]
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>{}</text></svg>'


@pytest.fixture
def page(tmp_path):
    """Render the report of some runs, with the items that a test is about."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "frames").mkdir()
    for name, item in CONTENTS.items():
        if item["kind"] == "figure":
            (tmp_path / "figures" / f"{name}.svg").write_text(SVG.format(name))
            (tmp_path / "figures" / f"{name}.txt").write_text(f"What {name} shows.\n")

    def render(*runs: dict, contents: dict = NOTHING, study: str = "tiny") -> str:
        inputs = frames(tmp_path / "frames", list(runs))
        template, missing = CAPTIONS / "report.html.j2", {"experiments": [], "command": ""}
        return report.render(
            template, study, contents, CAPTIONS, tmp_path / "figures", inputs, missing
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
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
    assert "@import" not in text
    assert "url(" not in text
    assert re.findall(r"https?://", text) == []


def test_every_link_of_the_page_leads_somewhere(page):
    elements = Elements(page(*RUNS, contents=CONTENTS))
    places = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    targets = {attributes["href"].removeprefix("#") for attributes in elements.all("a")}
    assert targets == {*CONTENTS, "provenance"}
    assert targets <= places


def test_figures_lie_inside_the_page_and_have_a_text_beside_them(page):
    images = Elements(page(*RUNS, contents=CONTENTS)).all("img")
    named = [name for name, item in CONTENTS.items() if item["kind"] == "figure"]
    assert [image["alt"] for image in images] == [f"What {name} shows." for name in named]
    for image, name in zip(images, named, strict=True):
        kind, content = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(content).decode() == SVG.format(name)


def test_items_stand_in_the_order_of_the_contents(page):
    elements = Elements(page(*RUNS, contents=CONTENTS))
    titles = [title for title in elements.texts["h3"] if title]
    assert titles[: len(CONTENTS)] == [item["title"] for item in CONTENTS.values()]
    categories = list(dict.fromkeys(item["category"] for item in CONTENTS.values()))
    assert [t for t in elements.texts["h2"] if t] == [*categories, "Where the numbers come from"]


def test_an_item_holds_its_caption_and_its_table(page):
    contents = {"vit-results": CONTENTS["vit-results"]}
    text = page(a_run("vit-a", validation_accuracy_last=0.6125), contents=contents)
    section = text[text.index('<section id="vit-results">') : text.index("</section>")]
    assert CONTENTS["vit-results"]["title"] in section
    assert "<em>published estimator</em>" in section  # the caption, as HTML
    assert "<td>vit-a</td>" in section
    assert "61.25 %" in section
    assert '<section id="memory">' not in text


def test_the_page_says_how_many_runs_there_are_and_which_diverged(page):
    assert "3 runs." in page(*RUNS)
    text = page(*RUNS, a_run("vit-z", status="diverged"), a_run("vit-b", status="diverged"))
    assert "5 runs; diverged: vit-b, vit-z." in text
    assert "diverged" not in page(*RUNS)


def test_the_page_names_its_study(page):
    text = page(*RUNS, study="demo")
    assert "<title>trainstudy: demo</title>" in text
    assert "<h1>trainstudy: demo</h1>" in text


# Banners


def banners(text: str) -> list[str]:
    return re.findall(r'<div class="banner" role="note">(.*?)</div>', text)


def test_original_data_need_no_banner(page):
    assert banners(page(*RUNS)) == []


def test_embedded_data_are_announced_once(page):
    facts = {"dataset": "digits", "data_origin": "embedded", "data_description": "small digits"}
    (banner,) = banners(page(a_run("lstm-a"), a_run("vit-a", **facts), a_run("cnn-a", **facts)))
    assert "digits: small data that ship inside software packages" in banner
    assert "not those of the published study" in banner
    assert "(small digits)" in banner


def test_mirrored_data_are_announced(page):
    (banner,) = banners(page(a_run("lstm-a"), a_run("vit-a", data_origin="mirrored")))
    assert "cifar10: a mirror that differs from the published originals" in banner
    assert "not exactly comparable" in banner


def test_an_embedding_that_was_learned_instead_is_announced(page):
    learned = {"model.embedding": "learned"}
    runs = [a_run("lstm-b", **learned), a_run("lstm-a", **learned), a_run("lstm-c")]
    (banner,) = banners(page(*runs))
    assert "learned embedding where the reports used GPT-1&#39;s, frozen: lstm-a, lstm-b." in banner
    own = a_run("lstm-a", dataset="pydocs", **learned)  # no report used pydocs
    assert banners(page(own)) == []


def test_each_kind_of_data_has_a_banner(page):
    runs = [
        a_run("lstm-a", data_origin="mirrored", **{"model.embedding": "learned"}),
        a_run("vit-a", dataset="digits", data_origin="embedded"),
    ]
    assert len(banners(page(*runs))) == 3


# Where the numbers come from


def provenance(text: str) -> str:
    return html.unescape(text[text.index('id="provenance"') :])


def test_the_page_names_code_machine_releases_and_data(page):
    text = provenance(page(*RUNS))
    for fact in (
        "0123456789ab",
        "c0ffee" + "0" * 58,
        "processor Abacus 9, cores 2, system Linux",
        "python 3.11.7, torch 2.0",
        "the real thing",
        "original",
    ):
        assert fact in text


def test_runs_of_one_machine_share_a_line_and_others_have_their_own(page):
    text = provenance(page(*RUNS, a_run("vit-b", device="Fast GPU", driver="535.1")))
    lines = text[: text.index("Data (SHA-256")].split("<tr>")[2:]
    assert len(lines) == 2
    assert ["Fast GPU" in line for line in lines].count(True) == 1
    assert '<td class="number" data-value="3.0">3</td>' in "".join(lines)
    assert "535.1" in "".join(lines)


def test_every_prepared_file_has_one_line_with_its_checksum(page):
    text = provenance(page(*RUNS, a_run("vit-b"), a_run("vit-c", data_sha256="d" * 64)))
    table = text[text.index("Data (SHA-256") : text.index("Settings of every run")]
    # cifar10 was prepared twice, with different results.
    assert re.findall("<tr><td>(.*?)</td>", table) == ["wikitext2", "cifar10", "cifar10"]
    assert table.count("d" * 64) == 1


def test_without_git_the_commit_is_a_dash(page):
    text = provenance(page(a_run("vit-a", commit=None)))
    assert "<td>–</td>" in text


def test_the_settings_of_every_run_are_there(page):
    text = provenance(
        page(
            a_run("vit-a", 1),
            a_run("vit-a", 2, **{"optimizer.lr": 0.00012345678}, batch_size=1_234_567),
            a_run("lstm-a", status="diverged"),
            a_run("cnn-a"),
        )
    )
    lines = text[text.index("Settings of every run") :].split("<tr>")[2:]
    assert len(lines) == 4
    one, two, words, network = lines
    assert "model.depth 2, model.norm pre" in one
    assert "augmentation.crop_scale [0.8, 1.0]" in one
    assert "optimizer.name adamw, optimizer.lr 0.001" in one
    assert "model.layers" not in one
    assert "optimizer.lr 0.00012345678" in two  # every digit
    assert "batch_size 1234567" in two
    assert "diverged" in words
    assert "sequence_length 256" in words
    assert "schedule.milestones [100.0, 150.0]" in network
    assert "2026-01-02T03:04:05+00:00" in network


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
    assert "<script" not in text
    assert html.escape(evil) in text


def test_titles_and_figures_are_escaped(page, tmp_path):
    evil = '"><script>alert(1)</script>'
    contents = {
        name: CONTENTS[name] | {"title": evil, "category": evil}
        for name in ("vit-results", "vit-curves-epochs")
    }
    (tmp_path / "figures/vit-curves-epochs.txt").write_text(evil)
    text = page(*RUNS, contents=contents)
    assert "<script" not in text
    assert [image["alt"] for image in Elements(text).all("img")] == [evil]


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
        assert item["kind"] in ("table", "figure")
        assert set(item["families"]) <= {"lstm", "vit", "cnn"}
        assert item["families"]
        assert item["title"]
        assert item["category"]
        assert item["labels"]


def test_a_study_of_one_family_has_a_report_of_its_items(page):
    own = {name: item for name, item in CONTENTS.items() if "cnn" in item["families"]}
    text = page(a_run("cnn-a"), contents=own)
    assert Elements(text).all("section") == [{"id": name} for name in own]
