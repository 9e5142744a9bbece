#!/usr/bin/env bash
# Trains a variational auto-encoder on binary MNIST with each kind of prior, by each seed, and prints the
# table of docs/vae.md.
#
#     benches/priors.sh DATA FOLDER [STEPS] [SEEDS] [NAMES]     runs that are there are not made again
#
# DATA holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and t10k-images-idx3-ubyte.gz; SEEDS is a
# list as in "1 2 3", and so is NAMES, of the priors below. SNEL names the program (default
# target/release/snel), THREADS its threads. Every prior has STEPS steps in all: what starts from another run
# has a quarter of them, and the other run the rest. Chains, whose steps cost much more, have what takes about
# as long.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath "$1") folder=$2 steps=${3:-20000} seeds=${4:-1}
names=${5:-plain mixture mixture-again post-hoc post-hoc-mixture joint short-run long-run}
snel=${SNEL:-target/release/snel}
mkdir -p "$folder"
folder=$(realpath "$folder")
# Steps of what starts from another run, and of that run.
second=$((steps / 4)) first=$((steps * 3 / 4))

energy=$'depth = 2\nwidth = 128'
mixture='components = 10'
langevin=$'kind = "mcmc"\nkernel = "ula"\nstart = "proposal"\nstep_size = 0.4\nposterior_steps = 20\nposterior_step_size = 0.1'

# The run that NAME starts from, if it does.
start_of() {
    case $1 in
        post-hoc) echo plain-start ;;
        mixture-again | post-hoc-mixture | joint) echo mixture-start ;;
    esac
}

config() { # NAME SEED
    local model='prior = "base"' objective='kind = "snl"' optim='lr = 1e-3' of_run=$steps samples='' start
    case $1 in
        plain) ;;
        mixture) model+=$'\n'$mixture ;;
        plain-start) of_run=$first ;;
        mixture-start) model+=$'\n'$mixture of_run=$first ;;
        mixture-again) model+=$'\n'$mixture$'\nfreeze = false' optim='lr = 2e-4' ;;
        post-hoc) model=$energy optim=$'lr = 1e-3\nenergy_lr = 2e-4' ;;
        post-hoc-mixture) model=$energy$'\n'$mixture optim=$'lr = 1e-3\nenergy_lr = 2e-4' ;;
        joint) model=$energy$'\n'$mixture$'\nfreeze = false' optim=$'lr = 2e-4\nenergy_lr = 2e-4' ;;
        short-run) model=$energy objective=$langevin$'\nsteps = 60' of_run=$((steps * 3 / 20)) samples='samples = 256' optim=$'lr = 1e-3\nenergy_lr = 1e-4' ;;
        long-run) model=$energy objective=$langevin$'\nsteps = 1000' of_run=$((steps / 20)) samples='samples = 256' optim=$'lr = 1e-3\nenergy_lr = 1e-4' ;;
        *) echo "no prior is called $1" >&2; exit 2 ;;
    esac
    start=$(start_of "$1")
    if [[ -n $start ]]; then
        model+=$'\nstart = "'$folder/$start-$2'"' of_run=$second
        # Without an energy there is nothing to sample for.
        [[ $1 == mixture-again ]] || samples='samples = 4096'
    fi
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
$model
[objective]
$objective
[optim]
$optim
weight_decay = 0.3
[train]
steps = $of_run
batch = 256
valid_every = $((of_run / 10))
$samples
[eval]
posterior_samples = 20
END
}

make() { # NAME SEED
    local run=$folder/$1-$2 start
    [[ -f $run/eval.json ]] && return
    start=$(start_of "$1")
    [[ -n $start ]] && make "$start" "$2"
    config "$1" "$2" > "$run.toml"
    "$snel" train "$run.toml" --out "$run" ${THREADS:+--threads "$THREADS"} >&2
}

for seed in $seeds; do
    for name in $names; do
        make "$name" "$seed"
    done
done
python3 benches/priors.py "$folder" "$data/train-labels-idx1-ubyte.gz" "$names" "$seeds" "$snel" \
    ${THREADS:+--threads "$THREADS"}
