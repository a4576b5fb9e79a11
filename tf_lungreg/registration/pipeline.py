"""Two images to a result: read, run the model, resample, measure."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import SimpleITK as sitk

from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel, model_checksum, shared_model
from tf_lungreg.images.image import AnyImage, Image
from tf_lungreg.images.preparation import Window
from tf_lungreg.inference.default_model import default_model
from tf_lungreg.inference.network_pass import NO_MODEL, identity_model, run_network
from tf_lungreg.inference.slab_model import check_memory, in_slabs
from tf_lungreg.provenance import software
from tf_lungreg.quality import measures
from tf_lungreg.quality.verdict import judge
from tf_lungreg.refinement.optimisation import refine as refine_pass
from tf_lungreg.registration.inputs import Pair, PairInputs
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.transforms.transform import Transform

_LONGEST = 100_000  # steps of refinement: hours


def register(
    fixed: AnyImage,
    moving: AnyImage,
    model: str | os.PathLike | ExportedModel | None = None,
    *,
    fixed_mask: AnyImage | None = None,
    moving_mask: AnyImage | None = None,
    mask: str | None = None,
    landmarks: tuple[str | os.PathLike, str | os.PathLike] = (None, None),
    coordinates: str = "ras",
    window: Window = "auto",
    init: str = "center",
    refine: int = 0,
    memory: float | None = None,
    nifti_frame: str = "sform",
) -> RegistrationResult:
    """Registers two images of any size, spacing and orientation in their own space.

    Args:
        fixed: the image on whose grid the result lies (inhale, in the paper): a file, a folder with
            one DICOM series, or an image of this package, nibabel or SimpleITK.
        moving: the image that is deformed, given in the same ways.
        model: an exported model or its folder; by default that of
            :func:`~tf_lungreg.inference.default_model.default_model`. ``"none"`` with
            ``refine``: no network, refined from the identity. Or what is called in the same way
            and has ``card`` and ``path``: a :class:`~tf_lungreg.serving.client.RemoteModel`.
        fixed_mask: the fixed image's mask, on its grid: for measuring, it does not steer.
        moving_mask: the moving image's mask; together they give Dice.
        mask: ``"auto"`` makes the lung masks that are not given, for CT.
        landmarks: tables of the fixed and of the moving image, for the landmark error, or
            points that 3D Slicer saved.
        coordinates: ``"ras"`` or ``"lps"``, of the landmark tables. Slicer's files state their own.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        init: ``"center"`` lays the volumes' centres upon each other before the network sees
            them, ``"world"`` leaves both at their world positions.
        refine: steps of instance optimisation after the network, see
            :func:`tf_lungreg.refinement.optimisation.refine`; 0 for none.
        memory: GB for the network's maps: it runs layer by layer in slabs, see
            :func:`tf_lungreg.models.slabs.run_in_slabs`. By default it runs as a whole.
        nifti_frame: which place counts of NIfTI files that state two, see
            :meth:`tf_lungreg.images.image.Image.read`.

    Raises:
        MissingFileError, InputError: a file or an argument cannot be used.
    """
    if mask not in (None, "auto"):
        raise InputError(f"mask: 'auto' or nothing is needed, not {mask!r}.")
    check_refine(refine)
    check_memory(memory)
    inputs = PairInputs(fixed, moving, fixed_mask, moving_mask, *landmarks)
    pair = inputs.open(coordinates, nifti_frame)
    clock = _Clock()
    with clock.stage("model"):
        if model is None or isinstance(model, (str, os.PathLike)):
            model = _find_model(model, refine)
        if memory is not None:
            model = in_slabs(model, memory)
    with clock.stage("reading"):
        images = pair.fixed, pair.moving
        for image in images:
            image.data  # noqa: B018  read here, so that the clock shows what it takes
        masks = pair.read_masks(mask == "auto")
    with clock.stage("network"):
        seen = run_network(model, *images, window, init, whole=memory is None)
    refinement = None
    if refine:
        with clock.stage("refinement"):
            seen, refinement = refine_pass(seen, *images, refine, window)
        if not refinement.kept:
            warnings.warn(
                "refine: the refined transform matches the images no better; the network's result "
                "is kept.",
                stacklevel=2,
            )
    with clock.stage("resampling"):
        field = seen.transform.on(images[0].frame)
        warped = field.warp(images[1])
        jacobian = Image(field.jacobian(), field.frame, images[0].name)
    with clock.stage("measuring"):
        metrics = _measure(seen, field, pair, jacobian, masks)
    record = {
        "settings": {
            "window": window if isinstance(window, str) else list(window),
            "init": init,
            "mask": mask,
            "coordinates": coordinates,
            "refine": refine,
            "memory": memory,
            "nifti_frame": nifti_frame,
            "initial_translation_ras": seen.transform.translation.tolist(),
            "network_shape": list(seen.fixed.shape),
            "network_spacing": seen.spacing,
        },
        "refinement": None if refinement is None else asdict(refinement),
        "model": str(model.path),
        "model_sha256": model_checksum(model.card, getattr(model, "weights", {})),
        "inputs": inputs.record(),
        "seconds": clock.seconds,
        "software": {**software(), "SimpleITK": sitk.Version.VersionString()},
    }
    return RegistrationResult(
        fixed=images[0],
        moving=images[1],
        warped=warped,
        displacement=field,
        parts=seen.transform,
        jacobian=jacobian,
        metrics={**judge(metrics), **metrics, **record},
        lung=masks[0],
    )


def check_refine(refine: int) -> None:
    """Raises an InputError if this is no number of steps."""
    if isinstance(refine, bool) or not isinstance(refine, int) or not 0 <= refine <= _LONGEST:
        raise InputError(
            f"refine: a whole number of steps, 0 or more, is needed, not {refine!r}; "
            f"{_LONGEST} is the most."
        )


def _find_model(model: str | os.PathLike | None, refine: int) -> ExportedModel:
    if model is None:
        return shared_model(default_model())
    if os.fspath(model) == NO_MODEL:
        if not refine:
            raise InputError("model: 'none' goes with --refine N, which there is none of.")
        return identity_model()
    return shared_model(model)


def _measure(seen, field, pair: Pair, jacobian, masks) -> dict:
    """All measures: in the world, after the initial translation ("before"), and "after"."""
    lung = None if masks[0] is None else masks[0].data
    stages = {
        "world": Transform.translation(np.zeros(3)),
        "before": Transform.translation(seen.transform.translation),
        "after": field,
    }
    metrics = {
        **measures.measure_similarity(seen.fixed, seen.moving, seen.warped),
        **measures.measure_mirroring(seen.fixed, seen.moving),
        "overlap": measures.measure_overlap(field, pair.moving),
        **measures.measure_deformation(seen.spatial_gradients, jacobian.data, lung),
    }
    if None not in masks:
        metrics.update(measures.measure_dice(*masks, stages))
    if pair.landmarks is not None:
        metrics.update(measures.measure_landmarks(*pair.landmarks, stages))
        metrics["landmarks_outside"] = pair.landmarks_outside()
    return metrics


class _Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
