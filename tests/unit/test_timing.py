"""The summary of where time went, from benchmark files as Snakemake writes them."""

import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainstudy.timing import where_time_went

HEADER = "s\th:m:s\tmax_rss\n"


@pytest.fixture
def benchmarks(tmp_path):
    """Two runs, one table, and one run of long ago."""
    for name, seconds in {"train/a/1": 30, "train/b/1": 50, "make_tables": 20}.items():
        file = tmp_path / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{HEADER}{seconds}.0\t0:00:{seconds}\t100\n")
    old = tmp_path / "train" / "a" / "2.tsv"
    old.write_text(f"{HEADER}1000.0\t0:16:40\t100\n")
    os.utime(old, (10, 10))
    return tmp_path


def run(folder, seconds: float):
    file = folder / f"{seconds}.parquet"
    pq.write_table(pa.table({"seconds_total": [seconds]}), file)
    return file


def test_rules_stand_in_the_order_of_their_time(benchmarks):
    lines = where_time_went([benchmarks], [], since=1000).splitlines()
    assert lines[1].split() == ["train", "2", "jobs", "80.0", "s", "80%"]
    assert lines[2].split() == ["make_tables", "1", "job", "20.0", "s", "20%"]
    assert len(lines) == 3


def test_time_in_epochs_is_told_from_the_rest(benchmarks, tmp_path):
    runs = [run(tmp_path, 25.5), run(tmp_path, 40.0), run(tmp_path, 7.0)]
    os.utime(runs[2], (10, 10))
    last = where_time_went([benchmarks], runs, since=1000).splitlines()[-1]
    assert last == "  (train: 65.5 s in epochs; the rest to start, load and save)"


def test_without_pyarrow_the_time_in_epochs_is_left_out(benchmarks, tmp_path, monkeypatch):
    trained = run(tmp_path, 25.5)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    lines = where_time_went([benchmarks], [trained], since=1000).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["train", "make_tables"]


def test_nothing_is_said_where_no_job_ran(benchmarks, tmp_path):
    assert where_time_went([benchmarks], [], since=1e12) == ""
    assert where_time_went([tmp_path / "absent"], [], since=0) == ""
