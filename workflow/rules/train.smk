"""One job per experiment and seed; and what can be said of the models without training them."""

RUN = f"{RESULTS}/runs/{{experiment}}/{{seed}}"
# Asked for by name, because Snakemake misses no input of files that are there. Weights may be deleted.
RUN_FILES = collect(f"{RUN}/run.parquet", experiment=RUNS, seed=config["seeds"])


rule train:
    """Train one experiment with one seed."""
    input:
        prepared=lambda wildcards: f"data/prepared/{run_of(wildcards)['dataset']}.safetensors",
        manifest=lambda wildcards: f"data/prepared/{run_of(wildcards)['dataset']}.json",
        embedding=embedding_of,
        code=code_of,
    output:
        metrics=f"{RUN}/metrics.parquet",
        run=f"{RUN}/run.parquet",
        weights=f"{RUN}/weights.safetensors",
    log:
        f"{RESULTS}/logs/train/{{experiment}}/{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{experiment}}/{{seed}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        **asking(for_training),
        gpu=GPUS,
    params:
        settings=lambda wildcards: settings_of.training_settings(run_of(wildcards)),
        deterministic=config["deterministic"],
        # No output: Snakemake deletes those before a job starts.
        checkpoints=f"{RESULTS}/checkpoints/{{experiment}}/{{seed}}",
    script:
        "../scripts/train.py"


rule size_models:
    """Predict the memory of a training step, and count the parameters of attention."""
    input:
        manifests=collect("data/prepared/{dataset}.json", dataset=DATASETS),
        code=collect(
            "src/trainstudy/{part}.py",
            part=[
                "sizes",
                "losses",
                "mixing",
                "optimizers",
                "models/__init__",
                *TASKS_CODE,
                *MODELS,
            ],
        )
        + script_of("size_models"),
    output:
        predicted=f"{RESULTS}/predicted.parquet",
        attention=f"{RESULTS}/attention.parquet",
    log:
        f"{RESULTS}/logs/size_models.log",
    benchmark:
        f"{RESULTS}/benchmarks/size_models.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        **asking(for_sizing),
    params:
        settings={name: settings_of.training_settings(run) for name, run in RUNS.items()},
    script:
        "../scripts/size_models.py"
