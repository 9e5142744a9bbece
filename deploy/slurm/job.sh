#!/usr/bin/env bash
# What cpu.sbatch and gpu.sbatch run: a coordinator on the first node of the allocation, a worker for
# each task, one run from its submission to its model.
#
#   job.sh CONFIG [OPTION of `snel run submit`...]
#
# Pre-empted, or near the time limit (USR1 or TERM to this script), it has the workers finish their step
# and leave, the last one after a checkpoint, and puts the job back into the queue. The next start finds
# the run's record and goes on with it. So it does if the coordinator is lost.
#
# SNEL         the program (snel)
# SNEL_DEPLOY  the folder deploy of the sources ($SLURM_SUBMIT_DIR/deploy)
# SNEL_JOBS    jobs have their folders here, on a file system that all nodes share
#              ($SLURM_SUBMIT_DIR/jobs)
# SNEL_WORKER  options for the workers, as --nccl
set -euo pipefail

snel=${SNEL:-snel}
deploy=${SNEL_DEPLOY:-$SLURM_SUBMIT_DIR/deploy}
config=$1
shift
# Requeued jobs keep their number, and so find their runs again.
job=${SNEL_JOBS:-$SLURM_SUBMIT_DIR/jobs}/$SLURM_JOB_ID
run=$(basename "$config" .toml)
host=$(hostname)
try_again=75

again=
watch=
trap 'again=yes; [[ -z $watch ]] || kill "$watch"' USR1 TERM

say() {
    echo "$(date +%T) $*"
}

# Certificates of this start: the coordinator may be on another node than the last time.
rm -rf "$job/tls"
DAYS=30 "$deploy/certificates.sh" "$job/tls" "$host" localhost
export SNEL_TLS_CA=$job/tls/ca.crt SNEL_TOKEN_FILE=$job/tls/token

# Any free port of any address: the coordinator prints which.
rm -f "$job/address"
"$snel" coordinator --dir "$job/runs" --listen 0.0.0.0:0 \
    --tls-cert "$job/tls/server.crt" --tls-key "$job/tls/server.key" > "$job/address" &
coordinator=$!
until [[ -s $job/address ]]; do
    kill -0 "$coordinator"
    sleep 0.1
done
SNEL_COORDINATOR=https://$host:$(sed 's/.*://' "$job/address")
export SNEL_COORDINATOR
say "start ${SLURM_RESTART_COUNT:-0} of job $SLURM_JOB_ID, coordinator at $SNEL_COORDINATOR"
"$snel" run show "$run" &> "$job/shown" || "$snel" run submit "$config" --name "$run" "$@"

options=()
[[ -z ${SLURM_CPUS_PER_TASK:-} ]] || options+=(--threads "$SLURM_CPUS_PER_TASK")
# Every task sees all GPUs of its node, as NCCL wants it.
# shellcheck disable=SC2016 # the task's, not ours
[[ -z ${SLURM_GPUS_ON_NODE:-} ]] || options+=(--gpu '$SLURM_LOCALID')
# shellcheck disable=SC2016
worker='exec "$0" worker --name "$(hostname)-$SLURM_PROCID" '"${options[*]} ${SNEL_WORKER:-}"
# A task or node that is lost takes no other with it.
srun --no-kill --kill-on-bad-exit=0 --wait=0 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    --output="$job/worker-%t.log" --open-mode=append bash -c "$worker" "$snel" &
workers=$!

# Metrics go to the run folder; here only the end counts.
code=0
"$snel" run watch "$run" > "$job/watched" &
watch=$!
[[ -z $again ]] || kill "$watch"
# A signal ends the first wait before the watcher ends.
wait "$watch" || wait "$watch" || code=$?
trap '' USR1 TERM

# SIGTERM to each worker: it finishes its step. What takes too long is not waited for.
scancel --signal=TERM "$SLURM_JOB_ID.0" || true
{ sleep 100 && scancel --signal=KILL "$SLURM_JOB_ID.0"; } &> /dev/null &
guard=$!
wait "$workers" || true
kill "$guard" "$coordinator" || true
wait "$coordinator" || true
rm -rf "$job/tls"

if [[ $again || $code == "$try_again" ]]; then
    say "back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
    # Slurm ends this start.
    sleep 60
    exit "$try_again"
fi
tail -n 12 "$job/watched"
exit "$code"
