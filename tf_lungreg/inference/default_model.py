"""Which model registers when none is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tf_lungreg
from tf_lungreg.errors import InputError

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


def pretrained_model() -> Path | None:
    """The pretrained model that came with the package, in a checkout or installed; or None."""
    checkout = Path(tf_lungreg.__file__).parents[1]
    installed = Path(sys.prefix) / "share" / "tf_lungreg"
    folders = [place / _MODELS / _PRETRAINED for place in (checkout, installed)]
    return next((folder for folder in folders if folder.is_dir()), None)
