"""The settings of a training: defaults, checks, and their record beside the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lungreg.errors import InputError
from tf_lungreg.export import read_card
from tf_lungreg.inference.default_model import pretrained_model
from tf_lungreg.losses import find_similarity
from tf_lungreg.models import find_preset
from tf_lungreg.models.registration import check_recompute
from tf_lungreg.ops import check_anchor

PAIRS = ("auto", "all", "patient")

# What describes the network itself, with the values for one that starts from no other.
_OF_THE_NETWORK = {
    **{"preset": "general", "affine": True, "deformable": True, "anchor": "ends"},
    **dict.fromkeys(("spacing", "shape", "margin", "voxels")),
}

# What a preset decides where the user does not.
_OF_PRESET = (
    *("alpha", "beta", "gamma", "learning_rate"),
    *("epochs", "steps", "batch", "lr_patience", "stop_patience"),
    *("spacing", "shape", "margin", "voxels"),
)


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides what a training computes.

    Attributes:
        cohort: the cohort's folder.
        preset: size of the network, with the grid and the weights of the loss that go with it; by
            default that of the model to start from, or ``"general"``.
        affine: whether the network has its affine branch; by default as the model to start from,
            or yes.
        deformable: whether it has its deformation branch; the same default.
        anchor: see :func:`tf_lungreg.ops.integrate`; by default as the model to start from, or
            ``"ends"``.
        similarity: image term of the loss, see :func:`tf_lungreg.losses.find_similarity`.
        alpha: weight of the affine term.
        beta: weight of the spatial gradients' term.
        gamma: weight of the folding term.
        learning_rate: of Adam.
        epochs: at most.
        steps: batches an epoch.
        batch: pairs a batch, over all devices.
        lr_patience: epochs without improvement until the learning rate is divided by 10.
        stop_patience: epochs without improvement until training stops.
        spacing: voxel size in mm along D, H, W.
        shape: size in voxels.
        margin: voxels by which a registration's grid reaches beyond the fixed image.
        voxels: of a registration's grid at most; None for no limit.
        pairs: what training draws from: ``"all"`` ordered pairs of images, those of one
            ``"patient"``, or ``"auto"``, all unless there are fewer than four patients.
        window: ``"auto"``, ``"paper"`` or (low, high).
        seed: of the split, the weights and the order of pairs.
        init_from: exported model whose weights training begins with, ``"none"`` for random ones;
            by default the pretrained model of that preset, if there is one.
        mixed_precision: convolutions in bfloat16; weights, what leaves the network and the
            exported model stay float32.
        recompute: gradient checkpointing: maps are computed again in the backward pass.
    """

    cohort: str
    preset: str | None = None
    affine: bool | None = None
    deformable: bool | None = None
    anchor: str | None = None
    similarity: str = "mse"
    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    steps: int | None = None
    batch: int | None = None
    lr_patience: int | None = None
    stop_patience: int | None = None
    spacing: tuple[float, float, float] | None = None
    shape: tuple[int, int, int] | None = None
    margin: int | None = None
    voxels: int | None = None
    pairs: str = "auto"
    window: str | tuple[float, float] = "auto"
    seed: int = 0
    init_from: str | None = None
    mixed_precision: bool = False
    recompute: bool = False

    def resolved(self) -> TrainingSettings:
        """The same, checked, with a value for everything that was not given.

        What describes the network is that of the model to start from; the rest, the preset's.

        Raises:
            MissingFileError: there is no such model to start from.
            InputError: a value that cannot be used; the message names it.
        """
        start = self._start()
        of_start = {} if start is None else read_card(start)["settings"]
        network = {name: of_start.get(name, value) for name, value in _OF_THE_NETWORK.items()}
        config = self._filled(network)
        preset = find_preset(str(config.preset))
        config = config._filled({name: getattr(preset, name) for name in _OF_PRESET})
        config = dataclasses.replace(config, init_from=start)
        config._check()
        return config

    def _start(self) -> str | None:
        """The model whose weights training begins with, if any."""
        start = self.init_from
        if start is None:
            start = pretrained_model(self.preset or _OF_THE_NETWORK["preset"])
        return None if start in (None, "none") else str(start)

    def _filled(self, values: Mapping[str, Any]) -> TrainingSettings:
        """The same with values for what is not given."""
        missing = {name: v for name, v in values.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def _check(self):
        find_similarity(self.similarity)
        check_anchor(self.anchor)
        if self.pairs not in PAIRS:
            raise InputError(f"pairs: one of {', '.join(PAIRS)} is needed, not {self.pairs!r}.")
        if not (self.affine or self.deformable):
            raise InputError("--no-affine and --no-deformable leave no transform to learn.")
        if self.recompute:
            check_recompute(self.preset)
        for name in ("epochs", "steps", "batch", "lr_patience", "stop_patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: at least 1 is needed, not {getattr(self, name)}.")
        for name in ("alpha", "beta", "gamma"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name}: 0 or more is needed, not {getattr(self, name)}.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed: 0 to 2**32 - 1 is needed, not {self.seed}.")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(f"learning_rate: more than 0 is needed, not {self.learning_rate}.")
        if len(self.shape) != 3 or min(self.shape) < 8:
            raise InputError(f"shape: three sizes of at least 8 are needed, not {self.shape}.")
        if len(self.spacing) != 3 or not all(0 < s < np.inf for s in self.spacing):
            raise InputError(f"spacing: three sizes in mm are needed, not {self.spacing}.")
