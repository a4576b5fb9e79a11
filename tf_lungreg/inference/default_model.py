"""Selects the default model."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from tf_lungreg.errors import InputError
from tf_lungreg.export import read_card
from tf_lungreg.export.reading import list_versions

VARIABLE = "LUNGREG_MODEL"

_MODELS = Path("saved_models")
_PRETRAINED = "lungreg_pretrained"


def default_model() -> Path:
    """The model named by ``$LUNGREG_MODEL``, or the first of those in the usual places.

    These are ``saved_models/lungreg_pretrained`` and ``saved_models/lungreg`` in the working
    directory, then the pretrained model that came with the package.

    Raises:
        InputError: there is none.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    for folder in (_MODELS / _PRETRAINED, _MODELS / "lungreg", pretrained_model()):
        if folder is not None and folder.is_dir():
            return folder
    raise InputError(
        f"no model is in {_MODELS}; train one (tf-lungreg train), or name one (--model or "
        f"${VARIABLE})."
    )


def pretrained_model(preset: str | None = None) -> Path | None:
    """The pretrained model that came with the package, in a checkout or installed; or None.

    Args:
        preset: only a version of that preset will do.

    Returns:
        The model's folder; with a preset, the folder of its newest version of that preset.
    """
    package = Path(str(resources.files("tf_lungreg")))
    installed = package / "pretrained"  # package data of wheels: see package_dir in setup.cfg
    checkout = package.parent / _MODELS / _PRETRAINED  # where the tree keeps it
    folder = next((folder for folder in (installed, checkout) if folder.is_dir()), None)
    if folder is None or preset is None:
        return folder
    versions = (folder / str(number) for number in sorted(list_versions(folder), reverse=True))
    of_preset = (v for v in versions if read_card(v)["settings"].get("preset") == preset)
    return next(of_preset, None)
