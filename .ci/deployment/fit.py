"""Whether objects fit together: what they name must be there, and the program must take what they say to it."""

import functools
import os
import re
import subprocess

from rendering import pods

# Made by hand, as docs/deploy.md says.
SECRETS = {
    "snel-tls": {"ca.crt", "tls.crt", "tls.key"},
    "snel-client-tls": {"ca.crt", "tls.crt", "tls.key"},
    "snel-token": {"token"},
}
CLAIMS = {"snel-data"}
SNEL = os.environ["SNEL"]


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
                selectors += [
                    p["podSelector"]
                    for way in ("ingress", "egress")
                    for rule in spec.get(way) or []
                    for p in rule.get("from", rule.get("to", []))
                    if set(p) == {"podSelector"}
                ]
            case "StatefulSet" | "Deployment":
                if not selects(spec["selector"], spec["template"]["metadata"]["labels"]):
                    yield f"{of} does not select its own pods"
        for selector in selectors:
            if not any(selects(selector, of_pod) for of_pod in labels.values()):
                yield f"{of} selects no pod: {selector}"
    for thing in things:
        if thing["kind"] == "ServiceMonitor":
            services = [
                t
                for t in things
                if t["kind"] == "Service" and selects(thing["spec"]["selector"], t["metadata"]["labels"])
            ]
            ports = {port["name"] for service in services for port in service["spec"]["ports"]}
            for endpoint in thing["spec"]["endpoints"]:
                if endpoint["port"] not in ports:
                    yield f"no service has the port {endpoint['port']} that is to be scraped"
                used = [endpoint["tlsConfig"]["ca"]["secret"], endpoint["authorization"]["credentials"]]
                yield from (f"no secret {s}" for s in used if s["key"] not in SECRETS.get(s["name"], ()))
    claims = {
        t["metadata"]["name"] for s in things if s["kind"] == "StatefulSet" for t in s["spec"]["volumeClaimTemplates"]
    }
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
        if (
            own["allowPrivilegeEscalation"]
            or not own["readOnlyRootFilesystem"]
            or own["capabilities"] != {"drop": ["ALL"]}
        ):
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
    helps = (
        subprocess.run([SNEL, word, "--help"], capture_output=True, text=True).stdout
        for word in ("coordinator", "worker")
    )
    return set(re.findall(r"\[env:\s+(\w+)", "".join(helps)))
