"""Which model registers when none is named."""

from __future__ import annotations

import os
from pathlib import Path

import tf_lungreg
from tf_lungreg.errors import InputError

VARIABLE = "LUNGREG_MODEL"


def default_model() -> Path:
    """The model named by ``$LUNGREG_MODEL``, or the first of those in the usual places.

    These are ``saved_models/lungreg_pretrained`` and ``saved_models/lungreg`` in the working
    directory, then the pretrained model inside the installed package.

    Raises:
        InputError: there is none.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    models = Path("saved_models")
    installed = Path(tf_lungreg.__file__).parent / "saved_models"
    for folder in (
        models / "lungreg_pretrained",
        models / "lungreg",
        installed / "lungreg_pretrained",
    ):
        if folder.is_dir():
            return folder
    raise InputError(
        f"no model is in {models}; train one (tf-lungreg train), or name one (--model or "
        f"${VARIABLE})."
    )
