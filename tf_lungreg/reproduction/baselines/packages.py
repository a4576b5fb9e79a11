"""The packages that do part of the work, imported only when a method needs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from tf_lungreg.errors import InputError


def require(module: str) -> ModuleType:
    """Imports a module that comes with the extra ``baselines``.

    Raises:
        InputError: it cannot be imported; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{module}: cannot be imported ({error}), and this method needs it: "
            'pip install "tf_lungreg[baselines]".'
        ) from error
