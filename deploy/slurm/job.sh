#!/usr/bin/env bash
# What cpu.sbatch and gpu.sbatch run: a coordinator on the first node of the allocation, a worker for
# each task, one run from its submission to its model.
#
#   job.sh CONFIG [OPTION of `snel run submit`...]
#
# Near the time limit (USR1 or TERM to this script) it has the workers finish their step and leave, the
# last one after a checkpoint, and puts the job back into the queue; pre-empted, Slurm tells the workers
# itself. The next start finds the run's record and goes on with it. So it does if the coordinator is lost.
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

say() {
    echo "$(date +%T) $*"
}

again=
watch=
# shellcheck disable=SC2329 # by the trap
told_to_leave() {
    say "told to leave"
    again=yes
    [[ -z $watch ]] || kill "$watch" 2> /dev/null || true
}
trap told_to_leave USR1 TERM

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
"$snel" run watch "$run" > "$job/watched" &
watch=$!
[[ -z $again ]] || kill "$watch"

# Until the run ends, a signal comes, or all workers leave, as Slurm has them do to pre-empt a job.
wait -n "$watch" "$workers" || true
failed=
if ! kill -0 "$workers" 2> /dev/null; then
    wait "$workers" && again=yes || failed=$?
    kill "$watch" 2> /dev/null || true
fi
code=0
wait "$watch" || code=$?
trap '' USR1 TERM

say "sending the workers away"
# SIGTERM to each worker: it finishes its step. What takes too long is not waited for.
scancel --signal=TERM "$SLURM_JOB_ID.0" || true
{ sleep 100 && scancel --signal=KILL "$SLURM_JOB_ID.0"; } &> /dev/null &
guard=$!
wait "$workers" || true
kill "$guard" "$coordinator" 2> /dev/null || true
wait "$coordinator" || true
rm -rf "$job/tls"

if [[ $again || $code == "$try_again" ]]; then
    say "back into the queue"
    # Slurm ends this start, by SIGTERM.
    trap - TERM
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60
    exit "$try_again"
fi
tail -n 12 "$job/watched"
exit "${failed:-$code}"
