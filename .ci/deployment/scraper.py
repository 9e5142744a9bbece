"""A real Prometheus that scrapes as the ServiceMonitor says, and is asked what dashboard and alerts ask."""

import json
import os
import pathlib
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

from containers import until
from rendering import one

ROOT = pathlib.Path(__file__).parents[2]
PROMETHEUS = os.environ.get("PROMETHEUS")


class Scraper:
    """Set up from what is rendered."""

    def __init__(self, cluster):
        endpoint = one(cluster.things, "ServiceMonitor")["spec"]["endpoints"][0]
        self.rules = one(cluster.things, "PrometheusRule")["spec"]
        self.dashboard = json.loads(cluster.maps["snel-dashboard"]["dashboard.json"])
        place = cluster.place / "prometheus"
        place.mkdir()
        scrape = {
            "job_name": "snel",
            "scheme": endpoint["scheme"],
            "metrics_path": endpoint["path"],
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "tls_config": {
                "ca_file": f"{cluster.certificates}/ca.crt",
                "server_name": endpoint["tlsConfig"]["serverName"],
            },
            "authorization": {"credentials_file": f"{cluster.certificates}/token"},
            "static_configs": [{"targets": ["127.0.0.1:7071"]}],
        }
        (place / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
        with open(place / "log", "wb") as log:
            self.process = subprocess.Popen(
                [
                    PROMETHEUS,
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    "--web.listen-address=127.0.0.1:9090",
                ],
                cwd=place,
                stdout=log,
                stderr=log,
            )
        until("a scrape", 30, lambda: self.value('up{job="snel"}') == [1.0])

    def query(self, expression):
        url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []  # not ready yet
            raise ValueError(f"{expression}: {error.read().decode()}") from None
        except OSError:
            return []

    def value(self, expression):
        return [float(sample["value"][1]) for sample in self.query(expression)]

    def ask(self):
        """Every query has an answer, and every alert's expression is one."""
        queries = [target["expr"] for panel in self.dashboard["panels"] for target in panel["targets"]]
        for query in queries:
            filled = query.replace("$__rate_interval", "20s").replace("$run", ".+")
            assert "$" not in filled, query
            until(f"an answer to {filled}", 10, lambda: self.query(filled))
        rules = [rule["expr"] for group in self.rules["groups"] for rule in group["rules"]]
        served = set(
            re.findall(r"\bsnel_\w+", " ".join(s["metric"]["__name__"] for s in self.query('{__name__=~"snel_.+"}')))
        )
        documented = set(re.findall(r"`(snel_\w+)`", (ROOT / "docs/operations.md").read_text()))
        for expression in rules + queries:
            self.query(expression.replace("$__rate_interval", "20s").replace("$run", ".+"))
            used = set(re.findall(r"\bsnel_\w+", expression))
            assert used <= served, f"{used - served} is not served: {expression}"
            plain_names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
            assert plain_names <= documented, f"{plain_names - documented} is not in docs/operations.md"
        gone = {name for name in documented if not any(s.startswith(name) for s in served)}
        assert not gone, f"docs/operations.md has {gone}, which is not served"
        return f"{len(queries)} queries of the dashboard and {len(rules)} alerts were answered by Prometheus"
