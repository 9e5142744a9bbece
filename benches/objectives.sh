#!/usr/bin/env bash
# Trains a model by every objective on three sets of data, each with about 20 million evaluations of the
# energy, and puts them side by side: the tables of docs/objectives.md.
#
#     benches/objectives.sh FOLDER [SEED]      runs that are there are not made again
#
# SNEL names the program (default target/release/snel).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 seed=${2:-0}
snel=${SNEL:-target/release/snel}
mkdir -p "$folder"

# Rows and samples of a step: 512 + 2,048, or 512 + 512 chains.
declare -A steps=([snl]=8000 [nce]=8000 [is-mle]=8000 [pcd]=3080 [short-run]=1880 [cd]=3330)
declare -A objective=(
    [snl]="{ kind = 'snl' }"
    [nce]="{ kind = 'nce' }"
    [is-mle]="{ kind = 'is-mle' }"
    [pcd]="{ kind = 'mcmc', start = 'persistent', kernel = 'mala', steps = 10 }"
    [short-run]="{ kind = 'mcmc', start = 'proposal', kernel = 'mala', steps = 18 }"
    [cd]="{ kind = 'mcmc', start = 'data', kernel = 'ula', steps = 10 }"
)
declare -A data=(
    [rings]="{ toy = 'rings', rows = 20000 }"
    [mixture]="{ toy = 'gaussian_mixture', dim = 8, rows = 20000 }"
    [power-plant]="{ path = 'examples/data/power-plant.csv' }"
)

for set in rings mixture power-plant; do
    runs=()
    for name in snl nce is-mle pcd short-run cd; do
        run=$folder/$set-$seed/$name
        runs+=("$run")
        [[ -f $run/eval.json ]] && continue
        samples=2048
        [[ ${objective[$name]} == *mcmc* ]] && samples=512
        config=$folder/$set-$seed-$name.toml
        cat > "$config" <<END
seed = $seed

objective = ${objective[$name]}
[model]
depth = 3
width = 64
[proposal]
kind = "gaussian"
scale = 1.2
[optim]
lr = 3e-3
[train]
steps = ${steps[$name]}
batch = 512
samples = $samples
valid_every = $((steps[$name] / 20))
END
        # A path in a config is meant from its folder.
        "$snel" train "$config" --out "$run" --set "data=${data[$set]}" >&2 \
            || echo "$run did not end" >&2
    done
    echo "== $set"
    ended=()
    for run in "${runs[@]}"; do [[ -f $run/eval.json ]] && ended+=("$run"); done
    "$snel" compare "${ended[@]}"
done
