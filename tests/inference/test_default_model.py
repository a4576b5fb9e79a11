"""Which model is taken when none is named."""

from pathlib import Path

import pytest

import tf_lungreg
from tf_lungreg.errors import InputError
from tf_lungreg.inference.default_model import default_model


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGREG_MODEL", raising=False)
    monkeypatch.setattr(tf_lungreg, "__file__", str(tmp_path / "checkout/tf_lungreg/__init__.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))


def test_none(tmp_path):
    with pytest.raises(InputError, match=r"train one.*--model.*\$LUNGREG_MODEL"):
        default_model()


def test_the_order(tmp_path, monkeypatch):
    for name in (
        "prefix/share/tf_lungreg/saved_models/lungreg_pretrained",
        "checkout/saved_models/lungreg_pretrained",
        "saved_models/lungreg",
        "saved_models/lungreg_pretrained",
    ):
        (tmp_path / name).mkdir(parents=True)
        assert default_model().resolve() == tmp_path / name
    monkeypatch.setenv("LUNGREG_MODEL", "/elsewhere/model")
    assert default_model() == Path("/elsewhere/model")
