"""Whatever stands in the configuration files: a study, or a message with place and cure."""

import ast
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

import mutations
from trainstudy import config, data, grids, missing, records, yamlfiles

ROOT = Path(__file__).parents[2]
COMMON = (ROOT / "workflow/rules/common.smk").read_text()
WILDCARDS = dict(
    re.findall(r'^    (\w+)="(\S+)",$', COMMON.split("wildcard_constraints:")[1], re.M)
)
OUTCOMES: Counter[str] = Counter()


def outcome(folder: Path, contents: tuple[bytes, bytes | None]) -> str:
    """Do with two files what Snakemake and the Snakefile do, in their order; check what comes."""
    files = [folder / "config.yaml", folder / "overlay.yaml"]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content or b"study: other\n")
    if contents[1] is None:
        files.pop()
    overlay: dict = {}
    try:
        if contents[1] is not None:
            update_config(overlay, load_configfile(files[1]))
    except Exception:  # by Snakemake, before the Snakefile begins; docs/faults.md says what is seen
        with pytest.raises(config.ConfigError) as caught:
            yamlfiles.read(files[1])
        check_message(str(caught.value), files)
        return "refused by Snakemake"
    try:
        yamlfiles.read(files[0])
        merged = load_configfile(files[0])  # nothing that passed may trouble Snakemake
        update_config(merged, overlay)
        runs = config.resolve(merged, files, ROOT / "workflow/schemas")
    except config.ConfigError as error:
        check_message(str(error), files)
        return "refused"
    check_dag(merged, runs)
    return "accepted"


def check_message(message: str, files: list[Path]) -> None:
    """The message fits a screen, can be printed, and each line has a place, a key and a cure."""
    message.encode("utf-8")
    title, *lines = message.split("\n")
    assert re.fullmatch(r"The configuration cannot be run \(\d+ to fix\):", title)
    assert 1 <= len(lines) <= 11
    for line in lines:
        assert line.isprintable(), line
        assert len(line) < 700, line
        if not re.fullmatch(r"  … and \d+ more\.", line):
            assert line.startswith(tuple(f"  * {file}" for file in files)), line
            assert re.search(r": .*[.?]$", line), line


def check_dag(merged: dict, runs: dict[str, dict]) -> None:
    """Everything that the rules do with an accepted study is possible."""
    results = Path("results", merged["study"])
    assert results.parts == ("results", merged["study"].lower())
    assert runs
    assert len({name.lower() for name in runs}) == len(runs)
    assert all(re.fullmatch(WILDCARDS["seed"], str(number)) for number in merged["seeds"])
    assert config.threads(merged["threads"], runs=len(runs), cores=8) >= 1
    for name, run in runs.items():
        assert re.fullmatch(WILDCARDS["experiment"], name)
        assert data.find(run["dataset"]).SOURCES is not None
        assert (ROOT / f"src/trainstudy/models/{run['family']}.py").is_file()
        given = config.training_settings(run)
        assert ast.literal_eval(repr(given)) == given  # plain builtins: Snakemake can track them
        rest = {k: v for k, v in given.items() if k not in ("family", "dataset")}
        pa.Table.from_pylist([records.flatten(rest)], schema=pa.schema(records.SETTINGS))
    experiments = grids.expanded(merged["experiments"])
    lacking = missing.of(merged | {"experiments": experiments}, runs)
    assert {*experiments} == {*runs}.union(*(part["experiments"] for part in lacking))


def fuzz(folder: Path, cases: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=cases,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations.files())
    def check(contents: tuple[bytes, bytes | None]) -> None:
        OUTCOMES[outcome(folder, contents)] += 1

    OUTCOMES.clear()
    check()
    print(f"seed {number}: {OUTCOMES.total()} cases, {dict(OUTCOMES)}")
    assert OUTCOMES.total() >= cases
    assert OUTCOMES["refused"] > cases / 3
    assert OUTCOMES["accepted"] > cases / 50


def test_100_broken_configurations_give_clean_errors(tmp_path):
    fuzz(tmp_path, cases=100, number=42)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_10000_broken_configurations_give_clean_errors(tmp_path, number):
    fuzz(tmp_path, cases=2_000, number=number)
