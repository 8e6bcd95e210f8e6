"""What the study found: the input of every table, figure and claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

PUBLISHED_DATASET = {"lstm": "wikitext2", "vit": "cifar10", "cnn": "cifar10"}
REPORTS = ("A", "B")


@dataclass(frozen=True)
class Results:
    """Everything that tables, figures and claims are made from.

    `runs` and `metrics` as in the Parquet files, `published` the figures of the reports,
    `predicted` memory and `attention` parameters (see sizes.py), `groups` {experiment: group},
    `claims` the statements of the reports (see claims.py).
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    published: pd.DataFrame
    predicted: pd.DataFrame = field(default_factory=pd.DataFrame)
    attention: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, dict] = field(default_factory=dict)


def read(
    files: Mapping[str, str], groups: Mapping[str, str], claims: Mapping[str, dict]
) -> Results:
    """Read the results from their files: runs, metrics, predicted, attention, published."""
    parquet = ("runs", "metrics", "predicted", "attention")
    frames = {name: pd.read_parquet(Path(files[name])) for name in parquet}
    published = pd.read_csv(Path(files["published"]))
    return Results(**frames, published=published, groups=groups, claims=claims)
