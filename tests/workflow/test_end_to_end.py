"""The whole pipeline on tiny data: outputs, reports, failures a user meets."""

import hashlib
import html
import io
import re
import shlex
import shutil
import zipfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from mirrors import mirror_of

from trainstudy import arrays, records, trained


def test_parquet_files_hold_every_run_and_obey_their_schemas(finished):
    metrics = pq.read_table(finished.result("metrics.parquet"))
    runs = pq.read_table(finished.result("runs.parquet"))
    assert metrics.schema.equals(records.METRICS)
    assert runs.schema.equals(records.RUNS)
    assert sorted(runs["experiment"].to_pylist()) == ["cnn-a", "lstm-a", "lstm-b", "vit-a", "vit-b"]
    rows = metrics.to_pandas()
    found = rows.groupby("experiment").split.unique().map(sorted)
    assert (found.map(tuple) == ("test", "train", "validation")).all()


def test_the_end_of_the_output_says_where_the_time_went(finished):
    summary = finished.first_output.split("Where the jobs' time went")[1]
    jobs = {line.split()[0]: line.split()[1] for line in summary.splitlines()[1:] if " job" in line}
    assert jobs == {
        "train": "5", "prepare": "2", "size_models": "1", "aggregate": "1",
        "make_tables": "1", "plot_figures": "1", "write_report": "1",
    }  # fmt: skip
    assert re.search(r"\(train: [0-9.]+ s in epochs", summary)
    assert "The report: results/tiny/report.html" in summary


def test_every_rule_leaves_a_log_with_its_progress(finished):
    log = finished.result("logs/train/vit-a/42.log").read_text()
    assert re.search(r"epoch 1/1 .* validation loss .* images/s .* left", log)
    assert "digits (embedded)" in log


def test_figures_tables_and_report_exist_and_name_the_embedded_data(finished):
    for name in ("lstm-curves-epochs", "vit-curves-seconds", "optimizers", "memory-by-depth"):
        assert len(pd.read_csv(finished.result(f"figures/{name}.csv"))) >= 1
        assert finished.result(f"figures/{name}.svg").read_text().startswith("<?xml")
        assert finished.result(f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    page = finished.result("report.html").read_text()
    (note,) = re.findall(r'<div class="banner" role="note">.*?</div>', page, re.S)
    assert re.findall(r"<li>(\w+): small data that ship", note) == ["digits", "pydocs"]
    for title in ("Language models over epochs", "Memory", "Where the numbers come from"):
        assert title in page
    for name, dataset in (("vit-results", "digits"), ("lstm-results", "pydocs")):
        table = finished.result(f"tables/{name}.html").read_text()
        assert re.findall(r"(\w+): small data that ship", table) == [dataset]


def test_snakemake_report_holds_items_captions_and_labels(finished):
    finished.snakemake("--report", "study.zip")
    with zipfile.ZipFile(finished.folder / "study.zip") as archive:
        names = {name.rsplit("/", 1)[1] for name in archive.namelist()}
    assert {"report.html", "vit-curves-epochs.svg", "wall-clock.html"} <= names
    with zipfile.ZipFile(finished.folder / "study.zip") as archive:
        (table,) = (name for name in archive.namelist() if name.endswith("/wall-clock.html"))
        assert "its numbers are not those of the published study" in archive.read(table).decode()


def test_every_category_of_snakemakes_report_opens(finished, browser):
    finished.snakemake("--report", "study.html")
    file = finished.folder / "study.html"
    text = file.read_text()
    assert "What each measure includes is in its heading." in text
    assert "lstm-sgd-fastest" not in re.sub(r"data:[^\"]*", "", text)  # a claim is no parameter
    contents = yaml.safe_load((finished.folder / "report/contents.yaml").read_text())["items"]
    page, wrong = browser.new_page(), []
    page.set_default_timeout(180_000)  # milliseconds, as of the pages that `visit` opens
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for category in {item["category"] for item in contents.values()}:
        page.goto(file.as_uri())
        page.get_by_text(category, exact=True).first.click()
        items = [item for item in contents.values() if item["category"] == category]
        for item in items:
            label = item["labels"]["item"]
            page.locator("td", has_text=label).first.wait_for()
    page.close()
    assert wrong == []


def test_the_report_opens_in_a_browser_without_fault(finished, visit):
    page = visit(finished.result("report.html"))
    assert page.locator("#lstm-curves-epochs .series").count() == 2
    page.locator("#wall-clock th button").first.click()
    assert page.locator("#wall-clock th[aria-sort]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    for caption in page.locator("figcaption").all():
        assert len(caption.inner_text()) > 20
    assert Axe().run(page).response["violations"] == []
    assert finished.result("report.html").stat().st_size < 3_000_000


def test_a_part_of_the_study_has_a_report_and_the_command_for_the_rest(finished):
    finished.config["select"] = ["lstm-a", "lstm-b"]
    finished.write_config()
    shutil.rmtree(finished.result("runs/cnn-a"))
    assert "train" not in finished.run()
    page = finished.result("report.html").read_text()
    assert "2 of 5 declared experiments" in page
    assert 'id="lstm-results"' in page
    assert 'id="vit-results"' not in page
    left = {file.stem for part in ("figures", "tables") for file in finished.result(part).iterdir()}
    assert not left & {"vit-curves-epochs", "vit-results"}  # which would look current
    assert {"lstm-curves-epochs", "lstm-results", "claims"} <= left
    commands = [html.unescape(c) for c in re.findall("<pre><code>(snakemake .*?)</code>", page)]
    selected = [re.search(r"select=\[(.*?)\]", command)[1] for command in commands]
    assert selected == ["cnn,lstm-a,lstm-b", "core", "cnn,core"]  # cnn, vit, everything
    everything = shlex.split(commands[-1])[1:]
    assert finished.stale(*everything)["train"] == 1


@pytest.mark.parametrize(
    ("seeds", "threads"), [([42], 2), pytest.param([42, 43], 1, marks=pytest.mark.slow)]
)
def test_runs_divide_the_cores_among_them(finished, seeds, threads):
    finished.config |= {"select": ["vit-a"], "seeds": seeds, "threads": "auto"}
    finished.write_config()
    row = finished.result("runs/vit-a/42/run.parquet")
    row.unlink()
    finished.result("report.html").unlink()
    output = finished.snakemake("--cores", "2", str(row.relative_to(finished.folder)))
    assert "The report:" not in output  # there is none yet
    assert pq.read_table(row)["threads"].to_pylist() == [threads]


def test_threads_that_snakemake_cuts_are_said_but_not_in_a_dry_run(finished):
    finished.config |= {"select": ["vit-a"], "threads": 2}
    finished.write_config()
    row = finished.result("runs/vit-a/42/run.parquet")
    row.unlink()
    target, said = str(row.relative_to(finished.folder)), "threads: 2 is more than --cores 1"
    assert said not in finished.snakemake("--dry-run", target)
    assert said not in finished.snakemake("--dry-run", "--cores", "2", target)
    assert said in finished.snakemake("--cores", "1", target)
    assert pq.read_table(row)["threads"].to_pylist() == [1]


def test_a_diverged_run_is_a_row_and_not_a_dead_pipeline(finished):
    finished.config["experiments"] = {
        "vit-wild": {"base": "vit", "optimizer": {"name": "sgd", "lr": 1.0e15}},
        "vit-tame": {"base": "vit"},
    }
    finished.config["select"] = ["core"]
    finished.write_config()
    finished.run("results/tiny/tables/vit-results.html")
    runs = pd.read_parquet(finished.result("runs.parquet")).set_index("experiment")
    assert dict(runs.status) == {"vit-tame": "finished", "vit-wild": "diverged"}
    step = int(runs.diverged_step["vit-wild"])
    log = finished.result("logs/train/vit-wild/42.log").read_text()
    assert f"the loss is not finite at step {step}" in log
    assert "1 diverged" in finished.result("tables/vit-results.html").read_text()


def test_a_bad_configuration_stops_before_any_job_with_one_screen_and_no_traceback(fresh):
    fresh.config["experiments"]["vit-a"]["lrr"] = 1
    fresh.config["bases"]["lstm"]["optimizer"]["lr"] = "1e-3"
    fresh.write_config()
    output = fresh.snakemake("--cores", "1", check=False)
    assert "Traceback" not in output
    assert re.search(r"config.yaml, line \d+, experiments.vit-a.lrr: unknown key", output)
    assert "Write 1.0e-3" in output
    assert len(output.splitlines()) < 25
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "data").exists()


def test_a_command_line_override_is_named_in_the_message(fresh):
    output = fresh.snakemake("--dry-run", "--config", "threads=zero", check=False)
    assert "command line" in output
    assert "threads" in output


def test_a_run_that_is_not_selected_is_named_with_the_key(fresh):
    target = "results/tiny/runs/vit-a/42/run.parquet"
    output = fresh.snakemake("--dry-run", target, "--config", "select=[cnn]", check=False)
    assert "vit-a is not among the experiments that `select` names; add it or its group" in output
    target = "results/tiny/runs/vit-aa/42/run.parquet"
    output = fresh.snakemake("--dry-run", target, check=False)
    assert "there is no experiment 'vit-aa'. Did you mean 'vit-a'?" in output
    target = f"results/tiny/runs/vit-a/{2**32}/run.parquet"
    output = fresh.snakemake("--dry-run", target, check=False)
    assert "seed 4294967296 is too large; 4294967295 is the largest" in output
    target = "results/tiny/runs/vit-a/042/run.parquet"  # another folder for seed 42
    assert "No rule to produce" in fresh.snakemake("--dry-run", target, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workflow-profile", "slurmm"], "there is no profile 'slurmm'. Did you mean 'slurm'?"),
        (["--workflow-profile=profiles/none"], "there is no profile 'profiles/none'. Possible: "),
    ],
)
def test_what_snakemake_would_pass_over_is_refused(fresh, arguments, said):
    output = fresh.snakemake("--cores", "1", "--dry-run", *arguments, check=False)
    assert said in output


def test_no_core_is_refused_instead_of_waiting_for_one(fresh):
    output = fresh.snakemake("--cores", "0", check=False)
    assert "--cores 0: no job could start" in output


def test_another_folder_than_the_projects_is_named(fresh, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    options = ("--directory", "elsewhere", "--configfile", "config.yaml")
    output = fresh.snakemake("--dry-run", *options, check=False)
    assert (
        f"there is no config.yaml in {tmp_path}/elsewhere: run Snakemake in the project's" in output
    )


def test_seeds_may_stand_on_the_command_line(fresh):
    one = fresh.stale("--config", "seeds=[7,8]", "select=[vit-a]")
    assert one["train"] == 2
    output = fresh.snakemake("--dry-run", "--config", "seeds=[7,x]", check=False)
    assert "command line (--config), seeds.1: 'x' is no whole number." in output


def test_a_failing_training_job_leaves_its_reason_in_its_log(finished):
    with (finished.folder / "src/trainstudy/trainer.py").open("a") as trainer:
        trainer.write("\n\ndef fit(*_):\n    raise RuntimeError('the reason')\n")
    row = finished.result("runs/vit-a/42/run.parquet").relative_to(finished.folder)
    output = finished.snakemake("--cores", "1", str(row), check=False)
    assert "the reason" in output
    assert "RuntimeError: the reason" in finished.result("logs/train/vit-a/42.log").read_text()


def test_a_mirror_with_a_wrong_checksum_stops_and_sets_the_file_aside(fresh, tmp_path):
    path = "gpt1/vocab_40000.bpe"
    mirror = tmp_path / "mirror"
    (mirror / "gpt1").mkdir(parents=True)
    (mirror / path).write_text("#version: 0.2\nnot the merges\n")
    wrong = hashlib.sha256(b"something else").hexdigest()
    (mirror / "SHA256SUMS").write_text(f"{wrong}  {path}\n")
    fresh.config["mirror"] = str(mirror)
    fresh.write_config()
    output = fresh.snakemake("--cores", "1", f"data/downloads/{path}", check=False)
    assert wrong in output
    assert hashlib.sha256((mirror / path).read_bytes()).hexdigest() in output
    folder = fresh.folder / "data/downloads/gpt1"
    assert not (folder / "vocab_40000.bpe").exists()
    assert (folder / "vocab_40000.bpe.rejected").exists()


FIVE_WORDS = """
KIND, TOKENIZER, VOCABULARY, EXAMPLES = "text", "gpt1", 5, 200
EMBEDDED, ORIGIN, SOURCES = True, "five words in a circle", {}


def prepare(sources):
    import numpy as np

    tokens = (np.arange(200) % 5 + 1).astype(np.uint16)
    splits = ("train", "validation", "test")
    counts = dict.fromkeys(splits, 400)
    return {f"{split}.tokens": tokens for split in splits}, {"vocabulary": 6, "bytes": counts}


def load(file):
    from trainstudy import arrays

    return arrays.load(file)
"""


def test_gpt1s_embedding_comes_out_of_the_pipeline_and_stays_frozen(fresh, tmp_path):
    """Of weights like the published ones, but for five words."""
    code = fresh.folder / "src/trainstudy/gpt1.py"
    sizes = "VOCABULARY, SIZE, POSITIONS = 40_478, 768, 512"
    assert sizes in code.read_text()
    code.write_text(code.read_text().replace(sizes, "VOCABULARY, SIZE, POSITIONS = 5, 768, 2"))
    parts = {}
    for index, part in enumerate(np.split(np.arange(6_000, dtype=np.float32), [4, 12])):
        np.save(stored := io.BytesIO(), part)
        parts[f"gpt1/params_{index}.npy"] = stored.getvalue()
    fresh.config["mirror"] = str(mirror_of(tmp_path / "mirror", parts))
    fresh.write_config()
    prepared = "data/prepared/embedding/gpt1.safetensors"
    assert fresh.run(prepared) == {"fetch": 3, "prepare_embedding": 1}
    table = arrays.load(fresh.folder / prepared).arrays["embedding"]
    assert table.tolist() == [[0] * 768, *np.arange(1_536, 5_376).reshape(5, 768).tolist()]
    (fresh.folder / "src/trainstudy/data/five.py").write_text(FIVE_WORDS)
    lstm = fresh.config["bases"]["lstm"]
    lstm |= {"dataset": "five", "sequence_length": 8}
    lstm["model"] |= {"embedding": "gpt1", "embedding_size": 768}
    fresh.write_config()
    done = "runs/lstm-a/42/run.parquet"
    assert fresh.run(f"results/tiny/{done}") == {"prepare": 1, "train": 1}
    run = pd.read_parquet(fresh.result(done)).iloc[0]
    assert run["model.embedding"] == "gpt1"
    assert run.parameters_total - run.parameters_trained == table.size
    model = trained.load(fresh.result("runs/lstm-a/42"), fresh.folder / "data/prepared")
    assert model.table.tolist() == table.tolist()
    assert arrays.read_manifest(fresh.folder / "data/prepared/embedding/gpt1.json")["origin"] == (
        "mirrored"
    )


def test_the_published_tokens_come_out_of_the_pipeline(fresh, mirror):
    fresh.config["mirror"] = str(mirror)
    fresh.write_config()
    counts = fresh.run("data/prepared/wikitext2.json")
    assert counts == {"fetch": 5, "prepare": 1}
    manifest = pd.read_json(fresh.folder / "data/prepared/wikitext2.json", typ="series")
    assert manifest.shapes == {
        "train.tokens": [2_356_376],
        "validation.tokens": [245_046],
        "test.tokens": [279_023],
    }
    assert manifest.origin == "mirrored"


@pytest.mark.slow
def test_clean_runs_with_one_and_two_cores_agree_in_everything_but_time(fresh, finished):
    """`finished` ran with two cores; the study is the demo's, smaller, with threads as it has."""
    fresh.config["threads"] = 1  # what auto gives five runs on two cores
    fresh.write_config()
    fresh.snakemake("--cores", "1")
    first, second = (
        pd.read_parquet(study.result("metrics.parquet")).query("metric != 'seconds'")
        for study in (fresh, finished)
    )
    pd.testing.assert_frame_equal(
        first.drop(columns="seconds"), second.drop(columns="seconds"), check_exact=True
    )
    for name in fresh.config["experiments"]:
        weights = f"runs/{name}/42/weights.safetensors"
        assert fresh.result(weights).read_bytes() == finished.result(weights).read_bytes()
        threads = f"runs/{name}/42/run.parquet"
        assert pq.read_table(finished.result(threads))["threads"].to_pylist() == [1]


def test_the_deterministic_mode_trains_every_family_and_is_recorded(finished):
    finished.config["select"] = ["cnn-a", "lstm-a", "vit-a"]
    finished.write_config()
    gathered = "results/tiny/runs.parquet"
    counts = finished.run(gathered, "--config", "deterministic=True")
    assert counts == {"train": 3, "aggregate": 1}
    runs = pd.read_parquet(finished.folder / gathered)
    assert list(runs.deterministic) == [True] * 3
    assert set(runs.status) == {"finished"}


@pytest.mark.slow
def test_the_live_view_shows_the_rules_that_run(finished):
    finished.result("report.html").unlink()
    output = finished.snakemake("--cores", "1", "--logger", "rich")
    assert re.search(r"write_report.*100%", output)
    assert finished.result("report.html").exists()
