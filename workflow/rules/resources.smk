"""What jobs ask for. The estimates are src/trainstudy/demand.py; here they become resources."""

from snakemake.logging import logger
from trainstudy import demand, provenance


# GPUs are counted on each machine: where jobs are sent elsewhere, their scheduler counts them, and
# the one GPU of profiles/default holds nobody back.
resource_scopes:
    gpu="local",


# A training job takes a whole GPU where this machine has one. The machines that jobs are sent to may
# have some where this one, a login node, has none: a profile says so with `set-resources`.
GPUS = int(provenance.has_gpu())
ASKED = {
    name: resource.raw
    for name, resource in workflow.resource_settings.overwrite_resources.get("train", {}).items()
}
TRAINS_ON_GPU = str(ASKED.get("gpu", GPUS)) != "0" or "gpu" in ASKED.get("gres", "")


# A job on a cluster has no cores of ours to divide: there `auto` is one thread, where it is sent from
# (which has a number of nodes, --jobs) as where it runs.
THREADS = settings_of.threads(
    config["threads"],
    runs=len(RUNS) * len(config["seeds"]),
    cores=(
        None
        if workflow.remote_exec or workflow.resource_settings.nodes
        else workflow.resource_settings.cores
    ),
)


# Not where the rules are read: a dry run has one core, whatever the run will have.
onstart:
    cores = workflow.resource_settings.cores
    if workflow.local_exec and THREADS > (cores or THREADS):
        logger.warning(
            f"threads: {THREADS} is more than --cores {cores}: each training job gets {cores}, and sums round "
            "differently with another number of threads"
        )


def asking(estimate):
    """Return the resources of a rule: estimate(wildcards), as much again with every attempt."""
    return {
        "mem_mb": lambda wildcards, attempt: attempt * estimate(wildcards).mem_mb,
        "runtime": lambda wildcards, attempt: attempt * estimate(wildcards).minutes,
    }


def for_training(wildcards):
    return demand.training(run_of(wildcards), THREADS, TRAINS_ON_GPU)


def for_preparing(wildcards):
    return demand.preparing(wildcards.dataset)


def for_sizing(wildcards):
    return demand.sizing(RUNS)


def for_gathering(wildcards):
    return demand.gathering(RUNS, config["seeds"])
