"""Pods of the rendered manifests, started in containers as a kubelet would: files of secrets and config
maps, variables, arguments, probes."""

import json
import os
import socket
import ssl
import subprocess
import urllib.request

from containers import Container, Mount, until

GROUP = 10001
# Keys of secrets, and what deploy/certificates.sh calls them.
SECRETS = {
    "snel-tls": {"ca.crt": "ca.crt", "tls.crt": "server.crt", "tls.key": "server.key"},
    "snel-client-tls": {"ca.crt": "ca.crt", "tls.crt": "client.crt", "tls.key": "client.key"},
    "snel-token": {"token": "token"},
}


class Pod:
    """One pod of one container."""

    def __init__(self, place, image, template, name, certificates, maps, volumes=None):
        """`volumes` has the folders of claims by name."""
        self.spec, self.name = template["spec"], name
        self.container = self.spec["containers"][0]
        self.labels = template["metadata"]["labels"] | {"jobset.sigs.k8s.io/jobset-name": "rings"}
        self.certificates, self.maps = certificates, maps
        self.place = place / name
        self.place.mkdir()
        self.volumes = dict(volumes or {})
        for volume in self.spec["volumes"]:
            self.volumes[volume["name"]] = self.files(volume)
        mounts = [
            Mount(m["mountPath"], self.volumes[m["name"]], m.get("readOnly", False))
            for m in self.container["volumeMounts"]
        ]
        # What a cluster's name server says, and the pod's own files.
        hosts = self.place / "hosts"
        hosts.write_text(f"127.0.0.1 localhost snel-coordinator snel-coordinator.snel.svc {name}\n")
        mounts.append(Mount("/etc/hosts", hosts, True))
        env = {variable["name"]: self.value(variable) for variable in self.container.get("env", [])}

        def fill(words):
            return [expand(word, env) for word in words]

        secure = self.spec["securityContext"]
        self.process = Container(
            image,
            fill(self.container["command"]) if "command" in self.container else None,
            self.place / f"{name}.log",
            args=fill(self.container["args"]),
            env=env,
            mounts=mounts,
            user=f"{secure['runAsUser']}:{secure['runAsGroup']}",
            read_only=self.container["securityContext"]["readOnlyRootFilesystem"],
        )

    def files(self, volume):
        """The folder of a volume; none is a tmpfs."""
        if "emptyDir" in volume:
            return None
        folder = self.place / volume["name"]
        folder.mkdir()
        if "configMap" in volume:
            for key, text in self.maps[volume["configMap"]["name"]].items():
                (folder / key).write_text(text)
            return folder
        secret = volume["secret"]
        keys = SECRETS[secret["secretName"]]
        # All keys by their own names, or those that are listed.
        paths = {item["key"]: item["path"] for item in secret.get("items", [])} or {key: key for key in keys}
        for key, path in paths.items():
            file = folder / path
            file.write_bytes((self.certificates / keys[key]).read_bytes())
            # As the kubelet leaves them for an fsGroup.
            os.chown(file, 0, GROUP)
            file.chmod(secret["defaultMode"])
        return folder

    def value(self, variable):
        field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if field == "metadata.name":
            return self.name
        if field:
            return self.labels[field.split("'")[1]]
        return variable["value"]

    def probe(self, kind):
        """Whether a probe succeeds now."""
        asked = self.container[kind]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        try:
            if http := asked.get("httpGet"):
                # Kubelets do not check certificates.
                context = ssl._create_unverified_context()
                url = f"{http['scheme'].lower()}://127.0.0.1:{ports[http['port']]}{http['path']}"
                return urllib.request.urlopen(url, timeout=5, context=context).status == 200
            if tcp := asked.get("tcpSocket"):
                socket.create_connection(("127.0.0.1", ports[tcp["port"]]), 5).close()
                return True
            return self.process.run(asked["exec"]["command"]) == 0
        except OSError:
            return False

    def ready(self):
        """Waits as long as the startup probe lets it, and a moment for readiness."""
        startup = self.container["startupProbe"]
        seconds = startup["periodSeconds"] * startup["failureThreshold"]
        until(f"startup of {self.name}", min(seconds, 30), lambda: self.alive() and self.probe("startupProbe"))
        for kind in ("livenessProbe", "readinessProbe"):
            until(f"{kind} of {self.name}", 10, lambda: self.probe(kind))

    def alive(self):
        if not self.process.running():
            raise RuntimeError(f"{self.name} has ended:\n{self.process.text()}")
        return True

    def ends(self, code, seconds):
        """Waits for its end, which must be this code."""
        found = self.process.wait(seconds)
        if found != code:
            raise AssertionError(f"{self.name} ended with {found}, not {code}:\n{self.process.text()}")

    def stop(self):
        """SIGTERM, and its grace."""
        self.process.kill()
        return self.process.wait(self.spec.get("terminationGracePeriodSeconds", 30))


def expand(word, env):
    for name, value in env.items():
        word = word.replace(f"$({name})", value)
    return word


def snel(*words, **env):
    """What the program says, as a user on this host has it; JSON if that was asked for."""
    done = subprocess.run(
        [os.environ["SNEL"], *words], capture_output=True, text=True, check=True, env=os.environ | env
    )
    return json.loads(done.stdout) if "--json" in words else done.stdout
