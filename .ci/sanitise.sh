#!/usr/bin/env bash
# The native library with the sanitisers of addresses and undefined behaviour, under the tests that compare it with the
# oracle over shapes, strides and places in memory. Nothing is built in the tree.
#
#   .ci/sanitise.sh PYTHON [EXAMPLES]     PYTHON has the development environment; CC names the compiler (cc)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 examples=${2:-300}
[[ $python == /* ]] || python=$PWD/$python

runtime=$("${CC:-cc}" -print-file-name=libasan.so)
[[ $runtime == /* ]] || { echo "this compiler has no run-time library of sanitisers: left out"; exit; }

root=$PWD scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r mimverify "$scratch/mimverify"
rm -f "$scratch"/mimverify/native/*.so
cd "$scratch" # whose package is the one that Python finds first

"$python" - <<'PYTHON'
from mimverify.native import compiler

flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
compiler.build(compiler.SOURCES / compiler.LIBRARY, flags)
PYTHON

# Python itself is not sanitised: the run-time library has to be there before it. Its leaks are not ours.
export LD_PRELOAD=$runtime
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
export MIMVERIFY_FUZZ_EXAMPLES=$examples PYTHONMALLOC=malloc
"$python" -c "
from mimverify.native import compiler, pass_in_use
assert str(compiler.SOURCES).startswith('$scratch') and pass_in_use()[0] != 'numpy', pass_in_use()"
"$python" -m pytest -n 0 -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" \
    "$root/tests/native/test_functions.py" "$root/tests/native/test_network_pass.py" \
    "$root/tests/problems/test_normal_stream.py" -k "not threads and not lazy and not only_the_librarys"
