"""The files in serving/: each is what its format wants, and they fit each other."""

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tf_lungreg.serving.client import RemoteModel
from tf_lungreg.serving.wire import NAME

FOLDER = Path(__file__).parents[2] / "serving"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))


def read(path):
    return yaml.safe_load((FOLDER / path).read_text(encoding="utf-8"))


def compose_flags(service):
    words = service["command"].split()
    assert words.pop() == "${SERVING_FLAGS:-}"
    return words


def container():
    return read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]


def test_the_compose_file_fits_its_specification():
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run(
        [*words, str(FOLDER / "compose.yaml")], capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stdout


def has_compose():
    docker = shutil.which("docker")
    words = [docker, "compose", "version"]
    return docker and not subprocess.run(words, capture_output=True).returncode


@pytest.mark.skipif(not has_compose(), reason="no docker compose")
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_docker_takes_the_compose_file(profile):
    words = ["docker", "compose", "--file", str(FOLDER / "compose.yaml"), "--profile", profile]
    subprocess.run([*words, "config", "--quiet"], check=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.name)
def test_a_manifest_fits_its_schema(path):
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_all_of_a_deployment_is_there():
    kinds = {yaml.safe_load(path.read_text(encoding="utf-8"))["kind"] for path in MANIFESTS}
    needed = {"Deployment", "Service", "HorizontalPodAutoscaler", "PersistentVolumeClaim"}
    assert kinds == needed


def test_everywhere_the_same_server():
    services = read("compose.yaml")["services"]
    image = services["cpu"]["image"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", image)
    assert services["gpu"]["image"] == f"{image}-gpu" and container()["image"] == image
    flags = compose_flags(services["cpu"])
    assert flags == compose_flags(services["gpu"])
    extra = set(container()["args"]) - set(flags)
    assert set(flags) <= set(container()["args"])
    assert all(flag.startswith("--tensorflow_intra_op_parallelism=") for flag in extra)


def test_every_file_that_a_flag_names_is_mounted():
    service = read("compose.yaml")["services"]["cpu"]
    mounted = dict(reversed(v.rsplit(":ro", 1)[0].rsplit(":", 1)) for v in service["volumes"])
    assert mounted["/config"] == "./config"
    paths = re.findall(r"=(/config/\S+)", service["command"])
    assert len(paths) == 2
    for path in paths:
        assert (FOLDER / path[1:]).is_file()
    mounts = {mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts == {"/config", f"/models/{NAME}"} <= set(mounted)


def test_the_models_config_serves_the_name_that_clients_ask_for():
    text = (FOLDER / "config" / "models.config").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == NAME and model.base_path == f"/models/{NAME}"
    loaded = set(model.model_version_policy.specific.versions)
    assert set(model.version_labels) == {"stable", "canary"}
    assert set(model.version_labels.values()) <= loaded


def test_pods_are_what_service_and_autoscaler_mean():
    deployment, service = read("kubernetes/deployment.yaml"), read("kubernetes/service.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    target = read("kubernetes/autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert {p["targetPort"]: p["port"] for p in service["spec"]["ports"]} == ports
    assert container()["readinessProbe"]["grpc"]["port"] == ports["grpc"]
    claim = deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]
    assert claim["claimName"] == read("kubernetes/models.yaml")["metadata"]["name"]


@pytest.mark.parametrize("state, healthy", [("AVAILABLE", True), ("LOADING", False)])
def test_the_health_check_knows_whether_the_model_is_there(state, healthy):
    class Status(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == f"/v1/models/{NAME}"
            self.send_response(200 if found else 404)
            self.end_headers()
            answer = {"model_version_status": [{"version": "1", "state": state}]}
            self.wfile.write(json.dumps(answer if found else {}).encode("ascii"))

        def log_message(self, *_):
            pass

    command = read("compose.yaml")["services"]["cpu"]["healthcheck"]["test"]
    with http.server.HTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [word.replace("8501", str(server.server_port)) for word in command[1:]]
        assert (subprocess.run(words, timeout=30).returncode == 0) is healthy
        server.shutdown()
    assert subprocess.run(words, stderr=subprocess.DEVNULL, timeout=30).returncode != 0


def test_the_script_makes_a_certificate_that_works(start, tmp_path):
    script = shutil.copy(FOLDER / "tls" / "make.sh", tmp_path)
    subprocess.run(["sh", script, "chest.example"], check=True, stderr=subprocess.DEVNULL)
    text = (tmp_path / "ssl.config").read_text(encoding="ascii")
    for name, file in (("server_key", "server.key"), ("server_cert", "server.crt")):
        (value,) = re.findall(rf'^{name}: "(.*)"$', text, re.MULTILINE)
        assert value.replace("\\n", "\n") == (tmp_path / file).read_text(encoding="ascii")
    server = start(tls=(tmp_path / "server.crt", tmp_path / "server.key"))
    assert RemoteModel(server.address, tls=tmp_path / "server.crt").card
