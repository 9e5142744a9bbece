#!/usr/bin/env bash
# Trains a variational auto-encoder on binary MNIST with each kind of prior, by each seed, and prints the
# table of docs/vae.md.
#
#     benches/priors.sh DATA FOLDER [STEPS] [SEEDS] [NAMES]     runs that are there are not made again
#
# DATA holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and t10k-images-idx3-ubyte.gz; SEEDS is a
# list as in "1 2 3", and so is NAMES, of the priors below. SNEL names the program (default
# target/release/snel), THREADS its threads. Chains cost ten and a hundred times as much a step, so they have a
# fourth and a sixteenth of the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath "$1") folder=$2 steps=${3:-10000} seeds=${4:-1}
snel=${SNEL:-target/release/snel}
mkdir -p "$folder"
folder=$(realpath "$folder")

energy=$'depth = 2\nwidth = 128'
mixture='components = 10'
# The energy learns at a rate that leaves the base effective samples at the end; see docs/vae.md.
slow="energy_lr = $(awk "BEGIN { print 0.4 / $steps }")"
chains=$'kind = "mcmc"\nkernel = "ula"\nstart = "proposal"\nstep_size = 0.4\nposterior_steps = 20\nposterior_step_size = 0.1'
names=${5:-plain mixture post-hoc post-hoc-mixture joint short-run long-run}

config() {  # NAME SEED
    local prior='' objective='kind = "snl"' optim='' of_run=$steps samples='samples = 1024'
    case $1 in
        plain) prior='prior = "base"' samples='' ;;
        mixture) prior=$'prior = "base"\n'$mixture samples='' ;;
        post-hoc) prior="$energy"$'\nstart = '"\"$folder/plain-$2\"" ;;
        post-hoc-mixture) prior="$energy"$'\n'"$mixture"$'\nstart = '"\"$folder/mixture-$2\"" ;;
        joint) prior="$energy"$'\n'"$mixture" optim=$slow ;;
        short-run) prior=$energy objective="$chains"$'\nsteps = 60' of_run=$((steps / 4)) ;;
        long-run) prior=$energy objective="$chains"$'\nsteps = 1000' of_run=$((steps / 16)) ;;
        *) echo "no prior is called $1" >&2; exit 2 ;;
    esac
    [[ $1 == *-run ]] && samples='samples = 256'
    cat <<END
seed = $2
[data]
train = "$data/train-images-idx3-ubyte.gz"
valid_rows = 10_000
test = "$data/t10k-images-idx3-ubyte.gz"
scale = 255
binarise = "fixed"
[model]
kind = "vae"
latent = 16
encoder = [400, 400]
decoder = [400, 400]
$prior
[objective]
$objective
[optim]
$optim
[train]
steps = $of_run
batch = 256
valid_every = $((of_run / 10))
$samples
[eval]
posterior_samples = 20
END
}

for seed in $seeds; do
    runs=()
    for name in $names; do
        run=$folder/$name-$seed
        runs+=("$run")
        [[ -f $run/eval.json ]] && continue
        config "$name" "$seed" > "$run.toml"
        "$snel" train "$run.toml" --out "$run" ${THREADS:+--threads "$THREADS"} >&2
    done
    distances=$folder/distances-$seed.json
    if [[ ! -f $distances ]]; then
        "$snel" frechet "${runs[@]}" --labels "$data/train-labels-idx1-ubyte.gz" --json \
            ${THREADS:+--threads "$THREADS"} > "$distances.part"
        mv "$distances.part" "$distances"
    fi
done
python3 benches/priors.py "$folder" "$names" "$seeds"
