"""Which model is taken when none is named."""

from importlib import resources
from pathlib import Path

import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.inference.default_model import default_model


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
