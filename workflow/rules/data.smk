"""Fetch each pinned source, verify it, and bring each data set into its prepared form once."""


# Runs where Snakemake does: the nodes of a cluster often reach no network, its login node does.
localrules:
    fetch,


rule fetch:
    """Download one input, or copy it from a mirror, and compare its checksum."""
    output:
        "data/downloads/{path}",
    log:
        "data/logs/fetch/{path}.log",
    benchmark:
        "data/benchmarks/fetch/{path}.tsv"
    conda:
        "../../envs/data.yaml"
    # Where a file came from is no parameter: it is pinned or named as a mirror's, and stays when the study
    # goes on without `mirror`. Snakemake would delete it first, and then train everything again.
    params:
        source=lambda wildcards: vars(SOURCES[wildcards.path]),
    script:
        "../scripts/fetch.py"


rule prepare:
    """Bring one data set into its prepared form."""
    input:
        sources=lambda wildcards: collect(
            "data/downloads/{path}", path=data.find(wildcards.dataset).SOURCES
        ),
        code=preparing_code_of,
    output:
        arrays="data/prepared/{dataset}.safetensors",
        manifest="data/prepared/{dataset}.json",
    log:
        "data/logs/prepare/{dataset}.log",
    benchmark:
        "data/benchmarks/prepare/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        **asking(for_preparing),
    script:
        "../scripts/prepare.py"


rule prepare_embedding:
    """Bring GPT-1's embedding into its prepared form."""
    input:
        sources=collect("data/downloads/{path}", path=gpt1.EMBEDDING_SOURCES),
        code=collect("src/trainstudy/{part}.py", part=["arrays", "files", "gpt1", "prepare"])
        + script_of("prepare_embedding"),
    output:
        arrays="data/prepared/embedding/gpt1.safetensors",
        manifest="data/prepared/embedding/gpt1.json",
    log:
        "data/logs/prepare_embedding/gpt1.log",
    benchmark:
        "data/benchmarks/prepare_embedding.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        **asking(lambda wildcards: demand.EMBEDDING),
    script:
        "../scripts/prepare_embedding.py"
