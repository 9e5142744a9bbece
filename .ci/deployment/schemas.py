"""What the schemas of Kubernetes and its extensions say of an object.

Those of Kubernetes come from kubernetes-validate, those of JobSet and Kubeflow Trainer from the models in
kubeflow-trainer-api, those of the Prometheus operator from cloudcoil-models-prometheus-operator.
"""

import copy
import json

import kubernetes_validate
from kubeflow_trainer_api import models as kubeflow

from rendering import jobs

VERSION = "1.37"


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
        for number, (a, b) in enumerate(zip(given, kept, strict=False)):
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
