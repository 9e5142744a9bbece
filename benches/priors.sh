#!/usr/bin/env bash
# Trains a variational auto-encoder on binary MNIST with each kind of prior and prints the table of
# docs/vae.md: a plain one, one with a mixture of Gaussians, and an energy trained after the plain one and
# together with it.
#
#     benches/priors.sh DATA FOLDER [STEPS] [SEED]      runs that are there are not made again
#
# DATA holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and t10k-images-idx3-ubyte.gz. SNEL
# names the program (default target/release/snel), THREADS its threads.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath "$1") folder=$2 steps=${3:-20000} seed=${4:-1}
snel=${SNEL:-target/release/snel}
mkdir -p "$folder"
folder=$(realpath "$folder")

energy="depth = 2
width = 128"
declare -A prior=(
    [plain]='prior = "base"'
    [mixture]=$'prior = "base"\ncomponents = 10'
    [post-hoc]="$energy
start = \"$folder/plain\""
    [joint]="$energy"
)

runs=()
for name in plain mixture post-hoc joint; do
    run=$folder/$name
    runs+=("$run")
    [[ -f $run/eval.json ]] && continue
    samples='samples = 1024'
    [[ ${prior[$name]} == *base* ]] && samples=''
    cat > "$folder/$name.toml" <<END
seed = $seed
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
${prior[$name]}
[train]
steps = $steps
batch = 256
valid_every = $((steps / 4))
$samples
[eval]
posterior_samples = 20
END
    "$snel" train "$folder/$name.toml" --out "$run" ${THREADS:+--threads "$THREADS"} >&2
done

"$snel" compare "${runs[@]}"
echo
"$snel" frechet "${runs[@]}" --labels "$data/train-labels-idx1-ubyte.gz" ${THREADS:+--threads "$THREADS"}
