"""One job per experiment and seed."""


rule train:
    input:
        prepared=lambda wildcards: f"data/prepared/{RUNS[wildcards.experiment]['dataset']}.safetensors",
        manifest=lambda wildcards: f"data/prepared/{RUNS[wildcards.experiment]['dataset']}.json",
        embedding=embedding_of,
        code=code_of,
    output:
        metrics=f"{RESULTS}/runs/{{experiment}}/{{seed}}/metrics.parquet",
        run=f"{RESULTS}/runs/{{experiment}}/{{seed}}/run.parquet",
        weights=f"{RESULTS}/runs/{{experiment}}/{{seed}}/weights.safetensors",
    log:
        f"{RESULTS}/logs/train/{{experiment}}/{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{experiment}}/{{seed}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        gpu=GPUS,
        # Not a parameter: another interval leaves finished runs as they are.
        checkpoint_seconds=config["checkpoint_seconds"],
    params:
        settings=lambda wildcards: settings_of.training_settings(RUNS[wildcards.experiment]),
        deterministic=config["deterministic"],
        # No output: Snakemake deletes those before a job starts.
        checkpoints=f"{RESULTS}/checkpoints/{{experiment}}/{{seed}}",
    script:
        "../scripts/train.py"


rule aggregate:
    input:
        metrics=collect(rules.train.output.metrics, experiment=RUNS, seed=config["seeds"]),
        runs=collect(rules.train.output.run, experiment=RUNS, seed=config["seeds"]),
    output:
        metrics=f"{RESULTS}/metrics.parquet",
        runs=f"{RESULTS}/runs.parquet",
    log:
        f"{RESULTS}/logs/aggregate.log",
    benchmark:
        f"{RESULTS}/benchmarks/aggregate.tsv"
    conda:
        "../../envs/analysis.yaml"
    script:
        "../scripts/aggregate.py"
