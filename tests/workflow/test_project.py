"""The project's own files: style, pins, and what the documents promise."""

import ast
import importlib.util
import itertools
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.io import expand

from trainstudy import data

ROOT = Path(__file__).parents[2]
PYTHON = ["src", "tests", "workflow", "envs", "benchmarks", "reference"]


def releases(file: str) -> dict[str, str]:
    text = (ROOT / "requirements" / file).read_text()
    return dict(re.findall(r"^([\w.-]+==\S+)( ;[^\\\n]*)?", text, re.M))


def load(file: Path):
    """Import a script that belongs to no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_snakemake_lint_has_no_remarks():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good condition" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", *PYTHON],
        ["ruff", "format", "--check", *PYTHON],
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["mypy"],
    ],
    ids=["ruff", "ruff format", "snakefmt", "mypy"],
)
def test_code_is_clean(command):
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_users_install_is_part_of_what_tests_install():
    run, cluster, dev = (releases(f"{name}.txt") for name in ("run", "cluster", "dev"))
    assert len(run) > 50
    assert run.keys() < cluster.keys()
    for requirement, marker in [*run.items(), *cluster.items()]:
        assert dev[requirement] in (marker, ""), requirement  # "": on every machine


@pytest.mark.parametrize("file", ["run.txt", "cluster.txt", "dev.txt", "installer.txt"])
def test_every_requirement_has_hashes_and_no_index_is_named(file):
    text = (ROOT / "requirements" / file).read_text()
    blocks = re.findall(r"^\S+==.*?(?=^\S|\Z)", text, re.M | re.S)
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_conda_environments_pin_what_the_lock_holds():
    pin = load(ROOT / "envs/pin.py")
    locked = pin.locked(pin.LOCK.read_text())
    for name, packages in pin.PACKAGES.items():
        text = (ROOT / "envs" / f"{name}.yaml").read_text()
        assert text == pin.environment(packages, locked)
        assert yaml.safe_load(text)["channels"] == ["conda-forge"]
    assert [name for name, packages in pin.PACKAGES.items() if "torch" in packages] == ["train"]


@pytest.mark.parametrize(
    ("seconds", "memory", "said"),
    [(60, 2_048, None), (60.1, 2_048, "seconds: 60.1"), (60, 2_049, "memory_mib: 2,049")],
)
def test_a_plan_above_the_limits_fails(monkeypatch, tmp_path, seconds, memory, said):
    dag = load(ROOT / "benchmarks/dag.py")
    result = {"seconds": seconds, "memory_mib": memory, "jobs": 7}
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    monkeypatch.setattr(dag, "ROOT", tmp_path)
    monkeypatch.setattr(dag, "declare", lambda *_: None)
    monkeypatch.setattr(dag, "plan", lambda _: result)
    monkeypatch.setattr(sys, "argv", ["dag.py"])
    with pytest.raises(SystemExit, match=said) if said else nullcontext():
        dag.main()
    assert (tmp_path / "benchmarks/results/dag.json").exists()


@pytest.mark.parametrize("passes", [True, False])
def test_continuous_integration_also_runs_the_slow_tests_of_conda_and_clusters(tmp_path, passes):
    programs = {"bin/make": int(not passes), "bin/slurmctld": 0, ".venv/bin/pytest": 0}
    for program, code in programs.items():
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text(f'#!/bin/sh\necho "${{0##*/}} $*"\nexit {code}\n')
        (tmp_path / program).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    done = subprocess.run(
        [tmp_path / ".ci/run"], env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, capture_output=True,
        text=True,
    )  # fmt: skip
    slow = ["test_environments.py -k with_conda", "test_kubernetes.py", "test_slurm.py"]
    ran = [f"pytest -m slow tests/workflow/{one}" for one in slow] if passes else []
    assert done.stdout.splitlines() == ["make test", *ran]
    assert (done.returncode == 0) == passes


def test_every_rule_but_the_target_names_log_and_environment():
    text = "\n".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
    assert len(rules) >= 8
    for name, body in rules:
        for directive in ("log:", "conda:", "script:"):
            assert directive in body, f"{name} has no {directive}"
        assert (ROOT / "workflow/scripts" / f"{name}.py").is_file()
        # What a cluster is asked for comes from one place; fetching runs where Snakemake does.
        assert ("**asking(" in body) == (name != "fetch"), name


def test_files_keep_their_sizes():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 40
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 22, script.name
    for source in (ROOT / "src").rglob("*.py"):
        assert "snakemake" not in re.findall(r"^\s*(?:import|from) (\w+)", source.read_text(), re.M)


PRECIOUS = [
    "data/downloads/hub/train.parquet",
    "data/prepared/digits.safetensors",
    "results/full/runs/vit-a/42/run.parquet",
    "results/full/checkpoints/vit-b/42/latest.safetensors",
    "results/demo/report.html",
    "results/demo/checkpoints/vit-b/42/latest.safetensors",
]


@pytest.mark.parametrize(
    ("target", "deleted"),
    [
        (["clean"], []),
        (["clean-demo"], ["results/demo/"]),
        (["clean-checkpoints"], ["results/full/checkpoints/", "results/demo/checkpoints/"]),
        (["clean-results", "STUDY=full"], ["results/full/"]),
        (["clean-results"], None),
        (["clean-results", "STUDY=../data"], None),
        (["clean-results", "STUDY=full demo"], None),
        (["clean-results", "STUDY=*"], None),
    ],
)
def test_cleaning_deletes_what_it_is_asked_to_by_name(tmp_path, target, deleted):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in [*PRECIOUS, "src/__pycache__/a.pyc", "tests/__init__.py", "workflow/a.smk"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    done = subprocess.run(["make", *target], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == (deleted is not None), done.stdout + done.stderr
    if deleted is None:
        assert "Which study?" in done.stdout
    left = [file for file in PRECIOUS if (tmp_path / file).exists()]
    assert left == [file for file in PRECIOUS if not file.startswith(tuple(deleted or ["-"]))]
    assert (tmp_path / "src/__pycache__").exists() == (target != ["clean"])


def test_every_target_of_make_stands_in_its_help():
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()
    shown = text[text.index("\nhelp:") :].split("$(VENV)/bin/python:")[0]
    assert {*re.findall(r"[a-z][a-z-]+", shown)} >= {*targets}


# What may run code, or write outside its folder, when its input is hostile.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal",
                     "tarfile", "zipfile", "xmlrpc", "telnetlib"}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "unpack_archive", "extractall", "extract", "unsafe_load", "full_load",
           "system", "popen"}  # fmt: skip


def hazards(code: str) -> list[str]:
    """Return every use of a module, call or argument by which data could become code."""
    found = []
    tree = ast.parse(code)
    meant = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [getattr(node, "module", None) or "", *names]
            found += [name for name in modules if name.split(".")[0] in FORBIDDEN_MODULES]
            found += [name for name in names if name in METHODS]
        elif isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            call = ".".join([meant.get(first, first), *rest])
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if call.removeprefix("builtins.") in BUILTINS or call.rsplit(".", 1)[-1] in METHODS:
                found.append(call)
            pickles = given.get("allow_pickle") != "False"
            if pickles and re.fullmatch(r"(np|numpy)\.(.+\.)?load", call):
                found.append(f"{call} without allow_pickle=False")
            if re.fullmatch(r"torch\.(.+\.)?load", call) and given.get("weights_only") != "True":
                found.append(f"{call} without weights_only=True")
            if call == "yaml.load":
                found.append(call)
            if given.get("shell") == "True" or given.get("allow_pickle") == "True":
                found.append(f"{call}({given})")
    return found


def imported(tree: ast.AST) -> dict[str, str]:
    """Return what the names stand for that a module imports: np for numpy, load for torch.load."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def test_no_input_can_become_code_and_no_archive_is_unpacked():
    files = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "workflow/scripts").glob("*.py"),
        ROOT / "envs/pin.py",
    ]
    assert len(files) > 30
    found = {str(file.relative_to(ROOT)): hazards(file.read_text()) for file in files}
    assert {name: list_ for name, list_ in found.items() if list_} == {}
    for file in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        text = file.read_text()
        words = set(re.findall(r"[\w.]+", text))
        assert not words & (FORBIDDEN_MODULES | METHODS | {"yaml.load"})
        assert not set(re.findall(r"(\w+)\s*\(", text)) & BUILTINS  # the shell has an exec, too


# What a run imports that decides none of its numbers: it reads, measures, tells or chooses a card.
TELLS_ONLY = {
    "cores", "files", "gpu", "memory", "nvml", "progress", "provenance", "quantities",
    "tally",
}  # fmt: skip


def code_rules() -> dict:
    """Return what the rules' own Python says of code, without a workflow around it."""
    return runpy.run_path(str(ROOT / "workflow/rules/code.smk"), {"data": data, "collect": expand})


def test_all_code_that_decides_a_run_is_an_input_of_its_job():
    """What is forgotten would leave finished runs and checkpoints as they are when it changes."""
    rules = code_rules()
    named = {*rules["TRAINING_CODE"], *itertools.chain(*rules["CODE_OF_KIND"].values())}
    # Models and data sets are imported by name; code_of adds those of the run.
    assert reached("run") - TELLS_ONLY == named


@pytest.mark.parametrize("dataset", data.names())
def test_all_code_that_prepares_a_data_set_is_an_input_of_its_job(dataset):
    listed = code_rules()["preparing_code_of"](SimpleNamespace(dataset=dataset))
    *modules, script = (Path(file).relative_to(Path(file).parts[0]) for file in listed)
    assert script == Path("scripts/prepare.py")
    named = {str(module.relative_to("trainstudy").with_suffix("")) for module in modules}
    # What only finds and reads files decides nothing of what is made of them.
    assert named == reached(f"data/{dataset}") - {"data/__init__", "fetch"} | {"prepare"}


@pytest.mark.parametrize(
    ("start", "own"),
    [
        ("tables/__init__", {"tables"}),
        ("figures/__init__", {"figures"}),
        ("report", {"tables", "report", "summary", "curves"}),
    ],
)
def test_all_code_that_makes_tables_figures_and_report_is_an_input_of_their_jobs(start, own):
    rules = (ROOT / "workflow/rules/results.smk").read_text()
    shared = {*ast.literal_eval(re.search(r"^SHARED = (\[.*?^\])", rules, re.M | re.S)[1])}
    assert len(shared) > 5
    found = {name for name in reached(start) if name.partition("/")[0] not in own}
    # The data sets' own modules are inputs by name; these two only find and read files.
    assert found - {"data/__init__", "fetch", "files"} - shared == set()


def reached(module: str) -> set[str]:
    """Return the modules of the project that one imports, directly or not, and itself, as paths."""
    source, found, left = ROOT / "src/trainstudy", set(), [module]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _imports(ast.parse((source / f"{name}.py").read_text()), source)
    return found


def _imports(tree: ast.AST, source: Path) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trainstudy"):
            begin = node.module.replace(".", "/").removeprefix("trainstudy").strip("/")
            names += [begin, *(f"{begin}/{alias.name}".strip("/") for alias in node.names)]
    files = [name for name in names if (source / f"{name}.py").is_file()]
    packages = [f"{name}/__init__" for name in names if name and (source / name).is_dir()]
    return files + packages


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import tarfile as t",
        "import numpy as np\nnp.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "torch.load(f)",
        "from numpy import load\nload(f)",
        "from numpy import load as read\nread(f, allow_pickle=True)",
        "import numpy as n\nn.load(f)",
        "import torch as t\nt.load(f)",
        "from torch import load\nload(f, weights_only=False)",
        "from torch.serialization import load as read\nread(f)",
        "from yaml import load\nload(f, Loader)",
        "from pickle import *",
        "from builtins import eval as calculate\ncalculate(text)",
        "torch.load(f, weights_only=False)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.unsafe_load(f)",
        "pd.read_pickle(f)",
        "shutil.unpack_archive(f)",
        "eval(text)",
        "subprocess.run(c, shell=True)",
        "os.system(c)",
        "np.save(f, a, allow_pickle=True)",
    ],
)
def test_what_could_become_code_is_recognised(code):
    assert hazards(code)


def test_what_is_harmless_is_not_taken_for_code():
    loads = "np.load(f, allow_pickle=False)\ntorch.load(f, weights_only=True)\n"
    loads += "from numpy import load\nload(f, allow_pickle=False)\nfrom json import load as read\n"
    assert hazards(loads + "re.compile(p)\nmodel.eval()") == []
