"""What the files for Docker and Kubernetes say of the service holds of the service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from gpu_coldstart.cli.app import app as commands
from gpu_coldstart.service.settings import ADMIN_KEYS, KEYS, STORE, Settings
from tests.service.helpers import Echo, echoing
from tests.service.serving import served

# Stubs for it would be one more package; it comes with schemathesis.
yaml: Any = pytest.importorskip("yaml")

DOCKER = Path(__file__).parent.parent / "docker"
OBJECTS: dict[str, Any] = {
    each["kind"]: each for each in yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text())
}
POD: dict[str, Any] = OBJECTS["Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]
SERVE: Any = typer.main.get_command(commands)
SERVE = SERVE.commands["serve"]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The instructions, one a line."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile.serve").read_text(), flags=re.M)
    return text.replace("\\\n", " ")


def listed(dockerfile: str, instruction: str) -> list[str]:
    """The words of an instruction that is written as JSON."""
    found = re.search(rf"^{instruction} (\[.*\])$", dockerfile, re.M)
    assert found
    words: list[str] = json.loads(found[1])
    return words


def parsed(words: list[str]) -> dict[str, Any]:
    """What ``gpu-coldstart serve`` makes of its arguments."""
    with SERVE.make_context("serve", list(words)) as context:
        return dict(context.params)


def test_there_is_one_of_each_kind() -> None:
    kinds = ["Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"]
    assert sorted(OBJECTS) == kinds


def test_probes_ask_routes_that_there_are() -> None:
    paths = echoing().openapi()["paths"]
    probes = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in _PROBES}
    assert {name: probe["path"] for name, probe in probes.items()} == _PROBES
    assert {*_PROBES.values()} <= {*paths}
    assert {probe["port"] for probe in probes.values()} == {"http"}


_PROBES = {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_command_takes_its_arguments(dockerfile: str) -> None:
    assert listed(dockerfile, "ENTRYPOINT") == ["gpu-coldstart", "serve"]
    image = parsed(listed(dockerfile, "CMD"))
    pod = parsed(CONTAINER["args"])
    assert "command" not in CONTAINER
    for options in (image, pod):
        assert options["host"] == "0.0.0.0"  # or nobody outside could reach it
        assert options["port"] == 8000
    assert "EXPOSE 8000" in dockerfile
    (port,) = CONTAINER["ports"]
    assert port == {"name": "http", "containerPort": 8000}
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == "8000"
    (service,) = OBJECTS["Service"]["spec"]["ports"]
    assert service["targetPort"] == "http"
    (mount,) = CONTAINER["volumeMounts"]
    assert str(pod["bundle"]).startswith(mount["mountPath"])
    assert mount["name"] == POD["spec"]["volumes"][0]["name"]


def test_the_pod_ends_after_the_service_has() -> None:
    options, defaults = parsed(CONTAINER["args"]), Settings(Path("bundle"))
    longest = options["grace"] + defaults.deadline_s + defaults.body_timeout_s + 1
    assert POD["spec"]["terminationGracePeriodSeconds"] > longest


def test_secrets_are_those_that_the_service_reads() -> None:
    names = {each["name"] for each in CONTAINER["env"] if "valueFrom" in each}
    assert names == {STORE, KEYS, ADMIN_KEYS}


def test_the_pod_may_do_little(dockerfile: str) -> None:
    pod, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["readOnlyRootFilesystem"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}" in dockerfile
    assert {*CONTAINER["resources"]["limits"]} == {*CONTAINER["resources"]["requests"]}
    assert {*CONTAINER["resources"]["limits"]} == {"cpu", "memory"}


def test_what_selects_pods_finds_them() -> None:
    labels = POD["metadata"]["labels"]
    deployment, budget = OBJECTS["Deployment"], OBJECTS["PodDisruptionBudget"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels


def test_the_autoscaler_goes_by_a_metric_that_there_is() -> None:
    spec = OBJECTS["HorizontalPodAutoscaler"]["spec"]
    deployment = OBJECTS["Deployment"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]
    (metric,) = spec["metrics"]
    name = metric["pods"]["metric"]["name"]
    exposed = echoing().state.service.metrics.text().decode()
    assert f"# TYPE {name} gauge" in exposed
    assert 0 < int(metric["pods"]["target"]["averageValue"]) < Settings(Path("bundle")).queue
    # One may go while another stays.
    assert OBJECTS["PodDisruptionBudget"]["spec"]["maxUnavailable"] < spec["minReplicas"]


def test_the_image_knows_whether_it_is_healthy(dockerfile: str) -> None:
    words = listed(dockerfile, "HEALTHCHECK .*CMD")
    assert words[0] == "python"
    app = echoing(Echo())
    with served(app) as url:

        def status() -> int:
            command = [word.replace("http://127.0.0.1:8000/", url) for word in words[1:]]
            assert url in command[-1]
            asked = subprocess.run([sys.executable, *command], capture_output=True, check=False)
            return asked.returncode

        assert status() == 0
        app.state.service.draining = True
        assert status() == 1


def test_the_image_is_without_what_learning_needs(dockerfile: str) -> None:
    (packages,) = re.findall(r"pip install --constraint constraints.txt (.*)", dockerfile)
    assert packages.split(" && ")[0].split() == ["'.[serve]'"]
