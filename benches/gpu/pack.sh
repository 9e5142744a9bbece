#!/usr/bin/env bash
# Packs what benches/gpu/run.sh needs into target/snel-gpu.tar.gz: copy that to a machine with a GPU,
# which needs no Rust and no network.
#
#   benches/gpu/pack.sh [LIBRARY...]
#
# Files named here, as libnvrtc.so.13, libcublasLt.so.13 or libnccl.so.2 for a machine that lacks them, go
# into a folder that run.sh looks for libraries in. NVRTC needs its libnvrtc-builtins beside it.
set -euo pipefail
libraries=()
for library in "$@"; do libraries+=("$(realpath -s "$library")"); done
cd "$(dirname "$0")/../.."

target=$(cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --locked --release -p snel-cli
# One line of JSON for each test binary; `executable` is where it lies. The other tests have sources
# or libraries of the machine that they were built on.
binaries=$(cargo test --locked --release -p snel-cuda --test lanes --test driver --test on_gpu \
    --no-run --message-format=json | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["executable"])')
[[ $(wc -w <<< "$binaries") == 3 ]] || { echo "pack.sh: not three test binaries: $binaries" >&2 && exit 1; }

pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT
to=$pack/snel-gpu
mkdir -p "$to/tests"
cp "$target/release/snel" benches/gpu/{run.sh,table.py,torch_step.py,same-hash.toml} "$to"
for binary in $binaries; do
    name=$(basename "$binary")
    cp "$binary" "$to/tests/${name%-*}"
done
if [[ ${#libraries[@]} -gt 0 ]]; then
    mkdir "$to/lib" && cp -L "${libraries[@]}" "$to/lib"
fi
git describe --always --dirty > "$to/commit"
mkdir -p target
tar -C "$pack" -czf target/snel-gpu.tar.gz snel-gpu
echo "target/snel-gpu.tar.gz: $(du -h target/snel-gpu.tar.gz | cut -f1). On the machine with the GPU:"
echo "    tar xzf snel-gpu.tar.gz && bash snel-gpu/run.sh tests; bash snel-gpu/run.sh timings"
