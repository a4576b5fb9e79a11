"""What a folder of results was made from, compared with what is asked for now."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tf_lungreg.export import find_model, model_checksum, read_card, read_weights
from tf_lungreg.files import record_changes
from tf_lungreg.inference.network_pass import RegistrationModel
from tf_lungreg.registration.inputs import PairInputs
from tf_lungreg.registration.metrics_file import METRICS, find_metrics
from tf_lungreg.registration.settings import RegistrationSettings


def model_record(model: str | os.PathLike[str] | RegistrationModel) -> dict[str, Any]:
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


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change a result, as JSON has them; those not given have their defaults.

    Args:
        settings: name → value of :class:`~tf_lungreg.registration.settings.RegistrationSettings`.
    """
    values = {**asdict(RegistrationSettings()), **settings}
    del values["memory"]
    return json.loads(json.dumps(values))


def find_difference(
    folder: Path,
    inputs: PairInputs,
    model: Mapping[str, Any],
    settings: RegistrationSettings,
    itk_transform: bool,
) -> str | None:
    """The first difference between a folder's results and what is asked for.

    Args:
        folder: of the results.
        inputs: of the pair.
        model: of :func:`model_record`.
        settings: of the registration; ``memory`` changes no result.
        itk_transform: whether ``transform.h5`` is asked for.

    Returns:
        A text such as ``"refine 80, not 10"``; None if there is none.

    Raises:
        MissingFileError, InputError: a file of the pair does not exist or cannot be read.
    """
    before = find_metrics(folder)
    if before is None:
        return f"a {METRICS} that is no record of a registration"
    stored, asked = (decisive(each) for each in (before["settings"], asdict(settings)))
    changes = [
        *record_changes(stored, asked),
        *_model_changes(before["provenance"], model),
        *_input_changes(before["provenance"]["inputs"], inputs),
    ]
    if itk_transform and not (folder / "transform.h5").exists():
        changes.append("no transform.h5")
    return next(iter(changes), None)


def _model_changes(before: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    """By the weights where both are known, because a model may be moved or trained again."""
    known = before.get("model_sha256") and model["model_sha256"]
    key = "model_sha256" if known else "model"
    return [] if before[key] == model[key] else [f"another model ({before['model']})"]


def _input_changes(before: Mapping[str, Any], inputs: PairInputs) -> list[str]:
    now = inputs.record()
    stored = {name: record["sha256"] for name, record in before.items()}
    names = dict.fromkeys([*now, *stored])
    wanted = {name: record["sha256"] for name, record in now.items()}
    return [
        f"another {name} ({before[name]['path']})" if name in stored else f"no {name}"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]
