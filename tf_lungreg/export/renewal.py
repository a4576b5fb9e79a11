"""An exported model once more, with the graph that this version of the package makes."""

from __future__ import annotations

import os
from pathlib import Path

from tf_lungreg.export.reading import find_model, read_card, read_weights
from tf_lungreg.export.rebuilding import rebuild_model
from tf_lungreg.export.writing import export_model


def renew_model(path: str | os.PathLike, base: str | os.PathLike) -> Path:
    """Exports a model's weights again: the same function, whatever made its graph.

    Args:
        path: an exported model.
        base: the model's folder, in which it takes the next version; it may be the same.

    Returns:
        The version's folder, with the same card.

    Raises:
        MissingFileError, InputError: there is no such model, or its weights do not fit its preset.
    """
    version = find_model(path)
    card = read_card(version)
    model = rebuild_model(card, read_weights(version), str(version))
    return export_model(model, base, card)
