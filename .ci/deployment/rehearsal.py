"""The manifests without a cluster: their pods are started, probed and ended on this machine.

A run of two workers of the JobSet meets a worker's eviction and the coordinator's death and leaves the
bytes of `snel train`. Meanwhile a real Prometheus scrapes as the ServiceMonitor says, and has something
to say to every query of the dashboard and the alerts.
"""

import os
import pathlib
import subprocess

from containers import build, scratch, until
from rendering import KUBERNETES, pods, render
from pods import Pod, snel
from scraper import PROMETHEUS, Scraper

ROOT = KUBERNETES.parents[1]
HERE = pathlib.Path(__file__).parent


def certificates(place):
    folder = place / "certificates"
    script = [ROOT / "deploy/certificates.sh", folder, "snel-coordinator", "localhost"]
    subprocess.run(script, check=True)
    return folder


class Cluster:
    """The pods of some rendered objects."""

    def __init__(self, place, image, things):
        self.place, self.image, self.things = place, image, things
        self.certificates = certificates(place)
        self.maps = {t["metadata"]["name"]: t["data"] for t in things if t["kind"] == "ConfigMap"}
        self.maps["snel-run"] = {"run.toml": (HERE / "run.toml").read_text()}
        self.claims = {"runs": place / "runs-claim"}
        self.claims["runs"].mkdir()
        os.chown(self.claims["runs"], 0, 10001)
        self.claims["runs"].chmod(0o2770)

    def start(self, template, name):
        wanted = pods(self.things)[template]
        claims = self.claims if template == "snel-coordinator" else None
        return Pod(self.place, self.image, wanted, name, self.certificates, self.maps, claims)

    def user(self):
        """Variables of a user with the client's files."""
        keys = {"CA": "ca.crt", "CERT": "client.crt", "KEY": "client.key"}
        tls = {f"SNEL_TLS_{k}": str(self.certificates / v) for k, v in keys.items()}
        return {
            "SNEL_COORDINATOR": "https://localhost:7070",
            **tls,
            "SNEL_TOKEN_FILE": str(self.certificates / "token"),
        }

    def shown(self, key):
        """Of the run; nothing while there is none."""
        runs = snel("run", "list", "--json", **self.user())
        return runs[0][key] if runs else 0

    def step(self):
        return self.shown("step")


def jobset(place, image):
    """A run with an eviction and a death."""
    things = render("overlays/cpu", ["monitoring"])
    cluster = Cluster(place, image, things)
    coordinator = cluster.start("snel-coordinator", "snel-coordinator-0")
    coordinator.ready()
    scraper = Scraper(cluster) if PROMETHEUS else None
    first = cluster.start("rings-run", "rings-run-0")
    workers = [cluster.start("rings-workers", f"rings-workers-0-{n}") for n in "ab"]

    until("four hundred steps", 60, lambda: first.alive() and cluster.step() > 400)
    code = workers[0].stop()
    assert code == 75, f"an evicted worker ended with {code}: its index would count as done"
    workers.append(cluster.start("rings-workers", "rings-workers-0-c"))

    until("another thousand", 60, lambda: cluster.step() > 1400)
    coordinator.process.kill(9)
    coordinator.process.wait(10)
    # Its job lets a pod that ends so be replaced.
    first.ends(75, 10)
    coordinator = cluster.start("snel-coordinator", "snel-coordinator-0-again")
    coordinator.ready()
    second = cluster.start("rings-run", "rings-run-1")
    # A loss without notice, for the metrics of recoveries.
    until("a thousand more", 60, lambda: cluster.step() > 2400)
    workers[2].process.kill(9)
    until("a recovery", 30, lambda: cluster.shown("recoveries") > 0)
    said = scraper.ask() if scraper else "no Prometheus, so dashboard and alerts were not asked"
    second.ends(0, 120)
    assert workers[1].stop() == 75
    assert coordinator.stop() == 0
    alone = place / "alone"
    snel("train", str(HERE / "run.toml"), "--out", str(alone))
    same(cluster.claims["runs"] / "runs/rings/model.safetensors", alone / "model.safetensors")
    if scraper:
        scraper.process.kill()
    print(f"rehearsal: the JobSet's run has the bytes of snel train; {said}")


def mtls(place, image):
    """With client certificates: probes, a worker, and a stranger without one."""
    cluster = Cluster(place, image, render("overlays/cpu", ["mtls"]))
    coordinator = cluster.start("snel-coordinator", "snel-coordinator-0")
    coordinator.ready()
    worker = cluster.start("rings-workers", "rings-workers-0-a")
    until("a worker", 20, lambda: worker.alive() and snel("worker-list", "--json", **cluster.user()))
    user = cluster.user()
    user.pop("SNEL_TLS_CERT"), user.pop("SNEL_TLS_KEY")
    stranger = subprocess.run([os.environ["SNEL"], "run", "list"], env=os.environ | user, capture_output=True)
    assert stranger.returncode, "a stranger without a certificate was let in"
    assert worker.stop() == 75 and coordinator.stop() == 0
    print("rehearsal: with client certificates probes and workers come in, others do not")


def plain(place, image):
    """The Deployment: a worker that drains ends well, and another run finds it again."""
    cluster = Cluster(place, image, render("overlays/plain"))
    coordinator = cluster.start("snel-coordinator", "snel-coordinator-0")
    coordinator.ready()
    worker = cluster.start("snel-workers", "snel-workers-a")
    submit = ("run", "submit", str(HERE / "run.toml"), "--name", "rings", "--set", "train.steps=200")
    snel(*submit, **cluster.user())
    snel("run", "watch", "rings", **cluster.user())
    assert worker.stop() == 0 and coordinator.stop() == 0
    print("rehearsal: the Deployment's worker trains and drains")


def same(one_file, other):
    assert one_file.read_bytes() == other.read_bytes(), f"{one_file} is not {other}"


def image(place):
    """The image of the Dockerfile, from the program that was built."""
    built = place / "built"
    (built / "out").mkdir(parents=True)
    subprocess.run(["cp", os.environ["SNEL"], built / "out/snel"], check=True)
    return build(ROOT / "deploy/docker/Dockerfile", "cpu", ROOT, place / "image", {"build": built})


with scratch() as place:
    made = image(place)
    for part in (jobset, mtls, plain):
        own = place / part.__name__
        own.mkdir()
        part(own, made)
