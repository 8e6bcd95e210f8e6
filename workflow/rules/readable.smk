"""Before Snakemake reads config.yaml: its own messages name neither line nor cure, or are a traceback."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SRC = str(Path(workflow.basedir, "src"))
sys.path.insert(0, SRC)

from trainstudy import places

if not Path("config.yaml").exists():
    raise WorkflowError(
        f"there is no config.yaml in {Path.cwd()}: run Snakemake in the project's folder, {workflow.basedir}"
    )
try:
    places.read(Path("config.yaml"))
except places.ConfigError as error:
    raise WorkflowError(str(error)) from None
