#!/usr/bin/env bash
# Does the wheel work for somebody who has nothing else? Installs it into an empty environment and uses it from an
# empty folder, where neither the checkout nor its .venv can help.
#
#   .ci/smoke.sh [--without-torch] WHEEL     PYTHON names the interpreter (python3)
#   .ci/smoke.sh --verdicts FILE             only judge a report that `mimverify check --json FILE` wrote
set -euo pipefail

# Strict JSON (no NaN, no key twice), at least one claim passed, none failed or broke.
judge_verdicts() { # PYTHON FILE
    "$1" -I - "$2" <<'PYTHON'
import collections, json, sys

ACCEPTABLE = {"passed", "inconclusive", "not applicable", "expected failure"}


def no_constant(text):
    sys.exit(f"not strict JSON: {text}")


def no_repeats(pairs):
    repeated = [k for k, n in collections.Counter(k for k, _ in pairs).items() if n > 1]
    return sys.exit(f"not strict JSON: repeated keys {repeated}") if repeated else dict(pairs)


def verdicts(node):
    if isinstance(node, dict):
        if isinstance(node.get("status"), str):
            yield node["status"].lower().replace("_", " ").replace("-", " "), node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from verdicts(child)


with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file, parse_constant=no_constant, object_pairs_hook=no_repeats)
found = list(verdicts(report))
counts = collections.Counter(status for status, _ in found)
print("statuses:", ", ".join(f"{n} {status}" for status, n in counts.most_common()) or "none")
for status, node in found:
    if status not in ACCEPTABLE:
        print(json.dumps(node)[:2000])
if set(counts) - ACCEPTABLE or not counts["passed"]:
    sys.exit("the report is not acceptable")
PYTHON
}

if [[ ${1:-} == --verdicts ]]; then
    judge_verdicts "${PYTHON:-python3}" "$2"
    exit
fi

torch=yes
left_out=()
if [[ ${1:-} == --without-torch ]]; then
    torch=no
    left_out=(-k "not backends-agree") # NumPy's and Torch's
    shift
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
[[ $# -eq 1 && -f $1 ]] || { echo "usage: smoke.sh WHEEL (got: $*)" >&2; exit 2; }
wheel=$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/elsewhere"
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_CONSTRAINT PIP_BUILD_CONSTRAINT

"${PYTHON:-python3}" -m venv "$scratch/venv"
export PATH="$scratch/venv/bin:$PATH"
cd "$scratch/elsewhere"

echo "installing $(basename "$wheel") into an empty environment"
# Compiled is what is imported, not all of Torch.
install=(python -m pip install -qq --disable-pip-version-check --no-compile -c "$root/constraints.txt")
if [[ $torch == yes ]]; then
    "${install[@]}" "$wheel"
    python -m pip check
else
    # Where there are no wheels of Torch: all else that the package asks for.
    "${install[@]}" --no-deps "$wheel"
    python -I - >requirements.txt <<'PYTHON'
from importlib.metadata import requires

print(*(each for each in requires("mimverify") if "extra ==" not in each and not each.startswith("torch")), sep="\n")
PYTHON
    "${install[@]}" -r requirements.txt
fi

python -I - "$root" <<'PYTHON'
import importlib.util, pathlib, sys

import mimverify

package = pathlib.Path(mimverify.__file__).parent
assert pathlib.Path(sys.argv[1]) not in package.parents, f"imported from the checkout: {package}"
assert (package / "py.typed").is_file(), "no py.typed"
assert list((package / "_properties").glob("test_*.py")), "the trial is not in the package"
assert importlib.util.find_spec("properties") is None, "a top-level `properties` was installed"
PYTHON

# A wheel of a platform brings the native pass, and it is in use.
[[ $wheel == *-none-any.whl ]] && pass=numpy || pass=native
mimverify --version | tee version.txt
grep -q "^pass: $pass" version.txt
mimverify claims
mimverify check numpy --profile quick ${left_out[@]+"${left_out[@]}"} --json "$scratch/report.json"
judge_verdicts python "$scratch/report.json"
