"""Which model is taken when none is named."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.inference.default_model import default_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGREG_MODEL", raising=False)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path / "site" / package)


def test_none(tmp_path):
    with pytest.raises(InputError, match=r"train one.*--model.*\$LUNGREG_MODEL"):
        default_model()


def test_the_order(tmp_path, monkeypatch):
    for name in (
        "site/saved_models/lungreg_pretrained",
        "site/tf_lungreg/pretrained",
        "saved_models/lungreg",
        "saved_models/lungreg_pretrained",
    ):
        (tmp_path / name).mkdir(parents=True)
        assert default_model().resolve() == tmp_path / name
    monkeypatch.setenv("LUNGREG_MODEL", "/elsewhere/model")
    assert default_model() == Path("/elsewhere/model")


def test_the_build_includes_the_pretrained_model(tmp_path):
    words = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, timeout=100)
    source, built = ROOT / "saved_models/lungreg_pretrained", tmp_path / "tf_lungreg/pretrained"
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    assert Path("1/variables/variables.index") in files
    for file in files:
        assert (built / file).read_bytes() == (source / file).read_bytes()
