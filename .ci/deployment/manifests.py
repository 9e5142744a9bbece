"""Whether the manifests are what Kubernetes and its extensions take, and fit together.

What only an API server knows (defaults, admission, quotas) is not exercised.
"""

import copy
import json
import re
import subprocess
import sys
import tempfile
import warnings

from fit import SECRETS, fit_faults
from rendering import KUBERNETES, WAYS, documented, jobs, one, planned, pods, render
from schemas import schema_faults

ROOT = KUBERNETES.parents[1]


def faults(things, known=()):
    """Those of some objects. `known` are sound by their schemas."""
    for thing in [thing for thing in things if thing not in known]:
        yield from (f"{thing['kind']} {thing['metadata']['name']}: {fault}" for fault in schema_faults(thing))
    yield from fit_faults(things)


def plant(change, way="cpu, monitoring and data"):
    """The faults that are found after a change."""
    things = copy.deepcopy(rendered[way])
    change(things)
    return list(faults(things, rendered[way]))


def planted():
    """Does it see faults at all? Each change must be found, and its words say where."""

    def container(things, pod="rings-workers"):
        return pods(things)[pod]["spec"]["containers"][0]

    changes = {
        "tolerationz": lambda t: pods(t)["snel-coordinator"]["spec"].update(tolerationz=[]),
        "replicaz": lambda t: one(t, "JobSet")["spec"]["replicatedJobs"][0].update(replicaz=1),
        "job run": lambda t: jobs(one(t, "JobSet"))["run"]["spec"].update(backoffLimit="none"),
        "intervall": lambda t: one(t, "ServiceMonitor")["spec"]["endpoints"][0].update(intervall="1s"),
        "port metrics": lambda t: one(t, "ServiceMonitor")["spec"]["endpoints"][0].update(port="metrics"),
        "PrometheusRule": lambda t: one(t, "PrometheusRule")["spec"]["groups"][0]["rules"][0].update(expr=None),
        "selects no pod": lambda t: one(t, "PodDisruptionBudget")["spec"]["selector"].update(matchLabels={"a": "b"}),
        "--nane=x": lambda t: container(t)["args"].append("--nane=x"),
        "SNEL_COORDINATER": lambda t: container(t)["env"].append({"name": "SNEL_COORDINATER", "value": ""}),
        "no volume data": lambda t: pods(t)["rings-workers"]["spec"]["volumes"].pop(-1),
        "nothing is mounted": lambda t: container(t, "snel-coordinator")["volumeMounts"].pop(1),
        "not restricted": lambda t: container(t)["securityContext"].update(readOnlyRootFilesystem=False),
        "restartPolicy Never": lambda t: pods(t)["rings-run"]["spec"].update(restartPolicy="OnFailure"),
    }
    for words, change in changes.items():
        found = plant(change)
        if not any(words in fault for fault in found):
            sys.exit(f"manifests: the planted fault {words!r} was not found among {found}")
    return len(changes)


def secrets():
    """Those that the commands of docs/deploy.md make."""
    text = (ROOT / "docs/deploy.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^kubectl -n snel create secret .*$", text, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        script = ROOT / "deploy/certificates.sh"
        subprocess.run([script, f"{folder}/certificates", "snel-coordinator", "localhost"], check=True)
        for command in commands:
            words = command.split() + ["--dry-run=client", "--output=json"]
            made = json.loads(subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout)
            yield made["metadata"]["name"], set(made["data"])


warnings.simplefilter("ignore")
example = (ROOT / "examples/rings.toml").read_text()
for path in ("base/run.toml", "kubeflow/run.toml"):
    assert (KUBERNETES / path).read_text() == example, f"{path} is not examples/rings.toml"
made = dict(secrets())
assert made and made.items() <= SECRETS.items(), f"docs/deploy.md makes {made}"
rendered = {name: render(*way) for name, way in WAYS.items()}
rendered |= {"docs/deploy.md": documented(), "snel plan": planned()}
mine = one(rendered["docs/deploy.md"], "JobSet")
assert (mine["metadata"]["name"], jobs(mine)["workers"]["spec"]["completions"]) == ("power", 8)
wrong = [f"{name}: {fault}" for name, things in rendered.items() for fault in faults(things)]
for fault in wrong:
    print(fault, file=sys.stderr)
if wrong:
    sys.exit(f"manifests: {len(wrong)} faults")
count = sum(map(len, rendered.values()))
print(f"manifests: {count} objects in {len(rendered)} ways are sound; {planted()} planted faults were found")
