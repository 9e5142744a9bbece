"""The Dockerfile's steps, done on this machine: what its build copies is enough to build, what it makes
runs as its user on a read-only root.

The base images are not there: this machine's root stands in for them. The program is the one of the
tests; the optimised build is not done. The stage that fetches CUDA's libraries from PyPI is done only if
SNEL_DEPLOY_CUDA is set, as NCCL is 300 MB.
"""

import fnmatch
import os
import pathlib
import re
import shutil
import subprocess

from containers import Container, build, in_root, new_layer, scratch, stages

ROOT = pathlib.Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
SNEL = pathlib.Path(os.environ["SNEL"])
# What debian:bookworm-slim has.
SYSTEM = {
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "ld-linux-x86-64.so.2",
    "linux-vdso.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
}


def context(folder):
    """The files that the build is given, by the .dockerignore."""
    ignore = [
        line
        for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        given = True
        for pattern in ignore:
            if any(
                fnmatch.fnmatch(part, pattern.lstrip("!"))
                for part in [name, *map(str, pathlib.PurePath(name).parents)]
            ):
                given = pattern.startswith("!")
        if given and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def builds(place):
    """Whether the build is given what the program was made from here, and a workspace that Cargo takes."""
    given = context(place / "context")
    # Compilers leave lists of what they read, old ones among them. Tests and lints are no part of it.
    lists = "".join(p.read_text() for p in SNEL.parent.glob("deps/snel*.d") if "snel_tests" not in p.name)
    sources = {ROOT / word.rstrip(":") for word in lists.split()}
    used = [source.relative_to(ROOT) for source in sources if source.is_file() and source.is_relative_to(ROOT)]
    used = [source for source in used if source.parts[0] not in ("target", "clippy.toml")]
    missing = [str(source) for source in used if not (given / source).exists()]
    assert len(used) > 100 and not missing, f"of {len(used)} sources the build is not given {missing}"
    cargo = ["cargo", "metadata", "--locked", "--offline", "--format-version=1", "--no-deps"]
    subprocess.run(cargo, cwd=given, check=True, stdout=subprocess.DEVNULL)
    [(_, command)] = [step for step in stages(DOCKERFILE)["build"][1] if step[0] == "RUN"]
    words = command.partition(" && ")[0].split()
    subprocess.run([*words, "--help"], cwd=given, check=True, stdout=subprocess.DEVNULL)


def links():
    """Libraries that the program is linked with."""
    said = subprocess.run(["ldd", SNEL], capture_output=True, text=True, check=True).stdout
    found = {pathlib.Path(line.split()[0]).name for line in said.splitlines()}
    assert found <= SYSTEM, f"the image has no {found - SYSTEM}"


def runs(place, target, stage_copies):
    image = build(DOCKERFILE, target, ROOT, place / target, stage_copies)
    assert image.user == "10001:10001" and image.entrypoint == ["snel"]
    help_said = Container(image, None, place / f"{target}-help.log")
    assert help_said.wait(20) == 0 and "coordinator" in help_said.text(), help_said.text()
    # Not root, and nowhere to write but where volumes belong.
    script = "test $(id -u) = 10001 && ! touch /x 2> /dev/null && ! touch /usr/local/bin/snel 2> /dev/null"
    shut = Container(image, ["/bin/sh", "-c", script], place / f"{target}-shut.log")
    assert shut.wait(20) == 0, shut.text()
    return image


def cuda_libraries(place):
    """The folder of CUDA's libraries, by the Dockerfile's own command."""
    [(_, command)] = [step for step in stages(DOCKERFILE)["cuda-libraries"][1] if step[0] == "RUN"]
    layer = new_layer(place / "cuda-libraries")
    subprocess.run(in_root(layer, command), check=True)
    return layer / "upper"


pins = [
    re.search(r"nvidia-cuda-nvrtc==(\S+)", path.read_text()).group(1) for path in (DOCKERFILE, ROOT / ".ci/kernels")
]
assert pins[0] == pins[1], f"the image has NVRTC {pins[0]}, the kernels are compiled with {pins[1]}"
with scratch() as place:
    builds(place)
    links()
    (place / "built/out").mkdir(parents=True)
    shutil.copy2(SNEL, place / "built/out/snel")
    copies = {"build": place / "built"}
    runs(place, "cpu", copies)
    print("images: the build is given the program's sources; the CPU image runs, not as root, on a read-only root")
    if os.environ.get("SNEL_DEPLOY_CUDA"):
        copies["cuda-libraries"] = cuda_libraries(place)
        image = runs(place, "cuda", copies)
        doctor = Container(image, ["snel", "doctor"], place / "doctor.log")
        assert doctor.wait(60) == 0
        for library in ("NVRTC", "NCCL"):
            assert re.search(rf"{library}.*/usr/local/lib/cuda/", doctor.text()), doctor.text()
        print("images: the CUDA image has NVRTC and NCCL where the program finds them")
    else:
        print("images: not exercised, the CUDA image (SNEL_DEPLOY_CUDA=1 fetches its 300 MB)")
