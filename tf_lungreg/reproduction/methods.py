"""The rows of the tables: each a way to register two images in the world."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg.environment import available_cores
from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel, load_model, model_checksum
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import Window, to_network
from tf_lungreg.inference.network_pass import run_network
from tf_lungreg.models import find_preset
from tf_lungreg.refinement.optimisation import Steps
from tf_lungreg.refinement.optimisation import refine as refine_pass
from tf_lungreg.reproduction.baselines import BASELINES, find_baseline
from tf_lungreg.transforms.composed import composed_transform
from tf_lungreg.transforms.transform import Transform

SLOW = tuple(name for name in BASELINES if name != "unregistered")
MODEL_ROWS = ("linear-only", "proposed-no-affine", "proposed")

Register = Callable[[Image, Image], "tuple[Transform, float]"]


@dataclass(frozen=True, eq=False)
class Method:
    """A row of the tables.

    Attributes:
        name: of the row.
        register: (fixed, moving), both in the axis order of this package, to the displacement in
            the world on the fixed image's own grid, ``warped(p) = moving(p + d(p))``, and the
            seconds of the registration itself, without reading and resampling.
        device: what it runs on, for the tables.
        identity: what decides its results beside the settings of all methods; JSON.
        card: the model's card; None for a baseline.
    """

    name: str
    register: Register
    device: str
    identity: dict[str, Any]
    card: dict[str, Any] | None = None

    @property
    def slow(self) -> bool:
        """Whether it sees a sample of all combinations only, unless all are asked for."""
        return self.name in SLOW or "refine" in self.identity


def make_methods(
    names: Sequence[str],
    models: Mapping[str, str | os.PathLike[str]],
    spacing: Sequence[float] | None = None,
    window: Window = "auto",
    refine: Mapping[str, Steps] | None = None,
) -> list[Method]:
    """The methods of these names, in order, then the models that were not named among them.

    Args:
        names: of :data:`tf_lungreg.reproduction.baselines.BASELINES`, ``MODEL_ROWS`` or ``models``.
        models: row → exported model.
        spacing: voxel size in mm along D, H, W at which the baselines register; by default the
            paper's, but no finer than the fixed image's own. A model has its own.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        refine: row of a model → steps of refinement on each pair, see
            :func:`tf_lungreg.refinement.optimisation.refine`.

    Raises:
        InputError: a name is unknown, appears twice or lacks its model, a model has a baseline's
            name, what is to be refined is no model's row, there is nothing to do, or a baseline's
            package is not installed.
        MissingFileError: a model does not exist.
    """
    names = [*names, *(name for name in models if name not in names)]
    if not names:
        raise InputError("--methods: the name of one method at least is needed.")
    for name in names:
        _check_name(name, names, models)
    refine = refine or {}
    for name, steps in refine.items():
        _check_refined(name, steps, models)
    return [
        _model_method(name, models[name], window, refine.get(name, 0))
        if name in models
        else _baseline_method(name, spacing, window)
        for name in names
    ]


def _check_name(name: str, names: Sequence[str], models: Mapping[str, Any]) -> None:
    if names.count(name) > 1:
        raise InputError(f"--methods: {name!r} is named twice; once is needed.")
    if name in models:
        if name in BASELINES:
            raise InputError(f"--models: {name!r} is a baseline's name; choose another.")
        if not name or name.startswith(".") or any(mark in name for mark in "/\\"):
            raise InputError(f"--models: {name!r} cannot be part of a file's name; choose another.")
    elif name in MODEL_ROWS:
        raise InputError(f"--methods: {name!r} is a model; --models {name}=PATH is needed.")
    elif name not in BASELINES:
        known = ", ".join((*BASELINES, *MODEL_ROWS))
        raise InputError(
            f"--methods: unknown method {name!r}; known are {known}, and the names that are given "
            "with --models NAME=PATH."
        )


def _baseline_method(name: str, spacing: Sequence[float] | None, window: Window) -> Method:
    baseline = find_baseline(name)

    def register(fixed: Image, moving: Image) -> tuple[Transform, float]:
        step = baseline_spacing(fixed.frame) if spacing is None else tuple(spacing)
        frames = network_frame(fixed.frame, moving.frame, step)
        seen = [to_network(v, frame, window) for v, frame in zip((fixed, moving), frames)]
        result = baseline(seen[0], seen[1], step)
        transform = composed_transform(np.eye(3, 4), result.grid, *frames)
        return transform.on(fixed.frame), float(result.seconds)

    return Method(name, register, processor(), {"spacing": spacing and list(spacing)})


def _check_refined(name: str, steps: Steps, models: Mapping[str, Any]) -> None:
    if name not in models:
        raise InputError(f"--refine: {name!r} is no model's row; --models {name}=PATH is needed.")
    if isinstance(steps, int) and steps < 1:
        raise InputError(f"--refine: 1 step or more is needed for {name!r}, not {steps}.")


def _model_method(name: str, path: str | os.PathLike[str], window: Window, steps: Steps) -> Method:
    model = load_model(path)
    timed = _TimedModel(model)

    def register(fixed: Image, moving: Image) -> tuple[Transform, float]:
        seen, seconds = run_network(timed, fixed, moving, window), timed.seconds
        if steps:
            started = time.perf_counter()
            seen, _ = refine_pass(seen, fixed, moving, steps, window)
            seconds += time.perf_counter() - started
        return seen.transform.on(fixed.frame), seconds

    identity: dict[str, Any] = {
        "model": str(model.path),
        "sha256": model_checksum(model.card, model.weights),
    }
    if steps:
        identity["refine"] = steps
    return Method(name, register, _accelerator() or processor(), identity, model.card)


class _TimedModel:
    """A model that knows how long its last pass took.

    The first pass of a shape runs once more before it is timed: it traces the graph.
    """

    def __init__(self, model: ExportedModel):
        self.path, self.card = model.path, model.card
        self.seconds = float("nan")
        self._model = model
        self._seen: set[tuple[int, ...]] = set()

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        shape = tuple(inputs["fixed"].shape)
        if shape not in self._seen:
            self._seen.add(shape)
            self._run(inputs)
        started = time.perf_counter()
        outputs = self._run(inputs)
        self.seconds = time.perf_counter() - started
        return outputs

    def _run(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = self._model(inputs)
        for tensor in outputs.values():
            tensor.numpy()  # waits for a graphics processor
        return outputs


def baseline_spacing(fixed: Frame) -> tuple[float, float, float]:
    """The paper's voxel size in mm along D, H, W, or the image's own where that is larger."""
    d, h, w = np.maximum(find_preset("paper").spacing, fixed.spacing).tolist()
    return d, h, w


def processor() -> str:
    """The processor's name and how many cores there are."""
    return f"CPU ({platform.processor() or platform.machine()}, {available_cores()} cores)"


def _accelerator() -> str | None:
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    details = tf.config.experimental.get_device_details(devices[0])
    return f"GPU ({details.get('device_name', 'unknown')})"
