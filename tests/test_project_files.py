"""Files for people and machines around the code: they parse, and agree with it."""

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tf_lungreg

ROOT = Path(__file__).parent.parent
SCHEMAS = {
    "CITATION.cff": "vendor.citation-file-format",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_fits_its_schema(name):
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    done = subprocess.run(
        [*words, str(ROOT / name)], capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load(text("CITATION.cff"))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert str(citation["version"]) == tf_lungreg.__version__
    assert citation["license"] == setup["metadata"]["license"]
    (paper,) = citation["references"]
    assert paper["title"] in " ".join(text("docs/paper.md").replace("*", "").split())
    assert all(author["family-names"] in text("docs/paper.md") for author in paper["authors"])


def test_the_command_of_the_bug_report_runs():
    (command,) = re.findall(r'`python -c "(.*)"`', text(".github/ISSUE_TEMPLATE/bug.yml"))
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=100,
    )
    assert f"'tf_lungreg': '{tf_lungreg.__version__}'" in done.stdout


def test_the_development_container_installs_what_the_tests_need():
    container = json.loads(text(".devcontainer/devcontainer.json"))
    assert ".[dev]" in container["postCreateCommand"]
    assert container["image"].endswith(":3.11")


def test_the_container_holds_no_secrets_and_runs_as_a_user():
    lines = text("Dockerfile").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")
    assert not re.search("(?i)password|token|secret", text("Dockerfile"))


def test_the_container_gets_all_that_the_package_is_built_from():
    ignored = text(".dockerignore").splitlines()
    assert "*" in ignored  # nothing that is not named comes in: no data, no runs, no .git
    kept = {line[1:] for line in ignored if line.startswith("!")}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = {setup["metadata"]["license_files"], setup["metadata"]["long_description"].split()[1]}
    models = set(re.findall(r"= (saved_models/\w+)$", text("setup.cfg"), re.MULTILINE))
    assert models
    assert {"setup.cfg", "setup.py", "pyproject.toml", "tf_lungreg", *named, *models} <= kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_containers_tensorflow_is_the_one_that_is_required():
    (found,) = re.findall(r"tensorflow/tensorflow:(\d+\.\d+)\.\d+-gpu", text("Dockerfile"))
    assert f"tensorflow =={found}.*" in text("setup.cfg")


def test_the_build_holds_the_templates_and_the_pretrained_model(tmp_path):
    words = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, timeout=100)
    built = tmp_path / "tf_lungreg"
    folders = {
        ROOT / "tf_lungreg": built,
        ROOT / "saved_models/lungreg_pretrained": built / "pretrained",
    }
    data = {
        built_folder / path.relative_to(folder): path
        for folder, built_folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert built / "pretrained/1/variables/variables.index" in data
    assert built / "reporting/templates/page.html.j2" in data
    for copy, path in data.items():
        assert copy.read_bytes() == path.read_bytes()
