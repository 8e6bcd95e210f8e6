"""Every environment in envs/ holds what runs in it, and the driver's needs no torch."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import isolation
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
# Modules whose functions run in `data` only; others merely import them.
FOR_DATA = ("trainstudy.data.", "trainstudy.fetch", "trainstudy.gpt1")
FAMILIES = ["trainstudy.models.lstm", "trainstudy.models.vit", "trainstudy.models.cnn"]
# Imports what stands in the arguments, then what functions of our modules import when called.
IMPORTER = """
import ast, importlib, pkgutil, sys
from pathlib import Path
skip = tuple(sys.argv[1].split(","))
for name in sys.argv[2:]:
    importlib.import_module(name)
import trainstudy.data
for module in pkgutil.iter_modules(trainstudy.data.__path__, "trainstudy.data."):
    importlib.import_module(module.name)
for name, module in list(sys.modules.items()):
    if name.startswith("trainstudy") and not (skip != ("",) and name.startswith(skip)):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            for imported in getattr(node, "names", []) if isinstance(node, ast.Import) else []:
                importlib.import_module(imported.name)
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def rules() -> dict[str, str]:
    """Return the environment of every rule."""
    text = "\n".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    pattern = r"^rule (\w+):\n.*?envs/(\w+)\.yaml"
    return dict(re.findall(pattern, text, re.M | re.S))


def imports(script: Path) -> list[str]:
    """Return the modules that a script imports."""
    found = []
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "trainstudy":
            found += [f"trainstudy.{name.name}" for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return found


def imported_alone(python: Path, name: str) -> set[str]:
    """Import all that runs in an environment with its own Python; return what was loaded."""
    scripts = [f"workflow/scripts/{rule}.py" for rule, env in rules().items() if env == name]
    wanted = {module for script in scripts for module in imports(ROOT / script)}
    wanted |= set(FAMILIES if name == "train" else [])
    done = subprocess.run(
        [python, "-c", IMPORTER, "" if name == "data" else ",".join(FOR_DATA), *sorted(wanted)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "PYTHONNOUSERSITE": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["data", "train", "analysis"])
def test_an_environment_holds_what_its_scripts_import(name, tmp_path):
    assert list(rules().values()).count(name) >= 1
    python = isolation.make(ENVS / f"{name}.yaml", tmp_path)
    loaded = imported_alone(python, name)
    assert "pyarrow" in loaded
    assert ("torch" in loaded) == (name == "train")
    absent = subprocess.run([python, "-c", "import snakemake"], capture_output=True, text=True)
    assert "No module named 'snakemake'" in absent.stderr


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the environments are for Python 3.11")
@pytest.mark.parametrize("name", ["data", "train", "analysis", "snakemake"])
def test_an_environment_names_the_releases_that_are_tested(name):
    for package, release in isolation.pins(ENVS / f"{name}.yaml").items():
        assert distribution(package).version.split("+")[0] == release, package


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The Python of an environment with envs/snakemake.yaml alone."""
    return isolation.make(ENVS / "snakemake.yaml", tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The Python of an environment with Snakemake alone: no plugins, nothing else that we name."""
    folder = tmp_path_factory.mktemp("bare")
    release = isolation.pins(ENVS / "snakemake.yaml")["snakemake"]
    file = folder / "environment.yaml"
    file.write_text(yaml.safe_dump({"dependencies": [{"pip": [f"snakemake=={release}"]}]}))
    return isolation.make(file, folder / "env")


def snakemake(driver: Path, folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [driver, "-m", "snakemake", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        env={
            "PATH": f"{driver.parent}:/usr/bin:/bin", "HOME": str(folder), "PWD": str(folder),
            **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("environment", "absent"),
    [("driver", ["torch"]), ("bare", ["torch", "snakemake_executor_plugin_slurm"])],
)
def test_the_whole_study_is_planned_without_torch(environment, absent, fresh, request):
    python = request.getfixturevalue(environment)
    for module in absent:
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
        assert f"No module named '{module}'" in found.stderr
    shutil.copy(ROOT / "config.yaml", fresh.folder)
    output = snakemake(python, fresh.folder, "--dry-run", "--quiet", "rules")
    assert re.search(r"^train +24$", output, re.M)
    assert "good condition" in snakemake(python, fresh.folder, "--lint")


@pytest.mark.parametrize("profile", ["slurm", "cluster-generic", "kubernetes"])
def test_every_cluster_profile_plans_the_study(driver, fresh, profile):
    output = snakemake(driver, fresh.folder, "--dry-run", "--workflow-profile", profile)
    assert re.search(r"^train +5$", output, re.M)
    trained = re.findall(r"^rule train:\n.*?^    resources: ([^\n]*)", output, re.M | re.S)
    assert len(trained) == 5
    for asked in trained:
        assert re.search(r"\bgpu=1\b", asked)
        assert 5_500 <= int(re.search(r"\bmem_mb=(\d+)", asked)[1]) < 6_500
        assert 20 <= int(re.search(r"\bruntime=(\d+)", asked)[1]) <= 30


def test_the_image_holds_the_environments_as_they_are():
    spec = importlib.util.spec_from_file_location("pin", ENVS / "pin.py")
    pin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pin)
    text = (ENVS / "image.def").read_text()
    assert text == pin.image()
    assert set(re.findall(r"source: envs/(\w+).yaml", text)) == set(rules().values())


# Answers Snakemake as conda would; its environments are links, see isolation.py.
STAND_IN = """\
#!{python}
import argparse, json, sys
sys.path.insert(0, "{here}")
if sys.argv[1] == "--version":
    print("conda 26.7.0")
elif sys.argv[1] == "info":
    print(json.dumps({{"platform": "linux-64", "conda_prefix": "{folder}"}}))
elif sys.argv[1] == "config":
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif sys.argv[1] != "clean":
    import isolation
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=isolation.Path)
    parser.add_argument("--prefix", type=isolation.Path)
    asked, _ = parser.parse_known_args()
    isolation.make(asked.file, asked.prefix)
"""


@pytest.fixture(params=["stand-in", "conda"])
def conda(request, tmp_path) -> Path:
    """The folder of a conda: the real one, or a stand-in that needs no network."""
    if request.param == "conda":
        if not shutil.which("conda"):
            pytest.skip("no conda on the PATH")
        return Path(shutil.which("conda")).parent
    folder = tmp_path / "conda/bin"
    folder.mkdir(parents=True)
    text = STAND_IN.format(python=sys.executable, here=Path(__file__).parent, folder=folder.parent)
    (folder / "conda").write_text(text)
    (folder / "conda").chmod(0o755)
    (folder / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    return folder


@pytest.mark.slow
def test_the_study_runs_with_conda_from_a_driver_without_torch(driver, fresh, conda):
    path = f"{conda}:{driver.parent}:/usr/bin:/bin"
    output = snakemake(driver, fresh.folder, "--cores", "2", "--use-conda", PATH=path)
    assert output.count("Creating conda environment") == 3
    assert fresh.result("report.html").exists()
    runs = pd.read_parquet(fresh.result("runs.parquet"))
    assert set(runs.status) == {"finished"}
    # Training saw its own environment alone: not scikit-learn, which prepared its data.
    for versions in map(json.loads, runs.versions):
        assert "torch" in versions
        assert not {"scikit-learn", "tokenizers"} & versions.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "analysis", "train"])
def test_what_the_pins_install_is_enough(name, tmp_path):
    """As conda's pip does it: the pins, and whatever they require today."""
    uv = [shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")]
    subprocess.run(
        [*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True
    )
    wanted = [f"{p}=={r}" for p, r in isolation.pins(ENVS / f"{name}.yaml").items()]
    python = tmp_path / "env/bin/python"
    done = subprocess.run(
        [*uv, "pip", "install", "--python", python, *wanted], capture_output=True, text=True
    )
    if "error sending request" in done.stderr or "client error" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    assert "pyarrow" in imported_alone(python, name)
