"""Which code and which files decide the outcome of a job."""

# Code that decides a result. Snakemake compares it by checksum: touching a file reruns nothing.
TRAINING_CODE = collect(
    "src/trainstudy/{part}.py",
    part=[
        "arrays",
        "augment",
        "checkpoint",
        "compilation",
        "losses",
        "metrics",
        "mixing",
        "optimizers",
        "records",
        "run",
        "state",
        "tasks",
        "trainer",
    ],
)


def embedding_of(wildcards):
    """Return the pretrained embedding and its manifest, for the experiments that use one."""
    embedding = RUNS[wildcards.experiment]["model"].get("embedding", "learned")
    prepared = [] if embedding == "learned" else [f"data/prepared/embedding/{embedding}"]
    return collect("{path}.{ending}", path=prepared, ending=["safetensors", "json"])


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
