"""The page in a real browser: what a reader does with it."""

import json
import math
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe

from results import OTHER_MACHINE, a_run, curve, frames, sizes
from trainstudy import report

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"><text y="20">x</text></svg>'
EVIL = "vit-</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
OPTIMIZERS = ["adam", "adamw", "momentum", "adam"]
CLAIMS = {
    name: {"says": f"{one} learns better than {other}.", "reports": ["A"], "are": "greater"}
    | {"of": "validation_accuracy_best", "runs": [one], "than": [other]}
    for name, one, other in (("first", "vit-2", "vit-1"), ("second", "cnn-a", "vit-1"))
}
MISSING = [
    {"family": "cnn", "experiments": ["cnn-x"], "command": "snakemake --config 'select=[cnn]' " * 4}
]


def runs() -> list[dict]:
    digits = {"dataset": "digits", "data_origin": "embedded", "data_description": "small"}
    found = [
        a_run("lstm-a", seed, validation_perplexity_best=90.0 + seed, test_perplexity_best=95.0)
        for seed in (1, 2)
    ]
    for number, seconds in enumerate([0.5, 10.0, None, 9.5], 1):
        facts = {"validation_accuracy_best": 0.1 * number, "test_accuracy_best": 0.2}
        facts |= {"epochs": 50 if number == 4 else 3, "optimizer.name": OPTIMIZERS[number - 1]}
        facts |= {"gpu_shared": seconds is None, "seconds_training": seconds}
        found.append(a_run(f"vit-{number}", **digits, **facts))
    found[1]["versions"] = json.dumps({"torch": "2.11.0"})
    evil = {"optimizer.name": "sgd", "optimizer.lr": 0.1, "seconds_training": 3.0}
    return [*found, a_run(EVIL, **digits, **evil)]


def metrics(rows: list[dict]) -> list[dict]:
    found = []
    for number, run in enumerate(rows, 1):
        score = "perplexity" if run["family"] == "lstm" else "accuracy"
        scale = 100 if run["family"] == "lstm" else 0.1
        for split, shift in (("train", 0.0), ("validation", 0.05)):
            values = [scale * (number + epoch + shift) for epoch in range(3)]
            found += curve(run, split, score, *values)
            found += curve(run, split, "loss", 3.0, 2.0, 1.0)
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Write a report of a hand-made study: two seeds, an empty cell, a name full of malice."""
    rows = runs()
    return written(tmp_path_factory.mktemp("page"), rows, metrics(rows))


def written(folder: Path, rows: list[dict], scores: list[dict]) -> Path:
    for part in ("figures", "frames"):
        (folder / part).mkdir()
    for name in CONTENTS:
        for ending, text in (("svg", SVG), ("txt", f"What {name} shows."), ("csv", "x\n1\n")):
            (folder / "figures" / f"{name}.{ending}").write_text(text)
    results = frames(folder / "frames", rows, scores, claims=CLAIMS, **sizes(rows))
    page = folder / "report.html"
    sources = ROOT / "report"
    page.write_text(
        report.render(
            sources / "page",
            "tiny",
            CONTENTS,
            sources,
            folder / "figures",
            results,
            MISSING,
            None,
            8,
        )
    )
    return page


@pytest.fixture
def page(visit, file):
    return visit(file)


def chart(page, item: str = "vit-curves-epochs"):
    return page.locator(f"#{item} .chart")


def series(page) -> list[str]:
    return [g.get_attribute("data-run") for g in chart(page).locator(".plot .series").all()]


def column(page, name: str, item: str = "wall-clock") -> list[str]:
    table = page.locator(f"#{item} table")
    heads = table.locator("thead th").all_inner_texts()
    place = next(i for i, head in enumerate(heads, 1) if head.strip() == name)
    return table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()


# Tables


def test_numbers_sort_as_numbers_and_empty_cells_stay_last(page):
    name = "training s per epoch"
    head = page.locator("#wall-clock th", has_text=name)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, name) == ["0.5", "3.0", "9.5", "10.0", "–", "–"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, name) == ["10.0", "9.5", "3.0", "0.5", "–", "–"]


def test_a_table_sorts_by_keyboard_and_by_one_column_at_a_time(page):
    first, second = (
        page.locator("#wall-clock th", has_text=name) for name in ("experiment", "total s")
    )
    first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, "experiment") == ["lstm-a", EVIL, "vit-1", "vit-2", "vit-3", "vit-4"]
    page.keyboard.press(" ")
    assert column(page, "experiment") == ["vit-4", "vit-3", "vit-2", "vit-1", EVIL, "lstm-a"]
    second.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-sort") is None
    assert second.get_attribute("aria-sort") == "ascending"


def test_accuracies_sort_by_their_value(page):
    name = "validation accuracy, best epoch"
    page.locator("#cnn-against-vit th", has_text=name).get_by_role("button").click()
    texts = column(page, name, "cnn-against-vit")
    assert texts == ["10.00 %", "20.00 %", "30.00 %", "40.00 %", "–"]


# Curves


def test_a_run_is_taken_out_of_the_chart_and_put_back(page):
    button = chart(page).get_by_role("button", name="vit-2", exact=True)
    assert "vit-2" in series(page)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert series(page) == ["vit-1", "vit-3", EVIL]
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert series(page) == ["vit-1", "vit-2", "vit-3", EVIL]


def test_what_is_compared_is_shown_together(page):
    first = "optimizers (2 layers, 3 epochs)"
    assert "vit-4" not in series(page)  # its epochs are many more
    sets = {
        "the other runs": ["vit-4"],
        first: ["vit-1", "vit-2", "vit-3", EVIL],
        "none": [],
        "all": ["vit-1", "vit-2", "vit-3", "vit-4", EVIL],
    }
    for label, shown in sets.items():
        chart(page).get_by_role("button", name=label, exact=True).click()
        assert series(page) == shown
    chart(page).get_by_role("button", name="none", exact=True).click()
    assert "Nothing to show" in chart(page).locator(".plot").text_content()


def test_the_mouse_shows_run_epoch_and_value(page):
    tip = chart(page).locator(".tip")
    assert not tip.is_visible()
    mark = chart(page).locator('.series[data-run="vit-2"] .mark').nth(1)
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    assert tip.is_visible()
    lines = tip.locator("> *").all_inner_texts()
    assert lines == ["vit-2", "validation, epoch 2, 20.00 s", "accuracy 50.50 %"]
    page.mouse.move(0, 0)
    assert not tip.is_visible()


def test_what_a_finger_pointed_at_stays(visit, file):
    page = visit(file, has_touch=True)
    tip = chart(page).locator(".tip")
    for epoch in (2, 3):  # the second time the plot has the focus already
        mark = chart(page).locator('.series[data-run="vit-2"] .mark').nth(epoch - 1)
        mark.scroll_into_view_if_needed()
        mark.tap(force=True)
        assert tip.locator("> *").nth(1).inner_text().startswith(f"validation, epoch {epoch},")
        assert tip.is_visible()


def test_a_click_beside_all_curves_shows_nothing(page):
    plot = chart(page).locator(".plot")
    plot.scroll_into_view_if_needed()
    plot.click(position={"x": plot.bounding_box()["width"] / 3, "y": 20})
    assert not plot.locator(".tip").is_visible()


def test_a_logarithmic_axis_of_many_decades_can_be_read(visit, tmp_path):
    run = a_run("lstm-a")
    page = visit(written(tmp_path, [run], curve(run, "validation", "perplexity", 30, 1e4, 1e10)))
    plot = chart(page, "lstm-curves-epochs").locator(".plot")
    labels = plot.locator("text[text-anchor=end]")
    assert labels.all_text_contents() == ["100", "10,000", "1e+6", "1e+8", "1e+10"]
    assert all(label.bounding_box()["x"] > plot.bounding_box()["x"] for label in labels.all())


@pytest.mark.parametrize("width", [1280, 390])
def test_the_tip_covers_no_label_of_an_axis(visit, file, width):
    page = visit(file, viewport={"width": width, "height": 900})
    plot = chart(page).locator(".plot")
    plot.focus()
    for key in ("Home", "End"):
        page.keyboard.press(key)
        tip = plot.locator(".tip").bounding_box()
        for text in plot.locator("text").all():
            label = text.bounding_box()
            apart = (
                label["x"] + label["width"] <= tip["x"] or tip["x"] + tip["width"] <= label["x"]
                or label["y"] + label["height"] <= tip["y"]
                or tip["y"] + tip["height"] <= label["y"]
            )  # fmt: skip
            assert apart, text.text_content()


def test_a_set_of_all_runs_is_offered_once(page):
    sets = chart(page, "lstm-curves-epochs").locator(".sets button").all_inner_texts()
    assert sets == ["all", "none"]


def test_a_browser_without_light_and_dark_colours_shows_the_figure_drawn_beforehand(visit, file):
    page = visit(file, before="CSS.supports = () => false")
    section = page.locator("#vit-curves-epochs")
    assert section.locator(".drawn img").is_visible()
    assert section.locator("svg").count() == 0
    assert page.locator("#wall-clock th").get_by_role("button").count() > 0  # tables still sort


def test_on_dark_paper_a_curve_has_a_colour_of_its_own(visit, file):
    strokes = [
        chart(visit(file, color_scheme=scheme))
        .locator('.series[data-run="vit-2"] .line')
        .evaluate("line => getComputedStyle(line).stroke")
        for scheme in ("light", "dark")
    ]
    vermilion = (213, 94, 0)
    lighter = tuple(round(part + (255 - part) * 0.2) for part in vermilion)
    assert strokes == [f"rgb{vermilion}", f"rgb{lighter}"]


def test_the_keyboard_walks_along_the_curves_and_is_told_what_it_finds(page):
    plot, tip = chart(page).locator(".plot"), chart(page).locator(".tip")
    spoken = chart(page).get_by_role("status")
    plot.focus()
    assert tip.locator("> *").all_inner_texts()[:2] == ["vit-1", "validation, epoch 1, 10.00 s"]
    page.keyboard.press("ArrowRight")
    assert spoken.inner_text() == "vit-1, validation, epoch 2, 20.00 s, accuracy 40.50 %"
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    assert spoken.inner_text() == "vit-2, validation, epoch 3, 30.00 s, accuracy 60.50 %"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert spoken.inner_text().startswith(f"{EVIL}, validation, epoch 3")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    chart(page).get_by_role("button", name="none", exact=True).click()
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert spoken.inner_text() == "Nothing to show: choose runs and a split."
    assert not tip.is_visible()


def test_seeds_are_told_apart_in_words(page):
    plot = chart(page, "lstm-curves-epochs").locator(".plot")
    plot.focus()
    lines = plot.locator(".tip > *").all_inner_texts()
    assert lines[2:] == ["perplexity 155.0", "mean of 2 seeds, 105.0 to 205.0"]
    assert plot.locator(".range").count() == 1


@pytest.fixture
def compared(visit, tmp_path):
    """A comparison on one machine, of which most runs of the family were not made."""
    one, other = (a_run(f"vit-{name}", 1, **{"optimizer.name": name}) for name in ("adam", "sgd"))
    there = {"machine": OTHER_MACHINE}
    deep = [a_run(f"vit-{n}", epochs=9, **{"model.depth": n}, **there) for n in (4, 6)]
    rows = [one, other, one | there | {"seed": 2}, *deep]
    scores = [
        row | {"seconds": row["seconds"] / (1 if "Abacus" in run["machine"] else 10)}
        for run in rows
        for row in curve(run, "validation", "accuracy", 0.1, 0.2, 0.3)
        + curve(run, "validation", "loss", 3.0, math.inf if run is other else 2.0, 1.0)
    ]
    return visit(written(tmp_path, rows, scores))


def test_runs_that_are_compared_have_their_seconds_of_one_machine(compared):
    box = chart(compared, "vit-curves-seconds")
    plot, tip = box.locator(".plot"), box.locator(".tip > *")
    plot.focus()
    assert tip.all_inner_texts()[:2] == ["vit-adam", "validation, epoch 1, 10.00 s"]
    assert "on Abacus 9, 2 cores, 1 thread" in tip.all_inner_texts()
    box.get_by_role("button", name="all", exact=True).click()
    plot.focus()
    compared.keyboard.press("Home")
    assert tip.all_inner_texts()[1] == "validation, epoch 1, 1.000 s"
    assert "on Babbage 1, 8 cores, 1 thread" in tip.all_inner_texts()


def test_no_line_is_drawn_across_an_epoch_without_a_finite_value(compared):
    box = chart(compared)
    box.get_by_role("button", name="loss", exact=True).click()
    lines = {
        name: box.locator(f'.series[data-run="{name}"] .line').count()
        for name in ("vit-adam", "vit-sgd")
    }
    assert lines == {"vit-adam": 1, "vit-sgd": 2}


def test_chosen_runs_without_seconds_are_not_asked_for_again(page):
    box = chart(page, "vit-curves-seconds")
    box.get_by_role("button", name="none", exact=True).click()
    box.get_by_role("button", name="vit-3", exact=True).click()  # it shared its GPU
    said = "Nothing to show: the chosen runs have no seconds that count, or no finite values."
    assert box.locator(".plot text").all_text_contents() == [said]


def test_split_score_and_axis_can_be_chosen(page):
    def texts() -> str:
        return " ".join(chart(page).locator(".plot text").all_text_contents())

    def classes() -> set[str]:
        return {group.get_attribute("class") for group in chart(page).locator(".series").all()}

    def choose(name: str) -> None:
        chart(page).get_by_role("button", name=name, exact=True).click()

    assert "epoch" in texts()
    assert "accuracy" in texts()
    assert classes() == {"series validation"}
    choose("training (dashed)")
    assert classes() == {"series train", "series validation"}
    choose("validation (solid)")
    assert classes() == {"series train"}
    assert "vit-3" in series(page)
    choose("over seconds")
    assert "seconds since training began" in texts()
    assert {*series(page)} == {"vit-1", "vit-2", EVIL}  # vit-3 shared its GPU
    choose("loss")
    assert "loss (nat)" in texts()
    assert chart(page, "vit-curves-seconds").locator(
        "button[aria-pressed=true]", has_text="over seconds"
    ).is_visible()  # fmt: skip


# The scheme, sizes, paper, and no JavaScript


def test_the_scheme_follows_the_system_and_the_button(visit, file):
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = (visit(file, color_scheme=scheme) for scheme in ("light", "dark"))
    white, black = light.evaluate(paper), dark.evaluate(paper)
    assert white == "rgb(255, 255, 255)"
    assert max(map(int, black.removeprefix("rgb(").removesuffix(")").split(","))) < 64
    light.get_by_role("button", name="Dark scheme").click()
    assert light.evaluate(paper) == black
    light.get_by_role("button", name="Light scheme").click()
    assert light.evaluate(paper) == white
    dark.get_by_role("button", name="Light scheme").click()
    assert dark.evaluate(paper) == white


@pytest.mark.parametrize("width", [1280, 390])
def test_the_name_of_a_row_stays_in_sight(visit, file, width):
    page = visit(file, viewport={"width": width, "height": 800})
    box = page.locator("#vit-results .wide")
    name = box.locator("tbody tr").first.locator("th")
    before = name.bounding_box()
    box.evaluate("b => b.scrollLeft = 200")
    assert name.bounding_box()["x"] == before["x"]
    assert before["width"] < width / 2


def test_beside_a_long_statement_its_verdict_is_in_sight(visit, file):
    page = visit(file, viewport={"width": 1280, "height": 800})
    row = page.locator("#claims tbody tr").first
    row.locator("th").evaluate("cell => cell.textContent = 'statement '.repeat(30)")
    verdict = row.locator("td[data-verdict]").bounding_box()
    assert verdict["x"] + verdict["width"] < 1280


def test_on_a_phone_no_row_is_as_high_as_the_screen(visit, file):
    page = visit(file, viewport={"width": 390, "height": 800})
    for row in page.locator(".provenance tbody tr").all():
        assert row.bounding_box()["height"] < 400


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(visit, file, width, javascript):
    page = visit(file, viewport={"width": width, "height": 800}, java_script_enabled=javascript)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(wide) <= width
    for item in ("vit-results", "optimizers"):  # what is wider scrolls by itself
        box = page.locator(f"#{item} .wide")
        assert box.evaluate("b => b.scrollWidth > b.clientWidth") or width > 390, item
        box.focus()
        assert box.evaluate("b => b === document.activeElement")


def test_without_javascript_figures_and_tables_are_there(visit, file):
    page = visit(file, java_script_enabled=False)
    for item, facts in CONTENTS.items():
        if {"lstm", "vit"} & {*facts["families"]}:
            inside = "figure img" if facts["kind"] == "figure" else "table"
            # No two runs of this study differ in their norm, none takes a minute, and no report has
            # figures of them.
            if item in ("norm-stability", "equal-time") or item.endswith("-against-reports"):
                inside = ".missing"
            assert page.locator(f"#{item} {inside}").is_visible(), item
    assert not chart(page).is_visible()
    assert not page.get_by_role("button").count()


def test_with_javascript_a_chart_stands_for_the_drawn_curves(page):
    assert chart(page).is_visible()
    assert not page.locator("#vit-curves-epochs img").is_visible()


def test_on_paper_tables_fit_and_figures_are_the_drawn_ones(visit, file):
    page = visit(file, viewport={"width": 1031, "height": 700}, color_scheme="dark")  # 273 mm
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1031
    for table in page.locator("table").all():
        assert table.evaluate("t => t.getBoundingClientRect().right") <= 1031
    assert page.locator("#vit-curves-epochs img").is_visible()
    assert not chart(page).is_visible()
    assert page.locator("details.banner p").is_visible()  # folded on screen
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    # Chromium repeats a heading on the next sheet only if no box of a button is in it.
    assert (
        page.locator("th button").first.evaluate("b => getComputedStyle(b).display") == "contents"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


# What it says, to everybody


def test_every_figure_has_a_text_alternative(page):
    for image in page.locator("img").all():
        name = image.evaluate("i => i.closest('section').id")
        assert image.get_attribute("alt") == f"{CONTENTS[name]['title']}, described below."
    for caption in page.locator("figcaption").all():
        name = caption.evaluate("c => c.closest('section').id")
        assert caption.inner_text() == f"What {name} shows."
        assert caption.is_visible()  # of charts and of drawings
    for plot in page.locator(".plot").all():
        title = plot.evaluate("p => p.closest('section').querySelector('h3').textContent")
        assert plot.get_attribute("aria-label").startswith(title)


def test_names_stay_text_wherever_they_appear(page):
    assert page.title() == "trainstudy: tiny"
    assert page.locator("script").count() == 2 + 2  # two scripts, two families of curves
    assert page.locator("img").evaluate_all("all => all.every(i => i.src.startsWith('data:'))")
    assert chart(page).get_by_role("button", name=EVIL, exact=True).is_visible()


def test_banners_and_what_is_missing_are_seen(page):
    assert page.get_by_text("Not the published data.").is_visible()
    several = page.get_by_text("The runs were made with torch 2.0 and 2.11.0")
    assert not several.is_visible()
    page.get_by_text("Several releases of torch", exact=True).click()
    assert several.is_visible()
    assert page.locator("#missing").get_by_text("snakemake --config 'select=[cnn]'").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, file, scheme):
    page = visit(file, color_scheme=scheme)
    chart(page).get_by_role("button", name="vit-2", exact=True).click()
    chart(page).locator(".plot").focus()
    found = Axe().run(page).response["violations"]
    assert [(rule["impact"], rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
