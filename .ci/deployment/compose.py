"""The Compose files: as `docker compose config` reads them, and their services started without Docker."""

import json
import os
import pathlib
import subprocess


from containers import Container, Mount, build, scratch, until

ROOT = pathlib.Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
HERE = pathlib.Path(__file__).parent


def config(*files):
    """The files merged and checked by Compose itself; it needs no daemon for that."""
    names = [word for file in files for word in ("--file", str(COMPOSE / file))]
    done = subprocess.run([os.environ["COMPOSE"], *names, "config", "--format=json"], capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        raise RuntimeError(f"compose, {files}: {done.stderr}")
    return json.loads(done.stdout)


class Service:
    def __init__(self, place, image, whole, name, number, volumes):
        service = whole["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        mounts = [Mount(path) for path in service["tmpfs"]]
        for volume in service["volumes"]:
            mounts.append(Mount(volume["target"], volumes[volume["source"]], volume.get("read_only", False)))
        for secret in service["secrets"]:
            # Compose mounts them as they are on the host.
            file = pathlib.Path(whole["secrets"][secret["source"]]["file"]).name
            mounts.append(Mount(secret["target"], volumes["tls"] / file, True))
        hosts = place / f"{name}-{number}.hosts"
        hosts.write_text("127.0.0.1 localhost coordinator\n")
        mounts.append(Mount("/etc/hosts", hosts, True))
        self.service = service
        self.process = Container(
            image,
            None,
            place / f"{name}-{number}.log",
            args=service["command"],
            env=service["environment"],
            mounts=mounts,
        )

    def healthy(self):
        if not self.process.running():
            raise RuntimeError(self.process.text())
        return self.process.run(self.service["healthcheck"]["test"][1:]) == 0


def rehearse(place, whole):
    built = place / "built"
    (built / "out").mkdir(parents=True)
    subprocess.run(["cp", os.environ["SNEL"], built / "out/snel"], check=True)
    image = build(ROOT / "deploy/docker/Dockerfile", "cpu", ROOT, place / "image", {"build": built})
    tls, runs, data = place / "tls", place / "runs", place / "data"
    subprocess.run([ROOT / "deploy/certificates.sh", tls, "coordinator", "localhost"], check=True)
    for folder in (runs, data):
        folder.mkdir()
    for path in (*tls.iterdir(), runs):
        os.chown(path, 10001, 10001)
    [data_source] = [v["source"] for v in whole["services"]["worker"]["volumes"]]
    volumes = {"runs": runs, data_source: data, "tls": tls}
    coordinator = Service(place, image, whole, "coordinator", 1, volumes)
    until("a healthy coordinator", 20, coordinator.healthy)
    workers = [Service(place, image, whole, "worker", n, volumes) for n in (1, 2)]
    (data / "run.toml").write_text((HERE / "run.toml").read_text())
    (place / "run.toml").write_text((HERE / "run.toml").read_text())
    user = os.environ | {
        "SNEL_COORDINATOR": "https://localhost:7070",
        "SNEL_TLS_CA": f"{tls}/ca.crt",
        "SNEL_TOKEN_FILE": f"{tls}/token",
    }
    for words in (["submit", place / "run.toml", "--set", "train.steps=200"], ["watch", "run"]):
        subprocess.run([os.environ["SNEL"], "run", *words], env=user, check=True, capture_output=True)
    for service in (*workers, coordinator):
        service.process.kill()
        assert service.process.wait(120) == 0
    assert (runs / "runs/run/model.safetensors").exists()


whole = config("compose.yaml")
gpu = config("compose.yaml", "gpu.yaml")
[device] = gpu["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
assert device["driver"] == "nvidia" and gpu["services"]["worker"]["build"]["target"] == "cuda"
with scratch() as place:
    rehearse(place, whole)
print("compose: the files are Compose's; their services trained on a read-only root without capabilities")
