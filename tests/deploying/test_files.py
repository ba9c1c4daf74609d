"""The files of the deploying pages are such files: a server starts from them, Kubernetes and Docker take them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploying.pages import blocks, files
from tests.support.fleet import ROOT
from tests.support.redis_server import RedisServer

KUBERNETES = "1.31"


class ConfiguredServer(RedisServer):
    """A redis-server that reads its settings from a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def _command(self, folder: Path, port: int) -> list[str]:
        command = super()._command(folder, port)
        at = command.index("--save")  # the file says that
        return [command[0], str(self._path), *command[1:at], *command[at + 2 :]]


@pytest.mark.parametrize("duty", ["cache", "queue"])
def test_a_server_with_the_settings_of_the_page_is_found_right_by_doctor(duty: str, tmp_path: Path) -> None:
    [settings] = files("redis.md", "conf", f"redis-{duty}.conf")
    path = tmp_path / "redis.conf"
    path.write_text(settings)
    with ConfiguredServer(path) as server, server.client(decode_responses=True) as client:
        for line in settings.splitlines():
            name, _, value = line.partition(" ")
            if name in ("maxmemory-policy", "appendonly", "appendfsync", "latency-monitor-threshold"):
                assert client.config_get(name) == {name: value}
        command = ["-m", "tidegate", "doctor", "--url", server.url, "--service", "billing", "--for", duty, "--json"]
        ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout
        severities = {finding["severity"] for finding in json.loads(ran.stdout)["findings"]}
        assert "ok" in severities
        assert not severities & {"warning", "error"}


def manifests() -> list[dict[str, object]]:
    return [one for block in blocks("kubernetes.md", "yaml") for one in yaml.safe_load_all(block)]


def test_kubernetes_takes_the_manifest() -> None:
    kinds = [manifest["kind"] for manifest in manifests()]
    assert kinds == ["Deployment", "Service", "PodDisruptionBudget"]
    for manifest in manifests():
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_kubernetes_refuses_a_manifest_with_a_mistake() -> None:
    deployment = manifests()[0]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbes"] = {}  # type: ignore[index]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_the_grace_period_is_longer_than_what_the_service_takes_to_end() -> None:
    pod = manifests()[0]["spec"]["template"]["spec"]  # type: ignore[index]
    drain = next(float(each["value"]) for each in pod["containers"][0]["env"] if each["name"] == "DRAIN_SECONDS")
    close = 20  # in examples/deploying
    for name in ("service.py", "service.mjs"):
        source = (ROOT / "examples" / "deploying" / name).read_text()
        assert f"timeout={close}" in source or f"timeout: '{close}s'" in source
    assert pod["terminationGracePeriodSeconds"] > drain + 10 + close


def complaints(dockerfile: str) -> list[str]:
    """What a validator says of a Dockerfile."""
    program = (
        "const { validate } = require('dockerfile-utils');"
        "const text = require('node:fs').readFileSync(0, 'utf8');"
        "console.log(JSON.stringify(validate(text).map((one) => one.message)));"
    )
    ran = subprocess.run(
        ["node", "-e", program], cwd=ROOT, input=dockerfile, capture_output=True, text=True, check=True
    )
    said: list[str] = json.loads(ran.stdout)
    return said


def test_docker_takes_the_files() -> None:
    found = files("docker.md", "dockerfile", "Dockerfile")
    assert len(found) == 2
    for dockerfile in found:
        assert complaints(dockerfile) == []
        lines = dockerfile.splitlines()
        assert any(line.startswith("USER ") for line in lines)
        assert lines[-1].startswith('CMD ["')
    assert complaints(found[0].replace("USER 10001", "USR 10001")) != []
