"""Before Snakemake reads config.yaml: its own messages name neither line nor cure, or are a traceback."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SRC = str(Path(workflow.basedir, "src"))
sys.path.insert(0, SRC)

from trainstudy import places

try:
    if Path("config.yaml").exists():
        places.read(Path("config.yaml"))
except places.ConfigError as error:
    raise WorkflowError(str(error)) from None
