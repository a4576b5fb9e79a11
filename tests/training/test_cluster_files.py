"""The examples in docs/cluster: what their formats want, and a TF_CONFIG that TensorFlow takes."""

import json
import os
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tf_lungreg.cli.main import make_parser
from tf_lungreg.cli.train import make_settings
from tf_lungreg.training.strategy import check_strategy

FOLDER = Path(__file__).parents[2] / "docs" / "cluster"


def manifests():
    text = (FOLDER / "train.yaml").read_text(encoding="utf-8")
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}


def container():
    return manifests()["Job"]["spec"]["template"]["spec"]["containers"][0]


def check(words):
    """The command's flags exist and fit each other."""
    options = make_parser().parse_args(words)
    config = make_settings(options).resolved()
    assert options.strategy == "multiworker" and config.batch % 2 == 0


@pytest.mark.parametrize("kind", ["Service", "Job"])
def test_a_manifest_fits_its_schema(kind):
    kubernetes_validate.validate(manifests()[kind], "1.31", strict=True)


def test_the_pods_are_the_workers_that_tensorflow_looks_for():
    job, service = manifests()["Job"], manifests()["Service"]
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    (port,) = [port["containerPort"] for port in container()["ports"]]
    count = job["spec"]["completions"]
    assert count == job["spec"]["parallelism"]
    (text,) = [e["value"] for e in container()["env"] if e["name"] == "TF_CONFIG"]
    for number in range(count):
        task = json.loads(text.replace("$(INDEX)", str(number)))
        hosts = [f"{name}-{n}.{service['metadata']['name']}:{port}" for n in range(count)]
        assert task["cluster"]["worker"] == hosts
        assert task["task"] == {"type": "worker", "index": number}
    check(container()["args"])


def test_the_job_s_script_starts_every_worker_with_its_place(tmp_path, monkeypatch):
    """With stand-ins for Slurm's commands: two machines, and the command's words as they come."""
    stand_ins = {
        "scontrol": "[ $1 = show ] && echo node1 && echo node2",
        "srun": 'shift; for n in 0 1; do SLURM_PROCID=$n "$@"; done',
        "tf-lungreg": f'echo "$TF_CONFIG" >> {tmp_path}/configs; echo "$@" >> {tmp_path}/words',
    }
    for name, lines in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NAME": "lungreg"}
    env = {**os.environ, **job, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(FOLDER / "train.slurm"), "my-cohort"], env=env, check=True)
    configs = (tmp_path / "configs").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(configs):
        assert json.loads(line)["cluster"]["worker"] == ["node1:2222", "node2:2222"]
        assert json.loads(line)["task"] == {"type": "worker", "index": number}
    words = (tmp_path / "words").read_text(encoding="utf-8").splitlines()
    assert len(configs) == len(words) == 2 and words[0] == words[1]
    check(words[0].split())
    monkeypatch.setenv("TF_CONFIG", configs[0])
    check_strategy("one")
