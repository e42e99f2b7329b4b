#!/usr/bin/env bash
# The tests of what the native pass touches: with the compiler that CC names (cc), on a platform that .ci/run does not see,
# or with MIMVERIFY_NATIVE=0 without it. (The whole suite once more would take too long.)
#
#   .ci/native.sh [ARGUMENTS of pytest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make venv
.venv/bin/python -c "
import os
from mimverify.native import pass_in_use
pass_, why = pass_in_use()
print('pass:', pass_, why)
assert (pass_ == 'numpy') is (os.environ.get('MIMVERIFY_NATIVE') == '0')"
tests="tests/training tests/designs/test_designs.py tests/problems/test_normal_stream.py"
[[ ${MIMVERIFY_NATIVE:-} == 0 ]] || tests="tests/native $tests"
make test ARGS="-n 0 -q $tests $*"
