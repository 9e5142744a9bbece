#!/usr/bin/env bash
# Tests or times Snel on a GPU, and writes a folder of results.
#
# THIS SCRIPT HAS NEVER RUN ON A GPU: it was written on a machine without one. What it runs has been
# tested on a CPU emulator only. Look at its results with that in mind.
#
#   bash run.sh tests|timings [--device cuda:N] [--out FOLDER] [--budget SECONDS] [--quick]
#
# Each takes at most the budget, 570 s unless it is given: a part has its own limit, and what no time is
# left for is not run, and said to be so. Results are written as they come. Ends with 1 if a part
# failed, or there was no time for it.
# `--quick` is a rehearsal with little work; with `--device cpu` it needs no GPU.
#
# Needs the NVIDIA driver and libnvrtc. Libraries are also looked for in a folder lib beside this script, in
# /usr/local/cuda, and where pip puts them. Uses libcublasLt (for wide layers), libnccl (2.30 for several
# ranks on one GPU), compute-sanitizer, nvidia-smi and PyTorch where they are there, and says where they are
# not.
# Made by benches/gpu/pack.sh.
set -uo pipefail
from=$PWD
cd "$(dirname "$0")" || exit 2

usage() {
    echo "usage: run.sh tests|timings [--device cuda:N] [--out FOLDER] [--budget SECONDS] [--quick]" >&2
    exit 2
}

part=${1:-} device=cuda:0 out='' budget=570 quick=no
[[ $part == tests || $part == timings ]] || usage
shift
while [[ $# -gt 0 ]]; do
    case $1 in
    --quick) quick=yes && shift && continue ;;
    --device | --out | --budget) [[ $# -ge 2 ]] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --device) device=$2 ;;
    --out) out=$2 ;;
    --budget) budget=$2 ;;
    esac
    shift 2
done
[[ $budget =~ ^[0-9]+$ ]] || usage
if [[ ! -x snel || ! -x tests/on_gpu ]]; then
    echo "run.sh: no snel and tests in $PWD: run this from what benches/gpu/pack.sh has packed" >&2
    exit 2
fi
out=${out:-results-$(date -u +%Y%m%dT%H%M%SZ)-$part}
[[ $out == /* ]] || out=$from/$out
mkdir -p "$out" || exit 2

failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Compiled afresh, so that the time of it is in the results, and nothing old is used.
export SNEL_CACHE_DIR=$scratch/cache
if [[ $device != cpu ]]; then
    export SNEL_TEST_DEVICE=$device SNEL_REQUIRE_NVRTC=1
fi
[[ $quick == no ]] || export SNEL_TEST_REPEATS=100

has() { command -v "$1" > /dev/null; }
say() { echo "$*" | tee -a "$out/summary.txt"; }

# add_libraries: to the loader's path, those of folders that it does not know.
add_libraries() {
    local folder
    local -a folders=("$PWD/lib" /usr/local/cuda/lib64)
    while IFS= read -r folder; do folders+=("$folder"); done < <(python3 -c '
import glob, site
for place in [*site.getsitepackages(), site.getusersitepackages()]:
    for name in ("libnvrtc.so.*", "libcublasLt.so.*", "libnccl.so.2"):
        for file in glob.glob(f"{place}/nvidia/*/lib/{name}"):
            print(file.rsplit("/", 1)[0])' 2> /dev/null | sort -ru)
    for folder in "${folders[@]}"; do
        [[ ! -d $folder ]] || LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
    done
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
    PATH=$PATH:/usr/local/cuda/bin
}

# run NAME LIMIT STDOUT STDERR COMMAND...: runs a part; its end goes into the summary.
run() {
    local name=$1 limit=$2 stdout=$3 stderr=$4 start=$SECONDS left=$((budget - SECONDS)) verdict=passed status
    shift 4
    if ((left < 5)); then
        say "$name: not run, the time is up"
        failed=1
        return 1
    fi
    ((limit <= left)) || limit=$left
    timeout --kill-after 5 "$limit" "$@" > "$stdout" 2> "$stderr"
    status=$?
    case $status in
    0) ! grep -qs '^skipped\|skipped:' "$stdout" "$stderr" || verdict="passed, with parts skipped: see $name.log" ;;
    124 | 137) verdict="FAILED: not done within $limit s" ;;
    *) verdict="FAILED ($status)" ;;
    esac
    ((status == 0)) || failed=1
    say "$name: $verdict, $((SECONDS - start)) s"
    return "$status"
}

# check NAME LIMIT COMMAND...
check() { run "$1" "$2" "$out/$1.log" "$out/$1.err" "${@:3}"; }

# measure NAME LIMIT COMMAND...: the command prints one JSON document.
measure() {
    run "$1" "$2" "$out/$1.json" "$out/$1.log" "${@:3}"
    python3 table.py "$out" > "$out/timings.md" 2> "$scratch/table.err" || cat "$scratch/table.err" >&2
}

clocks() {
    local what=name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw,memory.used
    ! has nvidia-smi || timeout 20 nvidia-smi --query-gpu="$what" --format=csv >> "$out/clocks.csv" 2>&1
}

describe_machine() {
    {
        echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
        echo "commit: $(cat commit 2> /dev/null || echo unknown)"
        echo "machine: $(uname -srm), $(nproc) cores"
        timeout 30 ./snel doctor
        ! has nvcc || nvcc --version | tail -n 2
        ! has compute-sanitizer || compute-sanitizer --version | tail -n 1
    } > "$out/machine.txt" 2>&1
    timeout 30 ./snel doctor --json > "$out/doctor.json"
    if has nvidia-smi; then
        timeout 30 nvidia-smi -q > "$out/nvidia-smi.txt" 2>&1
    else
        say "nvidia-smi: not there"
    fi
    cat "$out/machine.txt"
    if [[ $device != cpu ]] && grep -q '"gpus":\[\]\|"gpus": \[\]' "$out/doctor.json"; then
        say "stopped: snel doctor finds no GPU; see machine.txt"
        exit 1
    fi
}

# The same training run by one process, and by a coordinator and two workers: the same file.
same_hash() {
    local kind hashes
    local -a how=(--device "$device")
    check train 60 ./snel train same-hash.toml --out "$scratch/train" "${how[@]}"
    check launch 90 ./snel launch same-hash.toml --out "$scratch/launch" --workers 2 "${how[@]}"
    for kind in train launch; do
        sha256sum "$scratch/$kind/model.safetensors" | sed "s|$scratch/||" >> "$out/same-hash.txt"
    done
    hashes=$(cut -d ' ' -f 1 "$out/same-hash.txt" | sort -u | wc -l)
    if [[ $hashes == 1 && $(wc -l < "$out/same-hash.txt") == 2 ]]; then
        say "same-hash: passed, $(cut -c 1-16 "$out/same-hash.txt" | head -n 1)"
    else
        say "same-hash: FAILED, see same-hash.txt" && failed=1
    fi
}

sanitizers() {
    local tool
    # One whole step divided in every way, and the updates: every kernel but the scores.
    local -a these=(--exact bits::division_of_chunks_cannot_be_seen updates::updates_have_the_bits_of_the_host)
    if ! has compute-sanitizer; then
        say "sanitizers: not run, compute-sanitizer is not there (it comes with the CUDA toolkit)"
        return
    fi
    for tool in memcheck racecheck synccheck; do
        check "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 1 \
            tests/on_gpu --test-threads 1 --nocapture "${these[@]}"
    done
}

tests() {
    local -a gently=(--test-threads 1 --nocapture)
    # One product first: were the lanes of the tensor cores not where the kernels think, all else
    # would fail, and say less about why.
    check lanes 40 tests/lanes "${gently[@]}"
    check driver 40 tests/driver "${gently[@]}"
    # The list that the emulator is tested with. Most of its time goes to the compiler.
    check on-gpu 200 tests/on_gpu --test-threads 4 --nocapture --skip worlds:: --skip repeats:: --skip rehearsal:: \
        --skip layers::
    same_hash
    # The same layer by layer, where there is cuBLASLt.
    check layers 100 tests/on_gpu --test-threads 4 --nocapture layers::
    check repeats 90 tests/on_gpu "${gently[@]}" repeats::
    # NCCL between processes on one GPU: their digests are compared with that of one process.
    check worlds 120 tests/on_gpu "${gently[@]}" worlds::
    sanitizers
    # Again, by another way between processes.
    check worlds-without-p2p 60 env NCCL_P2P_DISABLE=1 tests/on_gpu "${gently[@]}" worlds::
}

timings() {
    local width precision variant samples=1048576 seconds=2 most=1000000000 few=1000000
    if [[ $quick == yes ]]; then samples=16384 seconds=1 most=100000 few=10000; fi
    local -a size=(--device "$device" --dim 8 --depth 3 --samples "$samples" --batch 4096 --seconds "$seconds")
    clocks
    for width in 64 128 256 512; do
        for precision in bf16 bf16x3 tf32 fp32; do
            measure "step-$width-snel-$precision" 40 \
                ./snel bench step "${size[@]}" --width "$width" --activation silu --precision "$precision" --json
        done
    done
    # Memory must not grow with the number of samples, but for 80 bytes a chunk.
    for samples in $few $most; do
        measure "memory-$samples" 90 ./snel bench step --device "$device" --dim 8 --depth 3 --width 64 \
            --samples "$samples" --batch 4096 --steps 1 --precision bf16 --json
    done
    clocks
    if ! timeout 60 python3 -c 'import sys, torch; sys.exit(sys.argv[1] != "cpu" and not torch.cuda.is_available())' \
        "$device" 2> /dev/null; then
        say "pytorch: not run, python3 has no PyTorch that sees a GPU"
        return
    fi
    for variant in eager-tf32 graph-bf16; do
        for width in 64 128 256 512; do
            measure "step-$width-pytorch-$variant" 75 \
                python3 torch_step.py "${size[@]}" --width "$width" --variant "$variant"
        done
    done
    clocks
}

add_libraries
describe_machine
case $part in
tests) tests ;;
timings) timings ;;
esac
echo "results are in $out"
exit $failed
