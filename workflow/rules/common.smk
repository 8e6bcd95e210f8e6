"""What all rules share: the settings of every run, names of outputs, and the code a run needs."""

import shlex
import time

import yaml

from trainstudy import config as settings_of, data, gpt1, provenance, timing

STARTED = time.time()

# PYTHONPATH, because under conda nothing else leads to the package. The allocator keeps large blocks
# instead of returning them after every step: 1.75 times the tokens per second for the language
# models on two cores. Those beyond 64 MiB it returns: keeping them too was no faster, and with a
# learned embedding memory crept up. glibc reads these names before Python starts; elsewhere they do
# nothing. Compiled steps are shared by all runs.
shell.prefix(
    f"set -euo pipefail; export PYTHONNOUSERSITE=1 PYTHONPATH={shlex.quote(SRC)} "
    "MALLOC_MMAP_THRESHOLD_=67108864 MALLOC_TRIM_THRESHOLD_=10000000000 "
    "MALLOC_TOP_PAD_=268435456 "
    f"TORCHINDUCTOR_CACHE_DIR={shlex.quote(str(Path('data/compiled').resolve()))}; "
)

try:
    RUNS = settings_of.resolve(
        config,
        files=[Path("config.yaml"), *map(Path, workflow.overwrite_configfiles or [])],
        schemas=Path(workflow.basedir, "workflow/schemas"),
    )
except settings_of.ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{config['study']}"
CONTENTS = yaml.safe_load(Path(workflow.basedir, "report/contents.yaml").read_text())
FAMILIES = {run["family"] for run in RUNS.values()}
ITEMS = {name: item for name, item in CONTENTS["items"].items() if FAMILIES & {*item["families"]}}
FIGURES = [name for name, item in ITEMS.items() if item["kind"] == "figure"]
TABLES = [name for name, item in ITEMS.items() if item["kind"] == "table"]
SOURCES = {
    path: source for dataset in data.names() for path, source in data.find(dataset).SOURCES.items()
} | gpt1.EMBEDDING_SOURCES

# A job on a cluster has no cores of ours to divide: there `auto` is one thread.
THREADS = settings_of.threads(
    config["threads"],
    runs=len(RUNS) * len(config["seeds"]),
    cores=None if workflow.remote_exec else workflow.resource_settings.cores,
)

# A training job takes a whole GPU where the machine has one; profiles/default counts them.
GPUS = int(provenance.has_gpu())

# Code that decides a result. Snakemake compares it by checksum: touching a file reruns nothing.
TRAINING_CODE = collect(
    "src/trainstudy/{part}.py",
    part=[
        "arrays",
        "augment",
        "compilation",
        "losses",
        "metrics",
        "optimizers",
        "records",
        "run",
        "tasks",
        "trainer",
    ],
)


def embedding_of(wildcards):
    """Return the pretrained embedding, for the experiments that use one."""
    embedding = RUNS[wildcards.experiment]["model"].get("embedding", "learned")
    return [] if embedding == "learned" else f"data/prepared/embedding/{embedding}.npy"


def code_of(wildcards):
    """Return the code that decides this run's result: the shared part, its model, its data set."""
    run = RUNS[wildcards.experiment]
    return [
        *TRAINING_CODE,
        f"src/trainstudy/models/{run['family']}.py",
        f"src/trainstudy/data/{run['dataset']}.py",
    ]


def preparing_code_of(wildcards):
    """Return the code that decides the prepared form of a data set."""
    gpt1_code = ["gpt1"] if getattr(data.find(wildcards.dataset), "TOKENIZER", "") == "gpt1" else []
    return collect(
        "src/trainstudy/{part}.py",
        part=["arrays", "files", f"data/{wildcards.dataset}", *gpt1_code],
    )


def in_report(name):
    """Return the arguments of Snakemake's report flag for a figure or a table."""
    shown = {key: ITEMS[name][key] for key in ("category", "labels")}
    return {"caption": f"../../report/{name}.rst", **shown}


wildcard_constraints:
    experiment="[a-z0-9-]+",
    dataset="[a-z0-9_]+",
    seed="[0-9]+",
