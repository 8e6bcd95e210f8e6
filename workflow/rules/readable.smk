"""Before Snakemake reads config.yaml: what it says nothing about, or without line and cure."""

import argparse
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SRC = str(Path(workflow.basedir, "src"))
sys.path.insert(0, SRC)

from trainstudy import yamlfiles, yamlschema

# A profile that is not there Snakemake passes over, and profiles/default with it: jobs for a cluster would
# run here.
known = argparse.ArgumentParser(add_help=False)
known.add_argument("--workflow-profile", default="none")
profile = known.parse_known_args()[0].workflow_profile
started = Path(os.environ.get("PWD", "."))  # --directory has left it
folders = [
    Path(workflow.basedir, "profiles"),
    Path("profiles"),
    Path(),
    started,
    started / "profiles",
]
if profile != "none" and not any(Path(folder, profile).exists() for folder in folders):
    ours = [folder.name for folder in folders[0].iterdir()]
    raise WorkflowError(
        f"--workflow-profile: there is no profile '{profile}'. {yamlschema.known(profile, ours)}"
    )
if workflow.resource_settings.cores == 0:
    raise WorkflowError(
        "--cores 0: no job could start, and Snakemake would wait for ever; give 1 or more."
    )
if not Path("config.yaml").exists():
    raise WorkflowError(
        f"there is no config.yaml in {Path.cwd()}: run Snakemake in the project's folder, {workflow.basedir}"
    )
try:
    yamlfiles.read(Path("config.yaml"))
except yamlfiles.ConfigError as error:
    raise WorkflowError(str(error)) from None
