"""The tables of the report: numbers for the CSV files, and the same as HTML.

A column named "… ±" holds half the width of the 95 % interval of the column before it.
"""

from collections.abc import Callable

import pandas as pd

from trainstudy import claims
from trainstudy.results import Results
from trainstudy.tables import changes, cost, images, scores
from trainstudy.tables.html import to_html, to_page

__all__ = ["TABLES", "build", "to_html", "to_page"]

TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "claims": claims.table,
    "lstm-results": scores.language_models,
    "lstm-against-reports": scores.language_models_against_reports,
    "vit-results": scores.vision_transformers,
    "vit-against-reports": scores.vision_transformers_against_reports,
    "over-fitting": scores.over_fitting,
    "cnn-against-vit": images.cnn_against_vit,
    "attention-parameters": images.attention_parameters,
    "single-changes": changes.single_changes,
    "norm-stability": changes.norm_stability,
    "wall-clock": cost.wall_clock,
    "equal-time": cost.equal_time,
    "spent": cost.spent,
    "memory": cost.memory,
    "memory-predicted": cost.memory_predicted,
}


def build(name: str, results: Results) -> pd.DataFrame:
    """Return a table by its name; whole numbers (layers, epochs) are integers."""
    return TABLES[name](results).convert_dtypes()
