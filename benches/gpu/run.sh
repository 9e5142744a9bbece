#!/usr/bin/env bash
# Tests and times Snel on a GPU, and writes a folder of results.
#
# THIS SCRIPT HAS NEVER RUN ON A GPU: it was written on a machine without one. What it runs has been
# tested on a CPU emulator only. Look at its results with that in mind.
#
#   bash run.sh [--device cuda:N] [--out FOLDER] [--quick]
#
# Needs the NVIDIA driver and libnvrtc (from the CUDA toolkit, or `pip install nvidia-cuda-nvrtc` and
# LD_LIBRARY_PATH). Uses compute-sanitizer, nvidia-smi and PyTorch where they are there, and says where
# they are not. Made by benches/gpu/pack.sh; in order: what the machine is, the lanes of the tensor
# cores, all tests, the sanitizers, timings, PyTorch beside them. Ends with 1 if a test failed.
set -uo pipefail
cd "$(dirname "$0")"

device=cuda:0 out=results-$(date -u +%Y%m%dT%H%M%SZ) seconds=5
while [[ $# -gt 0 ]]; do
    case $1 in
    --device) device=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --quick) seconds=1 && shift ;;
    *) echo "unknown argument $1" >&2 && exit 2 ;;
    esac
done
mkdir -p "$out"
failed=0
# Compiled afresh, so that the time of it is in the results, and nothing old is used.
SNEL_CACHE_DIR=$(mktemp -d) && export SNEL_CACHE_DIR
export SNEL_TEST_DEVICE=$device SNEL_REQUIRE_NVRTC=1
trap 'rm -rf "$SNEL_CACHE_DIR"' EXIT

has() { command -v "$1" > /dev/null; }

# note NAME COMMAND...: its output into a file, its end into the summary.
note() {
    local name=$1 start=$SECONDS verdict=passed
    shift
    timeout 1800 "$@" > "$out/$name.log" 2>&1 || { verdict="FAILED ($?)" && failed=1; }
    echo "$name: $verdict, $((SECONDS - start)) s" | tee -a "$out/summary.txt"
}

without() { echo "$1: not run, $2" | tee -a "$out/summary.txt"; }

{
    echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "commit: $(cat commit 2> /dev/null)"
    echo "machine: $(uname -srm), $(nproc) cores"
    ./snel doctor
} > "$out/machine.txt" 2>&1
./snel doctor --json > "$out/doctor.json"
if has nvidia-smi; then
    nvidia-smi -q > "$out/nvidia-smi.txt" 2>&1
else
    without nvidia-smi "it is not there"
fi
cat "$out/machine.txt"

# One product first: were the lanes of the tensor cores not where the kernels think, all else would
# fail, and say less about why.
note lanes tests/lanes --nocapture
for binary in tests/*; do
    [[ $binary == tests/lanes ]] || note "test-$(basename "$binary")" "$binary" --nocapture --test-threads 1
done

if has compute-sanitizer; then
    for tool in memcheck racecheck synccheck initcheck; do
        for binary in tests/*; do
            note "$tool-$(basename "$binary")" compute-sanitizer --tool "$tool" --error-exitcode 1 \
                "$binary" --test-threads 1
        done
    done
else
    without sanitizers "compute-sanitizer is not there (it comes with the CUDA toolkit)"
fi

shapes=(
    "--dim 8 --width 64 --depth 3"
    "--dim 8 --width 128 --depth 3"
    "--dim 64 --width 128 --depth 3"
    "--dim 64 --width 256 --depth 3"
    "--dim 784 --width 256 --depth 3"
)
torch=no
has python3 && python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null && torch=yes
[[ $torch == yes ]] || without pytorch "python3 has no PyTorch that sees a GPU"
for shape in "${shapes[@]}"; do
    for samples in 65536 1048576; do
        size="$shape --samples $samples --batch 4096 --seconds $seconds"
        name=step-$(tr -cs '0-9\n' '-' <<< "$shape" | sed 's/^-//')-$samples
        # shellcheck disable=SC2086 # the words of a size are words
        note "$name" ./snel bench step --device "$device" $size --json
        [[ $torch == yes ]] || continue
        for variant in eager-fp32 eager-tf32 eager-bf16 compile-bf16 graph-bf16; do
            # shellcheck disable=SC2086
            note "$name-$variant" python3 torch_step.py --device "$device" --variant $variant $size
        done
    done
done

echo "results are in $out"
exit $failed
