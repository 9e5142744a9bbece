"""deploy/slurm on a real cluster of one node: this machine, in a network of its own.

cpu.sbatch trains with two tasks, is pre-empted by a job of higher priority, then told to leave by the signal
that comes before a time limit, goes on each time from the record, and leaves the bytes of `snel train`.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys

from containers import scratch, until

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = pathlib.Path(__file__).with_name("run.toml")

CONF = """\
ClusterName=snel
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
# What needs no cgroups and no init system.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# A GPU on paper, so that a job can ask for one.
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4096 Gres=gpu:1
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=60
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""


def say(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def start(place):
    """munged, slurmctld and slurmd in the foreground, which end with the namespace."""
    host = socket.gethostname().split(".")[0]
    # Slurm does not listen where there are loopback addresses only. This one is for documents (RFC 5737),
    # and the network ends here.
    subprocess.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
    hosts = place / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()} {host}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    (place / "slurm.conf").write_text(CONF.format(host=host, place=place))
    (place / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    os.environ["SLURM_CONF"] = str(place / "slurm.conf")
    for folder in ("state", "spool"):
        (place / folder).mkdir()
    key = place / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = [
        f"--{name}={place}/munge.{name.split('-')[0]}"
        for name in ("key-file", "socket", "log-file", "pid-file", "seed-file")
    ]
    daemons = [["munged", "--foreground", "--force", *files], ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", host]]
    running = []
    for daemon in daemons:
        with open(place / f"{daemon[0]}.out", "wb") as out:
            running.append(subprocess.Popen(daemon, stdout=out, stderr=out))
        if daemon[0] == "munged":
            until("munged", 20, (place / "munge.socket").exists)
    until(
        "the node",
        30,
        lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout,
    )
    return running


class Job:
    def __init__(self, place, script, *options):
        env = os.environ | {"SNEL_JOBS": str(place / "jobs"), "SNEL_DEPLOY": str(ROOT / "deploy")}
        self.output = place / f"{script}.log"
        script = ROOT / "deploy/slurm" / script
        sbatch = ["sbatch", "--parsable", "--time=10", f"--output={self.output}", *options, script, CONFIG]
        done = subprocess.run(sbatch, env=env, capture_output=True, text=True, cwd=place)
        if done.returncode:
            sys.exit(f"sbatch: {done.stderr}")
        self.number = done.stdout.strip()
        self.folder = place / "jobs" / self.number
        self.run = self.folder / "runs" / CONFIG.stem

    def shown(self, key):
        return re.search(rf"\b{key}=(\S+)", say("scontrol", "show", "job", self.number)).group(1)

    def step(self):
        steps = [int(p.stem.split("-")[1]) for p in self.run.glob("checkpoints/step-*.safetensors")]
        return max(steps, default=0)

    def reaches(self, step):
        until(f"step {step}", 60, lambda: self.lives() and self.step() >= step)

    def lives(self):
        state = self.shown("JobState")
        if state not in ("RUNNING", "PENDING", "COMPLETING", "COMPLETED", "REQUEUED", "CONFIGURING"):
            raise RuntimeError(f"the job is {state}:\n{self.log()}")
        return True

    def log(self):
        return self.output.read_text() if self.output.exists() else ""

    def is_requeued(self, starts):
        until(
            f"start {starts}",
            90,
            lambda: self.shown("Restarts") == str(starts) and self.shown("JobState") == "PENDING",
        )

    def soon(self):
        """Slurm has requeued jobs wait for two minutes; a node must only have forgotten the last start."""
        say("scontrol", "update", f"JobId={self.number}", "StartTime=now+5seconds")


def goes_on(place):
    """Pre-empted and told to leave, a job ends with the model."""
    job = Job(place, "cpu.sbatch")
    job.reaches(500)
    urgent = say(
        "sbatch", "--parsable", "--partition=high", "--ntasks=2", f"--output={place}/urgent.log", "--wrap=sleep 1"
    )
    job.is_requeued(1)
    left = job.step()
    until("the urgent job", 60, lambda: not say("squeue", "-h", "-j", urgent))
    job.soon()
    job.reaches(left + 100)
    say("scancel", "--batch", "--signal=USR1", job.number)
    job.is_requeued(2)
    job.soon()
    until("the end", 120, lambda: job.lives() and job.shown("JobState") == "COMPLETED")
    starts = re.findall(r"start (\d) of job", job.log())
    assert starts == ["0", "1", "2"], job.log()
    subprocess.run([os.environ["SNEL"], "train", CONFIG, "--out", place / "alone"], check=True, capture_output=True)
    model = "model.safetensors"
    assert (job.run / model).read_bytes() == (place / "alone" / model).read_bytes(), "other bytes"
    print("slurm: pre-empted once and told to leave once, requeued, resumed; the bytes of snel train")


def ends(place):
    """Where the GPU is only on paper its worker ends with 2, and the job does and is not requeued."""
    job = Job(place, "gpu.sbatch", "--nodes=1", "--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=2")
    until("the end", 60, lambda: job.shown("JobState") == "FAILED")
    said = (job.folder / "worker-0.log").read_text()
    assert (job.shown("ExitCode"), job.shown("Restarts")) == ("2:0", "0"), job.log()
    assert "GPU" in said or "driver" in said, said
    print("slurm: a job whose worker has no GPU ends with its code")


def planned():
    """Slurm takes the command line of `snel plan --render`."""
    words = [os.environ["SNEL"], "plan", CONFIG, "--threads=1", "--render=slurm", "--gflops=1"]
    line = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "--time=" in line
    test = line.replace("sbatch ", "sbatch --test-only ", 1)
    done = subprocess.run(["/bin/sh", "-c", test], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}{done.stderr}"


with scratch() as folder:
    try:
        start(folder)
        goes_on(folder)
        ends(folder)
        planned()
    except BaseException:
        for log in sorted(folder.glob("*.log")) + sorted(folder.glob("*.out")) + sorted(folder.glob("jobs/*/*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
