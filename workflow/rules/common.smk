"""What all rules share: the settings of every run, and how jobs start."""

import re
import shlex

from trainstudy import config as settings_of, data, gpt1, grids, yamlschema

# PYTHONPATH, because under conda nothing else leads to the package. The allocator keeps large blocks
# instead of returning them after every step: 1.75 times the tokens per second for the language
# models on two cores. Those beyond 64 MiB it returns: keeping them too was no faster, and with a
# learned embedding memory crept up. glibc reads these names before Python starts; elsewhere they do
# nothing. Compiled steps are shared by all runs. And exec, which a bash before 5.1 does not do by itself:
# training learns that Snakemake was killed from the end of its parent, which must be Snakemake.
shell.prefix(
    f"set -euo pipefail; export PYTHONNOUSERSITE=1 PYTHONPATH={shlex.quote(SRC)} "
    "MALLOC_MMAP_THRESHOLD_=67108864 MALLOC_TRIM_THRESHOLD_=10000000000 "
    "MALLOC_TOP_PAD_=268435456 "
    f"TORCHINDUCTOR_CACHE_DIR={shlex.quote(str(Path('data/compiled').resolve()))}; exec "
)

# In lists after --config Snakemake takes numbers for text.
typed = workflow.config_settings.config.get("seeds")
if isinstance(typed, list):
    config["seeds"] = [
        int(seed) if re.fullmatch("[0-9]{1,10}", str(seed)) else seed for seed in typed
    ]

try:
    RUNS = settings_of.resolve(
        config,
        files=[Path("config.yaml"), *map(Path, workflow.overwrite_configfiles or [])],
        schemas=Path(workflow.basedir, "workflow/schemas"),
    )
    settings_of.checked(
        Path(workflow.basedir, "report/claims.yaml"),
        schema=Path(workflow.basedir, "workflow/schemas/claims.yaml"),
    )
except settings_of.ConfigError as error:
    raise WorkflowError(str(error)) from None

LARGEST_SEED = 2**32 - 1  # as in the schema of the configuration

# From here on every member of a grid is an experiment like the others.
config["experiments"] = grids.expanded(config["experiments"])


def run_of(wildcards):
    """Return the settings of the run that a job is of."""
    if wildcards.experiment not in config["experiments"]:
        known = yamlschema.known(wildcards.experiment, config["experiments"])
        raise WorkflowError(f"there is no experiment '{wildcards.experiment}'. {known}")
    if wildcards.experiment not in RUNS:
        raise WorkflowError(
            f"{wildcards.experiment} is not among the experiments that `select` names; add it or its group there"
        )
    if int(wildcards.get("seed", 0)) > LARGEST_SEED:
        raise WorkflowError(f"seed {wildcards.seed} is too large; {LARGEST_SEED} is the largest")
    return RUNS[wildcards.experiment]


RESULTS = f"results/{config['study']}"
SOURCES = {
    path: source for dataset in data.names() for path, source in data.find(dataset).SOURCES.items()
} | gpt1.EMBEDDING_SOURCES


containerized: config["image"]


wildcard_constraints:
    experiment="[a-z0-9-]+",
    dataset="|".join(data.names()),
    path="|".join(map(re.escape, SOURCES)),
    seed="0|[1-9][0-9]*",
