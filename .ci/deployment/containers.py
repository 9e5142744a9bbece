"""Containers without a container runtime: what a Dockerfile, a pod or a Compose service says about
one process, done with Linux namespaces.

The root file system of this machine stands in for every base image. What is not like in a real
container: images' own files, the network (one for all, the caller's), cgroups, seccomp. Needs root.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time


def instructions(dockerfile):
    """(INSTRUCTION, rest) for each instruction of a Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", pathlib.Path(dockerfile).read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def stages(dockerfile):
    """Name of a stage to (base, its instructions)."""
    found, current = {}, None
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            base, _, name = rest.split()
            current = found[name] = (base, [])
        else:
            current[1].append((word, rest))
    return found


@dataclasses.dataclass
class Image:
    """A layer above this machine's root, and how to start what is in it."""

    layer: pathlib.Path
    env: dict = dataclasses.field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list = dataclasses.field(default_factory=list)
    command: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Mount:
    """A folder or file of this machine at a place in the container; a tmpfs if there is no source."""

    target: str
    source: pathlib.Path | None = None
    read_only: bool = False


def in_root(layer, script, below=(), mounts=(), read_only=False, hostname="build"):
    """The command that runs a shell script in the root that `layer` makes above others and this machine's."""
    where = layer / "root"
    lower = ":".join(map(str, [*below, "/"]))
    steps = [
        "set -e",
        f"hostname {hostname}",
        f"mount -t overlay overlay -o lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work {where}",
    ]
    for mount in mounts:
        target = shlex.quote(f"{where}{mount.target}")
        if mount.source is None:
            steps += [f"mkdir -p {target}", f"mount -t tmpfs -o mode=1777 tmpfs {target}"]
        else:
            source = shlex.quote(str(mount.source))
            made = f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p $(dirname {target}); touch {target}"
            steps += [made, f"mount --bind {source} {target}"]
            if mount.read_only:
                steps += [f"mount -o remount,bind,ro {target}"]
    steps += [f"mount -t proc proc {where}/proc", f"mount --rbind /dev {where}/dev"]
    if read_only:
        steps += [f"mount -o remount,ro {where}"]
    steps += [f"exec chroot {where} /bin/sh -c {shlex.quote(script)}"]
    return ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", "\n".join(steps)]


def new_layer(folder):
    """An empty layer in memory."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    return folder


def build(dockerfile, target, context, folder, copies):
    """The image of a stage and of those below it. `copies` has the files of other stages."""
    all_stages = stages(dockerfile)
    chain, name = [], target
    while name in all_stages:
        chain.insert(0, name)
        name = all_stages[name][0]
    image = Image(new_layer(folder))
    for word, rest in [step for name in chain for step in all_stages[name][1]]:
        match word:
            case "ENV":
                image.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                image.user = rest
            case "WORKDIR":
                image.workdir = rest
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "CMD":
                image.command = list(map(str, eval(rest)))
            case "COPY":
                *sources, to = rest.split()
                origin = context
                if sources[0].startswith("--from="):
                    origin = copies[sources.pop(0).removeprefix("--from=")]
                to = image.layer / "upper" / to.strip("/") / ("." if to.endswith("/") else "")
                to.parent.mkdir(parents=True, exist_ok=True)
                for source in sources:
                    if str(to).endswith("/.") or len(sources) > 1:
                        to.mkdir(parents=True, exist_ok=True)
                    subprocess.run(["cp", "-r", f"{origin}/{source.strip('/')}", to], check=True)
            case "RUN":
                assert image.user == "0:0", f"RUN as {image.user}"
                subprocess.run(in_root(image.layer, rest), check=True)
            case _:
                raise NotImplementedError(word)
    return image


@contextlib.contextmanager
def scratch():
    """A folder in memory, and the network's loopback; all that is mounted in it goes with it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder = pathlib.Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", folder], check=True)
        folder.rmdir()


class Container:
    """A process in a container."""

    def __init__(self, image, command, log, *, args=None, env=None, mounts=(), user=None, read_only=True):
        """`command` replaces the image's entry point, and `args` its arguments, as in Kubernetes."""
        if command is None:
            command = image.entrypoint + (args if args is not None else image.command)
        else:
            command = command + (args or [])
        uid, gid = (user or image.user).split(":")
        environment = {"PATH": os.environ["PATH"] + ":/usr/local/bin", **image.env, **(env or {})}
        self.image, self.environment = image, environment
        drop = (
            f"setpriv --reuid={uid} --regid={gid} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        )
        pairs = " ".join(shlex.quote(f"{k}={v}") for k, v in environment.items())
        script = f"cd {image.workdir} && exec {drop} env -i {pairs} {shlex.join(command)}"
        self.log = log
        own = new_layer(log.with_suffix(".layer"))
        with open(log, "ab") as out:
            command = in_root(own, script, [image.layer / "upper"], mounts, read_only, log.stem)
            self.outside = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def pid(self):
        """The process itself, seen from outside."""
        path = f"/proc/{self.outside.pid}/task/{self.outside.pid}/children"
        return int(until("the process", 10, lambda: pathlib.Path(path).read_text().split())[0])

    def kill(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def run(self, command):
        """Runs a command beside the process, as the same user; its exit code."""
        keep = [word for k, v in self.environment.items() for word in (f"{k}={v}",)]
        uid, gid = self.image.user.split(":")
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd"]
        drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        done = subprocess.run(enter + drop + ["env", "-i", *keep, *command], capture_output=True, text=True)
        return done.returncode

    def wait(self, seconds):
        """Its exit code; a signal's number plus 128, as shells have it."""
        code = self.outside.wait(seconds)
        return code if code >= 0 else 128 - code

    def running(self):
        return self.outside.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")


def until(what, seconds, done):
    """Waits until `done()` is true, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (answer := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return answer
