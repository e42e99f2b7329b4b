#!/usr/bin/env bash
# `make history`: measures commits, each installed in an environment of its own set of pins, and then runs the gate, which
# may require a second run of some. Arguments: as for `asv run`, with a range of commits; before them `--quick` for eight
# ratios of a step to its products alone, at d = 512 and 1024. BIN: folder of asv and mimverify.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

results=$PWD/asv_benchmarks/results
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Without spaces in its path, at which pip would split it.
cp constraints.txt "$scratch"
export PIP_CONSTRAINT=$scratch/constraints.txt PIP_BUILD_CONSTRAINT=$scratch/constraints.txt
export MIMVERIFY_BENCH=${MIMVERIFY_BENCH:-full}

# Exit 2: some benchmark failed, as is normal for one whose part of the package an old commit lacks.
measure() {
    "$BIN/asv" run --config asv_benchmarks/asv.conf.json --machine mimverify-ci "$@" || (($? == 2))
}

# By a selection rather than other sizes: asv would list those instead, and hide what was measured at all sizes.
ratios='track_ratio|track_memory_over_inputs'
selected=()
if [[ ${1:-} == --quick ]]; then
    shift
    ratios="ratios\.StepOverProducts\.track_ratio\('\w+', (512|1024), 64, "
    selected=(--bench "$ratios")
fi

measure --skip-existing-successful "${selected[@]}" "$@"
code=0
"$BIN/mimverify" history "$results" --gate --suspects "$scratch/suspects" || code=$?
if [[ -s $scratch/suspects ]]; then
    echo "measuring the suspects again"
    cp -r "$results" "$scratch/first"
    measure --bench "$ratios" "HASHFILE:$scratch/suspects"
    code=0
    "$BIN/mimverify" history "$results" --gate --confirm "$scratch/first" || code=$?
fi
exit "$code"
