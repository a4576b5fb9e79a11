"""Training on randomised synthetic examples alone, for a model that registers what it never saw.

The network's two parts are trained one after the other: the comparison of features on whole pairs,
and the finer levels, which correct its displacement, on crops. Both can be interrupted and resumed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.export import export_model, read_weights
from tf_lungreg.models import build_registration_model, find_preset
from tf_lungreg.models.keras_state import keras_defaults
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.pretraining.coarse_level import train_coarse_level
from tf_lungreg.pretraining.fine_levels import correction_model, train_fine_levels
from tf_lungreg.pretraining.loop import Course
from tf_lungreg.provenance import software

PRESET, COARSE, ANCHOR = "fine", "general", "ends"

_TAIL = 0.25  # share of a part's steps over which the learning rate falls


@dataclass(frozen=True)
class PretrainingConfig:
    """What decides the result.

    Attributes:
        coarse_steps: pairs that the comparison of features is trained on; 0 to leave it as it is.
        fine_steps: crops that the finer levels are trained on; 0 to leave them as they are.
        learning_rate: of Adam.
        bodies: how many synthetic bodies the examples are views of.
        seed: of weights and examples.
        init_from: exported model whose weights training begins with, as far as it has them.
    """

    coarse_steps: int = 6000
    fine_steps: int = 12000
    learning_rate: float = 1e-3
    bodies: int = 40
    seed: int = 0
    init_from: str | None = None

    def check(self) -> None:
        """Raises an InputError that names a value which cannot be used."""
        for name, least in (("coarse_steps", 0), ("fine_steps", 0), ("bodies", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: at least {least} is needed, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(f"learning_rate: more than 0 is needed, not {self.learning_rate}.")
        if not 0 <= self.seed < 2**16:
            raise InputError(f"seed: 0 to 65535 is needed, not {self.seed}.")


@keras_defaults()
def pretrain(config: PretrainingConfig, models: Path, cache: Path, folder: Path) -> Path:
    """Trains the preset ``fine`` and exports the next version.

    Args:
        config: checked.
        models: folder of the exported model.
        cache: folder of the rendered bodies.
        folder: of the training: states from which the same call resumes, and logs.

    Returns:
        The version's folder.

    Raises:
        InputError, MissingFileError: the model to start from, or a state, cannot be used.
    """
    tf.keras.utils.set_random_seed(config.seed)
    coarse, fine = build_registration_model(COARSE, anchor=ANCHOR), correction_model()
    if config.init_from:
        stored = read_weights(config.init_from)
        for part in (coarse, fine):
            known = {name: v.numpy() for name, v in named_weights(part).items()}
            known.update({name: stored[name] for name in known if name in stored})
            assign_weights(part, known, config.init_from)
    seen = (config.bodies, cache)
    if config.coarse_steps:
        course = _course(config, config.coarse_steps)
        train_coarse_level(coarse, course, ANCHOR, *seen, folder / "coarse")
    if config.fine_steps:
        train_fine_levels(fine, _course(config, config.fine_steps), *seen, folder / "fine")
    model = build_registration_model(PRESET, anchor=ANCHOR)
    both = {**named_weights(coarse), **named_weights(fine)}
    assign_weights(model, {name: v.numpy() for name, v in both.items()}, str(folder))
    return export_model(model, models, model_card(config, folder))


def _course(config: PretrainingConfig, steps: int) -> Course:
    return Course(steps, config.learning_rate, max(1, round(_TAIL * steps)), config.seed)


def model_card(config: PretrainingConfig, folder: Path) -> dict[str, Any]:
    """What a user of the model must know.

    Args:
        config: of the training.
        folder: of the training.
    """
    preset = find_preset(PRESET)
    errors = {}
    for part in ("coarse", "fine"):
        log = folder / part / "log.jsonl"
        if log.exists():
            last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
            errors[f"training_{part}"] = {n: last[n] for n in last if n != "seconds"}
    return {
        "settings": {
            "preset": PRESET,
            "affine": True,
            "deformable": True,
            "anchor": ANCHOR,
            "spacing": preset.spacing,
            "shape": preset.shape,
            "margin": preset.margin,
            "voxels": preset.voxels,
            "window": "auto",
            **dataclasses.asdict(config),
        },
        "training_data": "randomised synthetic pairs of phantom bodies; no patient's image",
        "metrics": errors,
        "software": software(),
    }
