"""Which code and which files decide the outcome of a job."""

# Code that decides a result. Snakemake compares it by checksum: touching a file reruns nothing. What only
# measures or tells (memory, NVML, provenance of numbers, progress) is left out, lest a study runs again for its sake.
TRAINING_CODE = [
    "arrays",
    "checkpoint",
    "compilation",
    "metrics",
    "models/__init__",
    "optimizers",
    "precision",
    "records",
    "run",
    "state",
    "step",
    "tasks/__init__",
    "tasks/task",
    "trainer",
]
TASKS_CODE = collect("tasks/{part}", part=["__init__", "task", "images", "text"])
CODE_OF_KIND = {
    "images": ["augment", "mixing", "tasks/images"],
    "text": ["losses", "tasks/text"],
}


def script_of(rule):
    """Return the script of a rule: an input like other code, lest a new date alone run it again."""
    return [f"workflow/scripts/{rule}.py"]


def embedding_of(wildcards):
    """Return the pretrained embedding and its manifest, for the experiments that use one."""
    embedding = run_of(wildcards)["model"].get("embedding", "learned")
    prepared = [] if embedding == "learned" else [f"data/prepared/embedding/{embedding}"]
    return collect("{path}.{ending}", path=prepared, ending=["safetensors", "json"])


def code_of(wildcards):
    """Return the code that decides this run's result: what all share, its task and its model."""
    run = run_of(wildcards)
    kind = data.find(run["dataset"]).KIND
    parts = [*TRAINING_CODE, *CODE_OF_KIND[kind], f"models/{run['family']}"]
    return collect("src/trainstudy/{part}.py", part=parts) + script_of("train")


def preparing_code_of(wildcards):
    """Return the code that decides the prepared form of a data set."""
    gpt1_code = ["gpt1"] if getattr(data.find(wildcards.dataset), "TOKENIZER", "") == "gpt1" else []
    return collect(
        "src/trainstudy/{part}.py",
        part=["arrays", "files", "prepare", f"data/{wildcards.dataset}", *gpt1_code],
    ) + script_of("prepare")
