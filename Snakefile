"""Train every experiment of config.yaml, gather the metrics, draw and write the report."""

from snakemake.utils import min_version

min_version("9.16.3")


include: "workflow/rules/readable.smk"


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/code.smk"
include: "workflow/rules/contents.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/results.smk"


report: "report/workflow.rst"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        [MEASURED[name] for name in settings_of.RESULT_FILES],
        [] if config["measured"] else RUN_FILES,
        collect(f"{RESULTS}/tables/{{item}}.{{ending}}", item=TABLES, ending=["csv", "html"]),
        collect(
            f"{RESULTS}/figures/{{item}}.{{ending}}", item=FIGURES, ending=["svg", "png", "csv"]
        ),


onsuccess:
    print(closing_words())
