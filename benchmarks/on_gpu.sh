#!/usr/bin/env bash
# What to run where a GPU is at hand, in parts that each fit ten minutes:
#   benchmarks/on_gpu.sh tests | bench | study
# The Python on the PATH needs torch with CUDA, torchvision and the packages of requirements/dev.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD/src
case "${1:-}" in
  tests) python -m pytest -q tests/unit ;;
  bench)
    python benchmarks/bench.py --rounds 5
    python benchmarks/costs.py
    python benchmarks/sharing.py
    python benchmarks/page.py
    ;;
  study) python -m snakemake --cores "$(nproc)" --resources gpu=1 "${@:2}" ;;
  *) sed -n '2,4p' "$0"; exit 2 ;;
esac
