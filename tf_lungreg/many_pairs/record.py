"""What a folder of results was made from, compared with what is asked for now."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tf_lungreg.export import find_model, model_checksum, read_card, read_weights
from tf_lungreg.files import record_changes
from tf_lungreg.registration.inputs import PairInputs

METRICS = "metrics.json"

# The settings that change a result, with their defaults; ``memory`` changes none.
_DECISIVE = {
    **{"window": "auto", "init": "center", "mask": None, "refine": 0},
    **{"coordinates": "ras", "nifti_frame": "sform"},
}


def read_metrics(folder: Path) -> dict | None:
    """The record of a registration; None if the folder holds none.

    Args:
        folder: of the results.
    """
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        metrics["quality"], metrics["settings"], metrics["model"], metrics["inputs"]
        return metrics
    except (OSError, ValueError, KeyError, TypeError):
        return None


def model_record(model) -> dict:
    """What a result records of the model: its path, and the checksum where it has one.

    Args:
        model: folder of an exported model, or a loaded or remote model.

    Raises:
        MissingFileError, InputError: there is no such model.
    """
    if isinstance(model, (str, os.PathLike)):
        path = find_model(model)
        card, weights = read_card(path), read_weights(path)
    else:
        path, card, weights = model.path, model.card, getattr(model, "weights", {})
    return {"model": str(path), "model_sha256": model_checksum(card, weights)}


def decisive(settings: Mapping) -> dict:
    """The settings that change a result, those that are not given with their defaults.

    Args:
        settings: of :func:`~tf_lungreg.registration.pipeline.register`.
    """
    return {name: settings.get(name, default) for name, default in _DECISIVE.items()}


def find_difference(
    folder: Path, files: PairInputs, model: Mapping, settings: Mapping, itk_transform: bool
) -> str | None:
    """What the results in a folder were made of that is not what is asked for, if anything.

    Args:
        folder: of the results.
        files: of the pair.
        model: of :func:`model_record`.
        settings: of :func:`~tf_lungreg.registration.pipeline.register`; the rest have their
            defaults.
        itk_transform: whether ``transform.h5`` is asked for.

    Returns:
        A text such as ``"refine 80, not 10"``.

    Raises:
        MissingFileError, InputError: a file of the pair does not exist or cannot be read.
    """
    before = read_metrics(folder)
    if before is None:
        return f"a {METRICS} that is no record of a registration"
    changes = [
        *record_changes({**_DECISIVE, **before["settings"]}, decisive(settings)),
        *_model_changes(before, model),
        *_input_changes(before["inputs"], files),
    ]
    if itk_transform and not (folder / "transform.h5").exists():
        changes.append("no transform.h5")
    return next(iter(changes), None)


def _model_changes(before: Mapping, model: Mapping) -> list[str]:
    """By the weights where both are known, because a model may be moved or trained again."""
    known = before.get("model_sha256") and model["model_sha256"]
    key = "model_sha256" if known else "model"
    return [] if before[key] == model[key] else [f"another model ({before['model']})"]


def _input_changes(before: Mapping, files: PairInputs) -> list[str]:
    now = files.record()
    stored = {name: record["sha256"] for name, record in before.items()}
    names = dict.fromkeys([*now, *stored])
    wanted = {name: record["sha256"] for name, record in now.items()}
    return [
        f"another {name} ({before[name]['path']})" if name in stored else f"no {name}"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]
