"""A Prometheus of Debian's, as a process."""

import json
import math
import subprocess
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from monitoring.rules import ROOT
from support.tools import tool

READ_TIMEOUT_S = 30
CONFIG = ROOT / "deploy/prometheus/prometheus.yml"


def our_config(*targets: str) -> dict[str, Any]:
    """Return the configuration that we ship, for other targets and with short intervals."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(CONFIG.parent / pattern) for pattern in config["rule_files"]]
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "hedgerow")
    job["static_configs"] = [{"targets": list(targets)}]
    return {**config, "scrape_configs": [job]}


class Prometheus:
    """Started on a free port, which it reports; the test that starts it ends it with `end`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(
            [
                tool("prometheus"), "--web.listen-address=127.0.0.1:0",
                f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            ],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if 'msg="Listening on"' in line:
                self.url = "http://" + line.split("address=")[1].strip()
            if "Server is ready to receive web requests" in line:
                break
        else:
            raise AssertionError(said)
        self._reads_on = threading.Thread(target=self.process.stderr.read)  # or it would stop at a full pipe
        self._reads_on.start()

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as answer:
            reply = json.loads(answer.read())
        assert reply["status"] == "success"
        return reply["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return each sample that is a number, by its labels."""
        result = self._get("query", query=expression)["result"]
        samples = {str(sample["metric"]): float(sample["value"][1]) for sample in result}
        return {labels: value for labels, value in samples.items() if math.isfinite(value)}

    def names(self) -> list[str]:
        names: list[str] = self._get("label/__name__/values")
        return names

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def end(self) -> None:
        self.process.terminate()
        with self.process:  # closes the pipe, and waits
            self._reads_on.join()
