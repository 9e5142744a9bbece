#!/usr/bin/env bash
# Trains a model by every objective, each with about 20 million evaluations of the energy and at three
# learning rates, and puts the best rate of each objective, by the validation rows, side by side: the
# tables of docs/objectives.md.
#
#     benches/objectives.sh FOLDER [SET…]      sets of data: rings, power-plant; runs that are there are kept
#
# SNEL names the program (default target/release/snel), THREADS its threads. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
shift
sets=("$@")
[[ $# == 0 ]] && sets=(rings power-plant)
snel=${SNEL:-target/release/snel}
mkdir -p "$folder"

# Rows and samples of a step: 512 + 2,048, or 512 + 512 chains.
declare -A steps=([snl]=8000 [nce]=8000 [is-mle]=8000 [pcd]=3080 [short-run]=1880 [cd]=3330)
declare -A objective=(
    [snl]="{ kind = 'snl' }"
    [nce]="{ kind = 'nce' }"
    [is-mle]="{ kind = 'is-mle' }"
    [pcd]="{ kind = 'mcmc', start = 'persistent', kernel = 'mala', steps = 10, step_size = 0.15, adapt = false }"
    [short-run]="{ kind = 'mcmc', start = 'proposal', kernel = 'mala', steps = 18, step_size = 0.15, adapt = false }"
    [cd]="{ kind = 'mcmc', start = 'data', kernel = 'ula', steps = 10 }"
)
declare -A data=(
    [rings]="{ toy = 'rings', rows = 20000 }"
    [power-plant]="{ path = 'examples/data/power-plant.csv' }"
)

# The folder with the highest lower bound on the validation rows.
best() {
    "$snel" compare --json "$@" 2>/dev/null | python3 -c '
import json, sys
runs = json.load(sys.stdin)["runs"]
print(max(runs, key=lambda run: run["now"]["lower"])["path"])'
}

for set in "${sets[@]}"; do
    chosen=()
    for name in snl nce is-mle pcd short-run cd; do
        ended=()
        samples=2048
        [[ ${objective[$name]} == *mcmc* ]] && samples=512
        for lr in 1e-3 3e-4 1e-4; do
            run=$folder/$set/$name-$lr
            if [[ ! -f $run/eval.json ]]; then
                config=$folder/$set-$name-$lr.toml
                cat > "$config" <<END
objective = ${objective[$name]}
[model]
depth = 3
width = 64
[proposal]
kind = "gaussian"
scale = 1.2
[optim]
lr = $lr
[train]
steps = ${steps[$name]}
batch = 512
samples = $samples
valid_every = $((steps[$name] / 20))
END
                # A path in a config is meant from its folder, one in --set from here.
                "$snel" train "$config" --out "$run" ${THREADS:+--threads "$THREADS"} \
                    --set "data=${data[$set]}" >&2 || echo "$run did not end" >&2
            fi
            [[ -f $run/eval.json ]] && ended+=("$run")
        done
        chosen+=("$(best "${ended[@]}")")
    done
    echo "== $set"
    "$snel" compare "${chosen[@]}"
done
