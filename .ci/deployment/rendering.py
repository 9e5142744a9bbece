"""The manifests of deploy/kubernetes: rendered by kustomize, and what is in them."""

import os
import pathlib
import re
import subprocess
import tempfile

import yaml

KUBERNETES = pathlib.Path(__file__).parents[2] / "deploy" / "kubernetes"

UP = "../../deploy/kubernetes"

# Every way that the documents name: overlay and components.
WAYS = {
    "cpu": ("overlays/cpu", []),
    "gpu": ("overlays/gpu", []),
    "plain": ("overlays/plain", []),
    "kubeflow": ("kubeflow", []),
    "cpu, monitoring and data": ("overlays/cpu", ["monitoring", "data"]),
    "gpu, mtls": ("overlays/gpu", ["mtls"]),
    "cpu, mtls": ("overlays/cpu", ["mtls"]),
    "plain, monitoring": ("overlays/plain", ["monitoring"]),
}


def render(overlay, components=()):
    """The objects of an overlay with components, as a user's own overlay would have them."""
    own = {
        "resources": [f"{UP}/{overlay}"],
        "components": [f"{UP}/components/{name}" for name in components],
    }
    return rendered(yaml.safe_dump(own))


def rendered(kustomization):
    """The objects of an overlay in a folder beside deploy/, with a run.toml."""
    # Kustomize takes relative paths only.
    with tempfile.TemporaryDirectory(dir=KUBERNETES.parents[1] / "target") as folder:
        pathlib.Path(folder, "kustomization.yaml").write_text(kustomization)
        pathlib.Path(folder, "run.toml").write_text("name = 'mine'\n")
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        raise RuntimeError(f"kustomize: {done.stderr}\n{kustomization}")
    return [thing for thing in yaml.safe_load_all(done.stdout) if thing]


def planned():
    """The overlay that `snel plan --render` prints."""
    config = pathlib.Path(__file__).with_name("run.toml")
    words = ["plan", config, "--threads=2", "--workers=3", "--render=kubernetes"]
    done = subprocess.run([os.environ["SNEL"], *words], capture_output=True, text=True, check=True)
    return rendered(done.stdout)


def documented():
    """The overlay that docs/deploy.md shows."""
    text = (KUBERNETES.parents[1] / "docs/deploy.md").read_text()
    [block] = re.findall(r"```yaml\n(# kustomization\.yaml.*?)```", text, re.DOTALL)
    return rendered(block)


def jobs(thing):
    """Name to job template, of a JobSet or of what holds one."""
    spec = thing["spec"]
    if thing["kind"] == "ClusterTrainingRuntime":
        spec = spec["template"]["spec"]
    return {job["name"]: job["template"] for job in spec["replicatedJobs"]}


def pods(things):
    """Name to pod template (with `metadata` and `spec`), of all that makes pods."""
    found = {}
    for thing in things:
        name = thing["metadata"]["name"]
        match thing["kind"]:
            case "StatefulSet" | "Deployment":
                found[name] = thing["spec"]["template"]
            case "JobSet" | "ClusterTrainingRuntime":
                found |= {f"{name}-{job}": template["spec"]["template"] for job, template in jobs(thing).items()}
    return found


def one(things, kind, name=None):
    """The only object of a kind."""
    [found] = [t for t in things if t["kind"] == kind and name in (None, t["metadata"]["name"])]
    return found
