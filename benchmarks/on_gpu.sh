#!/usr/bin/env bash
# What to run where a GPU is at hand, in parts that each fit ten minutes:
#   benchmarks/on_gpu.sh tests | bench | costs | sharing | page | study [arguments of what is run]
# The slower three take part of their work at a time: tests a file or more, bench and sharing cases.
# PYTHON (python3) needs torch with CUDA, torchvision, pytest, hypothesis and the packages of
# requirements/run.txt. The tests of downloads and of the page in a browser need more, and no GPU.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} TORCHINDUCTOR_COMPILE_THREADS=4
python=${PYTHON:-python3}
case "${1:-}" in
  # The variable is read when CUDA's matrix products are first used, which is before some test asks for it.
  # Verbose, since a limit of time would cut off the list of failures, which comes last.
  tests) [ $# -gt 1 ] || set -- tests tests/unit
    CUBLAS_WORKSPACE_CONFIG=:4096:8 "$python" -m pytest --verbose \
      --ignore tests/unit/test_fetch.py --ignore tests/unit/test_page.py "${@:2}" ;;
  bench) "$python" benchmarks/bench.py --rounds 5 "${@:2}" ;;
  costs | sharing | page) "$python" "benchmarks/$1.py" "${@:2}" ;;
  study) "$python" -m snakemake --cores "$(nproc)" "${@:2}" ;;
  *) sed -n '2,6p' "$self"; exit 2 ;;
esac
