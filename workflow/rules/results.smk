"""From the files of all runs to tables, figures and the report. Nothing here needs torch."""

# What results.read takes: what this study measured, or what an earlier one did.
MEASURED = {
    name: f"{config['measured'] or RESULTS}/{name}.parquet" for name in settings_of.RESULT_FILES
} | {"published": "resources/published.csv"}
# Code that decides more than one of them.
SHARED = [
    "claims",
    "comparisons",
    "curves",
    "estimates",
    "origin",
    "places",
    "quantities",
    "records",
    "results",
    "style",
]
# Data sets say how many images were held out, which decides what a difference of accuracies tells.
ANALYSIS_CODE = collect(
    "src/trainstudy/{part}.py", part=SHARED + collect("data/{dataset}", dataset=DATASETS)
)
# Not what editors keep beside a file, under a name that begins with a dot.
TABLES_CODE = sorted(map(str, Path("src/trainstudy/tables").glob("[!.]*.py")))
FIGURES_CODE = sorted(map(str, Path("src/trainstudy/figures").glob("[!.]*.py")))
# An earlier study may hold more than is selected.
SHOWN = {"experiments": sorted(RUNS), "seeds": sorted(config["seeds"])}
# What only families that are not selected fill: what an earlier selection made of it would look current.
ABSENT = sorted({*CONTENTS["items"]} - {*ITEMS})
# An input and no parameter: Snakemake's report prints the parameters of a job in full.
CLAIMS = ["report/claims.yaml", "workflow/schemas/claims.yaml"]


rule aggregate:
    """Gather the metrics and facts of all runs into two Parquet files."""
    input:
        metrics=collect(f"{RUN}/metrics.parquet", experiment=RUNS, seed=config["seeds"]),
        runs=RUN_FILES,
        code=script_of("aggregate"),
    output:
        metrics=f"{RESULTS}/metrics.parquet",
        runs=f"{RESULTS}/runs.parquet",
    log:
        f"{RESULTS}/logs/aggregate.log",
    benchmark:
        f"{RESULTS}/benchmarks/aggregate.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **asking(for_gathering),
    script:
        "../scripts/aggregate.py"


rule make_tables:
    """Write every table as CSV and HTML."""
    input:
        **MEASURED,
        claims=CLAIMS,
        code=ANALYSIS_CODE + TABLES_CODE + script_of("make_tables"),
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
        **SHOWN,
        absent=ABSENT,
        titles={name: ITEMS[name]["title"] for name in TABLES},
        families={name: ITEMS[name]["families"] for name in TABLES},
    script:
        "../scripts/make_tables.py"


rule plot_figures:
    """Draw every figure, with the numbers behind it."""
    input:
        **MEASURED,
        code=ANALYSIS_CODE + FIGURES_CODE + script_of("plot_figures"),
    output:
        svg=[report(f"{RESULTS}/figures/{item}.svg", **in_report(item)) for item in FIGURES],
        others=collect(
            f"{RESULTS}/figures/{{item}}.{{ending}}", item=FIGURES, ending=["png", "csv", "txt"]
        ),
    log:
        f"{RESULTS}/logs/plot_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_figures.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **asking(for_gathering),
    params:
        **SHOWN,
        absent=ABSENT,
    script:
        "../scripts/plot_figures.py"


rule write_report:
    """Write the page that shows everything."""
    input:
        **MEASURED,
        claims=CLAIMS,
        contents="report/contents.yaml",
        figures=rules.plot_figures.output.svg,
        texts=collect(f"{RESULTS}/figures/{{item}}.txt", item=FIGURES),
        numbers=collect(f"{RESULTS}/figures/{{item}}.csv", item=FIGURES),
        captions=collect("report/{item}.rst", item=ITEMS),
        page=collect(
            "report/page/{file}", file=["report.html.j2", "style.css", "chart.js", "page.js"]
        ),
        code=ANALYSIS_CODE
        + TABLES_CODE
        + collect("src/trainstudy/{part}.py", part=["report", "summary"])
        + script_of("write_report"),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../../report/workflow.rst",
            category="The whole report",
            labels={"item": "everything on one page"},
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
        **SHOWN,
        study=config["study"],
        declared=len(config["experiments"]),
        missing=as_text(MISSING),
        repeating=as_text(REPEATING),
    script:
        "../scripts/write_report.py"
