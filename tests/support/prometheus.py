"""A Prometheus of one's own, for tests, and `promtool`.

    with Prometheus(targets=["127.0.0.1:8000"], rules=[path]) as prometheus:
        prometheus.query("up")

It scrapes each second, listens on a free port of 127.0.0.1, keeps its files in a folder of its own, and is gone, with
that folder, when the block is left. No service of the system is touched: `make` unpacks Debian's package into `.make/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.fleet import ROOT
from tests.support.redis_server import free_port
from tests.support.until import until

START_SECONDS = 30.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 10.0

CONFIG = """\
global: {{ scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s }}
rule_files: {rules}
scrape_configs:
  - job_name: tidegate
    static_configs: [{{ targets: {targets} }}]
"""


class Prometheus:
    """One server; a context manager."""

    def __init__(self, *, targets: Sequence[str], rules: Sequence[Path]) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="tidegate-prometheus-", ignore_cleanup_errors=True)
        self._folder = Path(self._home.name)
        self.config = self._folder / "prometheus.yml"
        # JSON is YAML.
        names = json.dumps([str(rule) for rule in rules])
        self.config.write_text(CONFIG.format(rules=names, targets=json.dumps(list(targets))))
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Prometheus:
        try:
            # Another program may take a free port before the server does.
            while not self._starts():
                if "address already in use" not in self._log:
                    raise RuntimeError(f"prometheus did not start:\n{self._log}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of `/api/v1/`; `ValueError` with what it says of a bad query."""
        question = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{question}", timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            raise ValueError(f"{path} {parameters}: {refusal.read().decode()}") from refusal

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, now: `{"metric": labels, "value": [time, text]}`."""
        samples: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return samples

    def value(self, expression: str) -> float | None:
        """Of the one sample that it gives; None where it gives none."""
        samples = self.query(expression)
        assert len(samples) <= 1, f"{expression} gives {samples}"
        return float(samples[0]["value"][1]) if samples else None

    def alerts(self) -> dict[str, str]:
        """`pending` or `firing`, by the alert's name."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]}

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _starts(self) -> bool:
        self._port = free_port()
        command = [
            program("prometheus"),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._process = process
        until(lambda: self._is_ready() or process.poll() is not None, START_SECONDS, "prometheus is not ready")
        return process.poll() is None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=1):
                return True
        except OSError:
            return False

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._home.cleanup()


def program(name: str) -> str:
    """`prometheus` or `promtool`: the system's, or what `make` has unpacked."""
    found = shutil.which(name) or shutil.which(name, path=str(ROOT / ".make" / "prometheus" / "usr" / "bin"))
    if found is None:
        raise FileNotFoundError(f"there is no {name}; `make build` brings it")
    return found


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """What it says; `AssertionError` with that where it finds a fault."""
    ran = subprocess.run(
        [program("promtool"), *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, f"promtool {' '.join(arguments)}: {said}"
    return said
