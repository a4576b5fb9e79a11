"""The directions of imports that docs/architecture.md states, as .importlinter has them."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def lint(folder):
    pytest.importorskip("importlinter", reason="import-linter is in the extra dev")
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    words = [sys.executable, "-c", command, "--no-cache", "--config", str(ROOT / ".importlinter")]
    return subprocess.run(words, cwd=folder, capture_output=True, encoding="utf-8", timeout=100)


def test_the_directions_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_a_turned_direction_is_found_inside_a_function_too(tmp_path):
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    layers = config["importlinter:contract:direction"]["layers"]
    for name in re.findall(r"\w+", layers):
        package = tmp_path / "tf_lungreg" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    for room, name in (("cohorts", "cache"), ("cohorts", "cohort"), ("reproduction", "baselines")):
        (tmp_path / "tf_lungreg" / room / f"{name}.py").touch()
    (tmp_path / "tf_lungreg" / "layers" / "normalization.py").write_text(
        "import tensorflow_addons\n", encoding="utf-8"
    )
    (tmp_path / "tf_lungreg" / "__init__.py").touch()
    assert lint(tmp_path).returncode == 0
    (tmp_path / "tf_lungreg" / "ops" / "__init__.py").write_text(
        "def late():\n    from tf_lungreg.models import anything\n", encoding="utf-8"
    )
    done = lint(tmp_path)
    assert done.returncode == 1
    assert re.search(r"tf_lungreg\.ops -> tf_lungreg\.models", done.stdout), done.stdout


def test_every_part_of_the_package_has_its_place_in_the_architecture():
    """The rooms of the contract are those of docs/architecture.md, in the same order."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    layers = config["importlinter:contract:direction"]["layers"].split("\n")
    contract = [sorted(re.findall(r"\w+", line)) for line in layers if line.strip()]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    rooms = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(rooms) == sorted(sum(contract, [])[1:])  # less __main__
    level = {name: number for number, names in enumerate(contract) for name in names}
    levels = [level[room] for room in rooms]
    assert levels == sorted(levels)
