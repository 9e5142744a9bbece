"""Whether the manifests are what Kubernetes and its extensions take, and fit together.

Schemas of Kubernetes come from kubernetes-validate, those of JobSet and Kubeflow Trainer from the models
in kubeflow-trainer-api, those of the Prometheus operator from cloudcoil-models-prometheus-operator. What
only an API server knows (defaults, admission, quotas) is not exercised.
"""

import copy
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings

import kubernetes_validate
from kubeflow_trainer_api import models as kubeflow

from kubernetes import KUBERNETES, WAYS, documented, jobs, one, pods, render

VERSION = "1.37"
# Made by hand, as docs/deploy.md says.
SECRETS = {
    "snel-tls": {"ca.crt", "tls.crt", "tls.key"},
    "snel-client-tls": {"ca.crt", "tls.crt", "tls.key"},
    "snel-token": {"token"},
}
CLAIMS = {"snel-data"}
SNEL = os.environ["SNEL"]


def builtin(thing):
    """Faults by the schema of Kubernetes, unknown keys included."""
    try:
        kubernetes_validate.validate(thing, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as error:
        yield str(error).splitlines()[0]


def lost(given, kept, path=""):
    """What a model did not take over: keys that it does not know."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{path}.{key} is no key"
            else:
                yield from lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (a, b) in enumerate(zip(given, kept)):
            yield from lost(a, b, f"{path}[{number}]")


def by_model(model, load, dump, thing):
    try:
        kept = dump(load(model, thing))
    except ValueError as error:
        yield " ".join(str(error).split())[:300]
        return
    yield from lost(thing, kept)


def by_kubeflow(model, thing):
    yield from by_model(model, lambda m, t: m.from_dict(copy.deepcopy(t)), lambda o: o.to_dict(), thing)


def by_prometheus(thing):
    from cloudcoil.models.prometheus_operator import v1

    model = getattr(v1, thing["kind"])
    yield from by_model(
        model, lambda m, t: m.model_validate(t), lambda o: json.loads(o.model_dump_json(by_alias=True)), thing
    )


def schema_faults(thing):
    match thing["apiVersion"].split("/")[0], thing["kind"]:
        case "jobset.x-k8s.io", "JobSet":
            yield from by_kubeflow(kubeflow.JobsetV1alpha2JobSet, thing)
            yield from job_faults(thing)
        case "trainer.kubeflow.org", "ClusterTrainingRuntime":
            yield from by_kubeflow(kubeflow.TrainerV1alpha1ClusterTrainingRuntime, thing)
            yield from job_faults(thing)
        case "trainer.kubeflow.org", "TrainJob":
            yield from by_kubeflow(kubeflow.TrainerV1alpha1TrainJob, thing)
        case "monitoring.coreos.com", _:
            yield from by_prometheus(thing)
        case _:
            yield from builtin(thing)


def job_faults(thing):
    """The jobs that a JobSet makes, each as a Job of its own."""
    for name, template in jobs(thing).items():
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **template.get("metadata", {})}}
        yield from (f"job {name}: {fault}" for fault in builtin({**job, "spec": template["spec"]}))
        # Rules of the API server that no schema has.
        spec, pod = template["spec"], template["spec"]["template"]["spec"]
        names = {c["name"] for c in pod["containers"]}
        if "podFailurePolicy" in spec and pod["restartPolicy"] != "Never":
            yield f"job {name}: a podFailurePolicy wants restartPolicy Never"
        if "backoffLimitPerIndex" in spec and spec.get("completionMode") != "Indexed":
            yield f"job {name}: backoffLimitPerIndex wants an Indexed job"
        for rule in spec.get("podFailurePolicy", {}).get("rules", []):
            if rule.get("onExitCodes", {}).get("containerName") not in names | {None}:
                yield f"job {name}: no container {rule['onExitCodes']['containerName']}"
        if thing["kind"] == "JobSet" and spec.get("completions") != spec.get("parallelism"):
            yield f"job {name}: completions and parallelism differ"


def selects(selector, labels):
    wanted = selector.get("matchLabels", {})
    rules = selector.get("matchExpressions", [])
    return all(labels.get(k) == v for k, v in wanted.items()) and all(
        r["operator"] == "In" and labels.get(r["key"]) in r["values"] for r in rules
    )


def fit_faults(things):
    """Names that must be there because others use them."""
    templates = pods(things)
    labels = {name: template["metadata"]["labels"] for name, template in templates.items()}
    maps = {t["metadata"]["name"]: set(t["data"]) for t in things if t["kind"] == "ConfigMap"}
    for thing in things:
        kind, spec = thing["kind"], thing.get("spec", {})
        of = f"{kind} {thing['metadata']['name']}"
        if kind not in ("Namespace", "ClusterTrainingRuntime") and thing["metadata"].get("namespace") != "snel":
            yield f"{of} is not in the namespace snel"
        selectors = []
        match kind:
            case "Service":
                selectors = [{"matchLabels": spec["selector"]}]
            case "PodDisruptionBudget":
                selectors = [spec["selector"]]
            case "NetworkPolicy":
                selectors = [spec["podSelector"]]
                selectors += [p["podSelector"] for way in ("ingress", "egress") for rule in spec.get(way) or []
                              for p in rule.get("from", rule.get("to", [])) if set(p) == {"podSelector"}]
            case "StatefulSet" | "Deployment":
                if not selects(spec["selector"], spec["template"]["metadata"]["labels"]):
                    yield f"{of} does not select its own pods"
        for selector in selectors:
            if not any(selects(selector, l) for l in labels.values()):
                yield f"{of} selects no pod: {selector}"
    for thing in things:
        if thing["kind"] == "ServiceMonitor":
            services = [t for t in things if t["kind"] == "Service" and selects(thing["spec"]["selector"], t["metadata"]["labels"])]
            ports = {port["name"] for service in services for port in service["spec"]["ports"]}
            for endpoint in thing["spec"]["endpoints"]:
                if endpoint["port"] not in ports:
                    yield f"no service has the port {endpoint['port']} that is to be scraped"
                used = [endpoint["tlsConfig"]["ca"]["secret"], endpoint["authorization"]["credentials"]]
                yield from (f"no secret {s}" for s in used if s["key"] not in SECRETS.get(s["name"], ()))
    claims = {t["metadata"]["name"] for s in things if s["kind"] == "StatefulSet" for t in s["spec"]["volumeClaimTemplates"]}
    for name, template in templates.items():
        yield from (f"{name}: {fault}" for fault in pod_faults(template["spec"], maps, claims))


def pod_faults(pod, maps, claims):
    volumes = {v["name"]: v for v in pod.get("volumes", [])}
    if len(volumes) != len(pod.get("volumes", [])):
        yield "two volumes of one name"
    for volume in volumes.values():
        if secret := volume.get("secret"):
            keys = {item["key"] for item in secret.get("items", [])}
            if not keys <= SECRETS.get(secret["secretName"], set()) or secret["secretName"] not in SECRETS:
                yield f"no secret {secret}"
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            yield f"no config map {volume['configMap']['name']}"
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in CLAIMS:
            yield f"no claim {volume['persistentVolumeClaim']['claimName']}"
    # Pod security, restricted (kubernetes.io/docs/concepts/security/pod-security-standards).
    secure = pod["securityContext"]
    if not secure["runAsNonRoot"] or secure["seccompProfile"]["type"] != "RuntimeDefault":
        yield "its security context is not restricted"
    if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
        yield "it is given a token of the API server, or links"
    used = set()
    for container in pod["containers"]:
        own = container["securityContext"]
        if own["allowPrivilegeEscalation"] or not own["readOnlyRootFilesystem"] or own["capabilities"] != {"drop": ["ALL"]}:
            yield "a container's security context is not restricted"
        if not container.get("resources", {}).get("requests"):
            yield f"{container['name']} asks for no resources"
        if container["image"] == "snel":
            yield "its image has no registry"
        paths = [m["mountPath"] for m in container["volumeMounts"]]
        used |= {m["name"] for m in container["volumeMounts"]}
        if len(set(paths)) != len(paths):
            yield "two mounts in one place"
        for variable in container.get("env", []):
            value = variable.get("value", "")
            if value.startswith("/") and not any(value.startswith(path + "/") for path in paths):
                yield f"{variable['name']} names {value}, where nothing is mounted"
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe, {})
            for way in ("httpGet", "tcpSocket"):
                if way in asked and asked[way]["port"] not in ports:
                    yield f"{probe} asks the port {asked[way]['port']}"
        yield from command_faults(container)
    yield from (f"no volume {name}" for name in used - volumes.keys() - claims)
    yield from (f"the volume {name} is mounted nowhere" for name in volumes.keys() - used)


def command_faults(container):
    """Whether the program takes the arguments and variables. With --help it says so and does nothing."""
    commands = [container["args"]]
    if "command" in container:
        script = container["args"][0]
        commands = [line.split() for line in re.findall(r"snel (run .*?)(?= \|\||\n|$)", script)]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        words = container.get(probe, {}).get("exec", {}).get("command")
        commands += [words[1:]] if words else []
    variables = [v["name"] for v in container.get("env", []) if v["name"].startswith("SNEL_")]
    for words in commands:
        if refusal := refused(tuple(words)):
            yield f"snel {' '.join(words)}: {refusal}"
    yield from (f"the variable {name} is unknown" for name in variables if name not in known_variables())


@functools.cache
def refused(words):
    """What the program says against these arguments."""
    done = subprocess.run([SNEL, *words, "--help"], capture_output=True, text=True)
    return done.stderr.splitlines()[0] if done.returncode else None


@functools.cache
def known_variables():
    """Those that the program's help names."""
    helps = (subprocess.run([SNEL, word, "--help"], capture_output=True, text=True).stdout for word in ("coordinator", "worker"))
    return set(re.findall(r"\[env:\s+(\w+)", "".join(helps)))


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
    text = (KUBERNETES.parents[1] / "docs/deploy.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^kubectl -n snel create secret .*$", text, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        script = KUBERNETES.parents[1] / "deploy/certificates.sh"
        subprocess.run([script, f"{folder}/certificates", "snel-coordinator", "localhost"], check=True)
        for command in commands:
            words = command.split() + ["--dry-run=client", "--output=json"]
            made = json.loads(subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout)
            yield made["metadata"]["name"], set(made["data"])


warnings.simplefilter("ignore")
made = dict(secrets())
assert made and made.items() <= SECRETS.items(), f"docs/deploy.md makes {made}"
rendered = {name: render(*way) for name, way in WAYS.items()} | {"docs/deploy.md": documented()}
mine = one(rendered["docs/deploy.md"], "JobSet")
assert (mine["metadata"]["name"], jobs(mine)["workers"]["spec"]["completions"]) == ("power", 8)
wrong = [f"{name}: {fault}" for name, things in rendered.items() for fault in faults(things)]
for fault in wrong:
    print(fault, file=sys.stderr)
if wrong:
    sys.exit(f"manifests: {len(wrong)} faults")
count = sum(map(len, rendered.values()))
print(f"manifests: {count} objects in {len(rendered)} ways are sound; {planted()} planted faults were found")
