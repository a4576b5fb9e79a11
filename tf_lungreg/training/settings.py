"""The settings of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tf_lungreg.errors import InputError
from tf_lungreg.setting import check_settings, setting, settings_in

if TYPE_CHECKING:  # no TensorFlow and no image formats for --help, here and in the functions below
    from tf_lungreg.images.preparation import Window

_Value = TypeVar("_Value")

PAIRS = ("auto", "all", "patient")

_PRESET_OF_NONE = "general"  # where neither a preset nor a model to start from is given

# What describes the network itself, with the values for one that starts from no other.
_OF_THE_NETWORK = {
    **{"preset": _PRESET_OF_NONE, "affine": True, "deformable": True, "anchor": "ends"},
    **dict.fromkeys(("spacing", "shape", "margin", "voxels")),
}

_START = "that of the starting model"
_PRESET = "the preset's"


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides what a training computes.

    Attributes:
        cohort: folder of the cohort.
        preset: size of the network, with the grid and the weights of the loss that belong to it:
            general, or like the paper's network: paper, fast, small.
        affine: include the affine branch of the network.
        deformable: include the deformation branch of the network.
        anchor: what the integration keeps in place: ends, corner or center.
        similarity: image term of the loss: mse, ncc, mi, dwm, or a sum such as mse+0.5*ncc.
        alpha: weight of the affine term.
        beta: weight of the spatial gradients' term.
        gamma: weight of the folding term.
        learning_rate: learning rate of Adam.
        epochs: maximum number of epochs.
        steps: batches per epoch.
        batch: pairs per batch, over all devices.
        lr_patience: epochs without improvement before the learning rate is divided by 10.
        stop_patience: epochs without improvement before training stops.
        spacing: voxel size of the network's grid in mm along D, H, W.
        shape: size of the network's grid in voxels along D, H, W.
        margin: voxels by which the grid of a registration extends beyond the fixed image.
        voxels: maximum number of voxels in the grid of a registration.
        pairs: pairs to train on: all ordered pairs of images, both images of one patient, or auto,
            which is all unless there are fewer than four patients.
        window: intensities that the network sees as 0 and 1: auto, paper or LOW HIGH.
        seed: random seed of the split, the weights and the order of pairs.
        init_from: exported model whose weights to start with, or none for random weights.
        mixed_precision: run the convolutions in bfloat16, on processors that support it; weights,
            outputs and the exported model stay float32.
        recompute: save memory by gradient checkpointing, at the cost of time (presets paper and
            small).

    Raises:
        InputError: a value that cannot be used; the message names it.
    """

    cohort: str
    preset: str | None = setting(None, group="network", shown=f"{_START}, else general")
    affine: bool | None = setting(None, group="network", shown=f"{_START}, else yes")
    deformable: bool | None = setting(None, group="network", shown=f"{_START}, else yes")
    anchor: str | None = setting(None, group="network", shown=f"{_START}, else ends")
    similarity: str = setting("mse", group="loss")
    alpha: float | None = setting(None, group="loss", shown=_PRESET, least=0)
    beta: float | None = setting(None, group="loss", shown=_PRESET, least=0)
    gamma: float | None = setting(None, group="loss", shown=_PRESET, least=0)
    learning_rate: float | None = setting(None, group="training", shown=_PRESET, above=0)
    epochs: int | None = setting(None, group="training", shown=_PRESET, least=1)
    steps: int | None = setting(None, group="training", shown=_PRESET, least=1)
    batch: int | None = setting(None, group="training", shown=_PRESET, least=1)
    lr_patience: int | None = setting(None, group="training", shown=_PRESET, least=1)
    stop_patience: int | None = setting(None, group="training", shown=_PRESET, least=1)
    spacing: tuple[float, float, float] | None = setting(
        None, group="data", shown=f"{_START}, else {_PRESET}", above=0
    )
    shape: tuple[int, int, int] | None = setting(
        None, group="data", shown=f"what the images need, at most {_PRESET}", least=8
    )
    margin: int | None = setting(None, group="data", shown=f"{_START}, else {_PRESET}", least=0)
    voxels: int | None = setting(None, group="data", shown=f"{_START}, else {_PRESET}", least=1)
    pairs: str = setting("auto", group="data", choices=PAIRS)
    window: Window = setting("auto", group="data")
    seed: int = setting(0, group="training", least=0, most=2**32 - 1)
    init_from: str | None = setting(
        None, group="network", shown="the pretrained model of the preset, else none"
    )
    mixed_precision: bool = setting(False, group="training")
    recompute: bool = setting(False, group="training")

    def __post_init__(self):
        """Checks each value by itself; :meth:`resolved` checks what depends on the others."""
        check_settings(self)

    def resolved(self) -> TrainingSettings:
        """The same, checked, with a value for everything that was not given.

        What describes the network is that of the model to start from; the rest, the preset's.

        Raises:
            MissingFileError: there is no such model to start from.
            InputError: a value that cannot be used; the message names it.
        """
        from tf_lungreg.export import read_card
        from tf_lungreg.models import find_preset

        start = self._start()
        of_start = {} if start is None else read_card(start)["settings"]
        network = {name: of_start.get(name, value) for name, value in _OF_THE_NETWORK.items()}
        config = self._filled(network)
        own = settings_in(type(self))
        preset = vars(find_preset(str(config.preset)))
        config = config._filled({name: preset[name] for name in own if name in preset})
        config = dataclasses.replace(config, init_from=start)
        config._check()
        return config

    def _start(self) -> str | None:
        """The model whose weights training begins with, if any."""
        from tf_lungreg.inference.default_model import pretrained_model

        start = self.init_from
        if start is None:
            start = pretrained_model(self.preset or _PRESET_OF_NONE)
        return None if start in (None, "none") else str(start)

    def _filled(self, values: Mapping[str, Any]) -> TrainingSettings:
        """The same with values for what is not given."""
        missing = {name: v for name, v in values.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def _check(self) -> None:
        from tf_lungreg.losses import find_similarity
        from tf_lungreg.models.presets import least_size
        from tf_lungreg.models.registration import check_recompute
        from tf_lungreg.ops import check_anchor

        find_similarity(self.similarity)
        check_anchor(filled(self.anchor))
        least = least_size(filled(self.preset))
        if min(filled(self.shape)) < least:
            raise InputError(
                f"shape: at least {least} voxels along each axis are needed by the preset "
                f"{self.preset}, not {self.shape}."
            )
        if not (self.affine or self.deformable):
            raise InputError("--no-affine and --no-deformable leave no transform to learn.")
        if self.recompute:
            check_recompute(filled(self.preset))


def filled(value: _Value | None) -> _Value:
    """A value of resolved settings, which :meth:`TrainingSettings.resolved` filled in.

    Args:
        value: of a setting that may be left to the preset or the model to start from.
    """
    assert value is not None  # the settings are resolved
    return value
