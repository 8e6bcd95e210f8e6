"""From the two Parquet files to tables, figures and the report. Nothing here needs torch."""

PUBLISHED = "resources/published.csv"


rule make_tables:
    input:
        metrics=rules.aggregate.output.metrics,
        runs=rules.aggregate.output.runs,
        published=PUBLISHED,
        code="src/trainstudy/tables.py",
    output:
        csv=collect(f"{RESULTS}/tables/{{item}}.csv", item=TABLES),
        html=[report(f"{RESULTS}/tables/{item}.html", **in_report(item)) for item in TABLES],
    log:
        f"{RESULTS}/logs/make_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_tables.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **asking(for_gathering),
    params:
        titles={name: ITEMS[name]["title"] for name in TABLES},
    script:
        "../scripts/make_tables.py"


rule plot_figures:
    input:
        metrics=rules.aggregate.output.metrics,
        code="src/trainstudy/figures.py",
    output:
        svg=[report(f"{RESULTS}/figures/{item}.svg", **in_report(item)) for item in FIGURES],
        png=collect(f"{RESULTS}/figures/{{item}}.png", item=FIGURES),
    log:
        f"{RESULTS}/logs/plot_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_figures.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **asking(for_gathering),
    params:
        groups={name: run["group"] for name, run in RUNS.items()},
    script:
        "../scripts/plot_figures.py"


rule write_report:
    input:
        metrics=rules.aggregate.output.metrics,
        runs=rules.aggregate.output.runs,
        published=PUBLISHED,
        figures=rules.plot_figures.output.svg,
        captions=collect("report/{item}.rst", item=ITEMS),
        template="report/report.html.j2",
        code=collect("src/trainstudy/{part}.py", part=["report", "tables", "records"]),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../../report/workflow.rst",
            category="The whole report",
            labels={"item": "everything on one page", "against": "reports A and B"},
        ),
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **asking(for_gathering),
    params:
        study=config["study"],
        contents=ITEMS,
    script:
        "../scripts/write_report.py"
