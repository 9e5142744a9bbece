#!/usr/bin/env bash
# Packs what benches/gpu/run.sh needs into target/snel-gpu.tar.gz: copy that to a machine with a GPU,
# which needs no Rust and no network. Nothing here has run on a GPU yet.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --locked --release -p snel-cli
# One line of JSON for each test binary; `executable` is where it lies.
binaries=$(cargo test --locked --release -p snel-cuda --no-run --message-format=json 2>/dev/null |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["executable"])')

pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT
mkdir -p "$pack/snel-gpu/tests"
cp target/release/snel benches/gpu/run.sh benches/gpu/torch_step.py "$pack/snel-gpu"
for binary in $binaries; do
    name=$(basename "$binary")
    cp "$binary" "$pack/snel-gpu/tests/${name%-*}"
done
git describe --always --dirty > "$pack/snel-gpu/commit"
tar -C "$pack" -czf target/snel-gpu.tar.gz snel-gpu
echo "target/snel-gpu.tar.gz: $(du -h target/snel-gpu.tar.gz | cut -f1). On the machine with the GPU:"
echo "    tar xzf snel-gpu.tar.gz && bash snel-gpu/run.sh"
