"""Faults that a user meets, through real Snakemake and real make; docs/faults.md lists them all."""

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from mirrors import mirror_of

import mutations
from trainstudy import config, yamlfiles
from trainstudy.data import cifar10

ROOT = Path(__file__).parents[2]


def refused(study, *arguments: str) -> str:
    """Return what is said about a study that must not start: one screen, no traceback, no job."""
    output = study.snakemake("--cores", "1", *arguments, check=False)
    assert "Traceback" not in output
    assert "The configuration cannot be run" in output
    assert len(output.splitlines()) < 25
    assert not (study.folder / "results").exists()
    assert not (study.folder / "data").exists()
    return output


# Configuration


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"study: a\n\tthreads: 1\n", "config.yaml, line 2, column 1: this is not YAML"),
        (b"study: \xff\n", "config.yaml, line 1: this is not UTF-8 text"),
        (b"a: &a {b: *a}\n", "config.yaml: it is nested deeper than 30 levels"),
        (b"__use_yte__: true\n?print('RAN'):\n  a: 1\n", "config.yaml, __use_yte__: a template"),
    ],
)
def test_a_file_that_cannot_be_read_stops_before_snakemake_reads_it(fresh, content, said):
    (fresh.folder / "config.yaml").write_bytes(content)
    output = refused(fresh)
    assert said in output
    assert not re.search("^RAN$", output, re.M)  # no code of the file was run


def test_a_claim_that_is_none_stops_before_any_job(fresh):
    claims = fresh.folder / "report/claims.yaml"
    claims.write_text(claims.read_text() + "\n  mine: {says: Mine.}\n")
    line = claims.read_text().splitlines().index("  mine: {says: Mine.}") + 1
    assert f"claims.yaml, line {line}, claims.mine: the key 'of' is missing" in refused(fresh)


def test_null_on_the_command_line_is_nothing_behind_the_equals_sign(fresh):
    fresh.config["mirror"] = "/not/there"
    fresh.write_config()
    fresh.snakemake("--dry-run", "--cores", "1", "--config", "mirror=")
    said = refused(fresh, "--config", "mirror=None")
    assert (
        "'None' is text here; for none write null in a file, and nothing in --config mirr" in said
    )


def test_names_that_would_leave_the_results_are_refused(fresh):
    bad = ["../../up", "/tmp/up", "Vit-A", "con", "a\nb", "a" * 300]
    fresh.config["study"] = "../up"
    fresh.config["experiments"] |= {name: {"base": "vit"} for name in bad}
    fresh.config["bases"]["vit"]["dataset"] = "../../etc/passwd"
    fresh.write_config()
    output = refused(fresh)
    assert "study: '../up' is no good name. Use lower-case letters" in output
    for name in [*bad[:3], "a\\nb"]:
        assert f"experiments.{name}: '{name}' is no good name" in output
    assert "Windows reserves the name 'con'" in output
    fresh.config["study"], fresh.config["experiments"] = "tiny", {"vit-a": {"base": "vit"}}
    fresh.write_config()
    assert "bases.vit.dataset: no data set '../../etc/passwd'" in refused(fresh)
    assert not (fresh.folder.parent / "up").exists()


def test_an_overlay_that_cannot_be_read_stops_before_any_job(fresh):
    (fresh.folder / "mine.yaml").write_text("study: a\n\tthreads: 1\n")
    output = fresh.snakemake("--cores", "1", "--configfile", "mine.yaml", check=False)
    assert "Config file is not valid JSON or YAML" in output  # Snakemake's own words
    assert not (fresh.folder / "results").exists()


def dry_run(study, wanted: int, number: int) -> None:
    """Dry-run so many broken configurations that are accepted in process."""
    accepted: list[tuple[bytes, bytes | None]] = []
    file = study.folder / "config.yaml"

    @seed(number)
    @settings(
        max_examples=100 * wanted,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations.files())
    def collect(contents: tuple[bytes, bytes | None]) -> None:
        if len(accepted) == wanted:
            return
        file.write_bytes(contents[0])
        try:
            loaded = yamlfiles.read(file)[0]
            config.resolve(loaded, [file], study.folder / "workflow/schemas")
        except config.ConfigError:
            return
        accepted.append(contents)

    collect()
    for contents in accepted:
        file.write_bytes(contents[0])
        assert "Traceback" not in study.snakemake("--dry-run", "--quiet")
    assert len(accepted) == wanted


def test_broken_configurations_that_are_accepted_build_a_dag(fresh):
    dry_run(fresh, wanted=2, number=1)


@pytest.mark.slow
def test_30_broken_configurations_that_are_accepted_build_a_dag(fresh):
    dry_run(fresh, wanted=30, number=2)


# Data


def test_a_broken_source_is_named_and_leaves_nothing_prepared(fresh, tmp_path):
    pq.write_table(pa.table({"text": ["no image"]}), stored := io.BytesIO())
    files = dict.fromkeys(cifar10.SOURCES, stored.getvalue())
    fresh.config["mirror"] = str(mirror_of(tmp_path / "mirror", files))
    fresh.write_config()
    output = fresh.snakemake("--cores", "1", "data/prepared/cifar10.json", check=False)
    source = f"data/downloads/{next(iter(cifar10.SOURCES))}"
    assert f"{source} has no column img, but text. Delete {source} and run again" in output
    assert list(fresh.folder.glob("data/prepared/*")) == []


def test_a_broken_result_is_named_when_it_is_gathered(finished):
    file = finished.result("runs/vit-a/42/metrics.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    output = finished.snakemake("--cores", "1", check=False)
    named = file.relative_to(finished.folder)
    assert re.search(rf"{named} is broken .* Delete {named} and run again", output)
    assert not finished.result("metrics.parquet").exists()
    file.unlink()
    assert finished.stale("--rerun-incomplete")["train"] == 1  # the cure


@pytest.mark.parametrize("ending", ["safetensors", "json"])
def test_a_changed_bit_of_prepared_data_stops_the_training(finished, ending):
    file = finished.folder / f"data/prepared/digits.{ending}"
    content = bytearray(file.read_bytes())
    # The last pixel; the first digit behind the point of the deviation, which then is another one.
    place = -1 if ending == "safetensors" else content.index(b".", content.index(b"deviation")) + 1
    content[place] ^= 1
    file.write_bytes(content)
    target = "results/tiny/runs/vit-a/42/run.parquet"
    output = finished.snakemake("--cores", "1", target, check=False)
    assert f"data/prepared/digits.{ending} has changed since it was prepared. Delete" in output
    assert not (finished.folder / target).exists()


# The machine


@contextmanager
def mounted(folder: Path, *options: str):
    """Mount a small file system for a while; only root may."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "none", str(folder)]
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(finished):
    target = "results/tiny/runs/vit-a/42/run.parquet"
    with mounted(finished.folder / "results", "-o", "size=40k"):
        output = finished.snakemake("--cores", "1", target, check=False)
        assert "No space left on device" in output
        assert "0.0 MB are free on the disk of results/tiny/logs/train/vit-a/42.log" in output
        runs = finished.folder / "results/tiny/runs/vit-a/42"
        assert [file for file in runs.glob("*") if file.is_file()] == []


def test_a_run_whose_disk_filled_up_goes_on_when_there_is_space(finished):
    finished.config["bases"]["vit"]["epochs"] = 100  # of which some are worth a checkpoint
    finished.write_config()
    target = "results/tiny/runs/vit-a/42/run.parquet"
    folder = finished.folder / "results"
    with mounted(folder, "-o", "size=150k"):  # for two checkpoints, and no third beside them
        output = finished.snakemake("--cores", "1", target, check=False)
        assert re.search(r"checkpoints/vit-a/42: the disk is full .* and run again", output)
        assert re.search(r"[\d.]+ MB are free on the disk of results/tiny/logs", output)
        subprocess.run(["mount", "-o", "remount,size=9m", str(folder)], check=True)
        finished.run(target, "--rerun-incomplete")
        log = finished.result("logs/train/vit-a/42.log").read_text()
        assert re.search(r"goes on with epoch \d+/100", log)
        row = pd.read_parquet(finished.folder / target).iloc[0]
    assert (row.resumes, row.status) == (1, "finished")


def test_read_only_results_are_named(fresh):
    with mounted(fresh.folder / "results", "-o", "size=1m,ro"):
        output = fresh.snakemake("--cores", "1", check=False)
    assert re.search(r"Read-only file system: '\S*results", output)


@pytest.mark.slow
def test_a_home_without_write_access_needs_a_cache_elsewhere(finished, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/proc/none")  # where not even root can write
    monkeypatch.setenv("TMPDIR", "/proc/none")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if sys.platform.startswith("linux"):
        assert "/proc/none" in finished.snakemake("--dry-run", check=False)  # Snakemake's own words
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    finished.result("figures/vit-curves-epochs.svg").unlink()
    assert finished.run()["plot_figures"] == 1  # matplotlib keeps its fonts there, too
    assert "temporary cache directory" not in finished.result("logs/plot_figures.log").read_text()


@pytest.mark.slow
def test_a_clock_that_goes_backwards_makes_no_negative_time(fresh):
    # Python runs a module of this name first, in every job: it sets the clock back at every look.
    (fresh.folder / "src/sitecustomize.py").write_text(
        "import itertools, pathlib, time\n"
        "now, hours = time.time, itertools.count()\n"
        "time.time = lambda: now() - 3600 * next(hours)\n"
        f"pathlib.Path({str(fresh.folder / 'set_back')!r}).touch()\n"
    )
    fresh.run("results/tiny/runs/vit-a/42/run.parquet")
    assert (fresh.folder / "set_back").exists()
    metrics = pd.read_parquet(fresh.result("runs/vit-a/42/metrics.parquet"))
    run = pd.read_parquet(fresh.result("runs/vit-a/42/run.parquet"))
    assert (metrics.seconds > 0).all()
    assert (metrics[metrics.metric == "seconds"].value > 0).all()
    columns = [name for name in run.columns if name.startswith("seconds_")]
    assert len(columns) >= 3
    assert (run[columns].dropna(axis=1) >= 0).all(axis=None)
    assert run.throughput.item() > 0


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Run a target of the Makefile where the commands of .venv are stand-ins; return its output."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", "bin/pip", "run.installed", "dev.installed"):
        (tmp_path / ".venv" / name).touch()

    def make(target: str, command: str, script: str, check: bool = True) -> str:
        file = tmp_path / ".venv/bin" / command
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        done = subprocess.run(
            ["make", target],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode == 0) == check, done.stdout
        return done.stdout

    return make


def test_make_keeps_caches_in_the_project_where_the_home_takes_none(made, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    show = 'echo "cache: $XDG_CACHE_HOME."'
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "cache: ." in made("demo", "snakemake", show)
    monkeypatch.setenv("HOME", "/proc/none")
    assert f"cache: {tmp_path}/.cache." in made("demo", "snakemake", show)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert "cache: /elsewhere." in made("demo", "snakemake", show)


def test_make_audit_asks_for_every_release_and_takes_no_answer_for_no(made):
    output = made("audit", "pip-audit", 'echo "asked $*"')
    assert "--strict" in output
    assert "--require-hashes -r requirements/run.txt -r requirements/dev.txt" in output
    assert "none has a known vulnerability" in output
    output = made("audit", "pip-audit", "echo no network; exit 1", check=False)
    assert "no answer is not a clean answer" in output
    assert "none has" not in output


# The report


EVIL = "<script>alert('1')</script>\"&{{7*7}}</script><img src=x onerror=alert(1)>"


def test_nothing_that_a_study_says_becomes_code_in_a_report(finished):
    columns = ["data_description", "device", "commit", "driver"]
    for file in sorted(finished.folder.glob("results/tiny/runs/*/42/run.parquet")):
        table = pq.read_table(file)
        for column in columns:
            at = table.schema.get_field_index(column)
            table = table.set_column(at, table.schema.field(at), pa.array([EVIL]))
        pq.write_table(table, file)
    finished.config["mirror"] = f"/data/{EVIL}"
    finished.write_config()
    claim = {"says": f"claimed {EVIL}", "note": f"noted {EVIL}", "of": "best_epoch"}
    claim |= {"runs": ["vit-a"], "are": "less", "than": ["vit-b"]}
    file = finished.folder / "report/claims.yaml"
    claims = yaml.safe_load(file.read_text())
    claims["claims"]["evil"] = claim
    file.write_text(yaml.safe_dump(claims))
    finished.run()
    finished.snakemake("--report", "study.html")
    pages = [finished.result("report.html"), finished.folder / "study.html"]
    pages += sorted(finished.folder.glob("results/tiny/tables/*.html"))
    texts = {page.name: page.read_text() for page in pages}
    for name in ("report.html", "claims.html"):
        escaped = r"claimed &lt;script&gt;alert\((&#x27;|&#39;|')1(&#x27;|&#39;|')\)&lt;/script&gt;"
        assert re.search(escaped, texts[name]), name
    assert re.search(r"(?<!claimed )&lt;script&gt;alert\(", texts["report.html"])  # of the runs
    for name, text in texts.items():
        assert "<script>alert('1')" not in text, name
        assert "<img src=x" not in text, name
        assert "&49" not in text, name  # {{7*7}}, computed
