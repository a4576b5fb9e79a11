"""Two images to a result: read, run the model, resample, measure."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import SimpleITK as sitk

from tf_lungreg.errors import InputError
from tf_lungreg.export import model_checksum, shared_model
from tf_lungreg.images.image import AnyImage, Image
from tf_lungreg.inference.default_model import default_model
from tf_lungreg.inference.network_pass import (
    NO_MODEL,
    RegistrationModel,
    identity_model,
    run_network,
)
from tf_lungreg.inference.slab_model import in_slabs
from tf_lungreg.provenance import software
from tf_lungreg.quality.verdict import judge
from tf_lungreg.refinement.optimisation import Steps
from tf_lungreg.refinement.optimisation import refine as refine_pass
from tf_lungreg.registration.inputs import PairInputs
from tf_lungreg.registration.measuring import measure_pass
from tf_lungreg.registration.provenance import RegistrationProvenance
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import replace_settings


def register(
    fixed: AnyImage,
    moving: AnyImage,
    model: str | os.PathLike[str] | RegistrationModel | None = None,
    *,
    fixed_mask: AnyImage | None = None,
    moving_mask: AnyImage | None = None,
    landmarks: tuple[str | os.PathLike[str] | None, str | os.PathLike[str] | None] = (None, None),
    settings: RegistrationSettings | None = None,
    **changes: Any,
) -> RegistrationResult:
    """Registers two images of any size, spacing and orientation in their own space.

    Args:
        fixed: the image on whose grid the result lies (inhale, in the paper): a file, a folder with
            one DICOM series, or an image of this package, nibabel or SimpleITK.
        moving: the image that is deformed, given in the same ways.
        model: an exported model or its folder, or a model on a server, a
            :class:`~tf_lungreg.serving.client.RemoteModel`. The default is that of
            :func:`~tf_lungreg.inference.default_model.default_model`. ``"none"`` with ``refine``:
            no network, refined from the identity.
        fixed_mask: the fixed image's mask, on its grid: for measuring, it does not steer.
        moving_mask: the moving image's mask; together they give Dice.
        landmarks: tables of the fixed and of the moving image, for the landmark error, or
            points that 3D Slicer saved.
        settings: how it is registered; by default
            :class:`~tf_lungreg.registration.settings.RegistrationSettings` ().
        **changes: single settings by name, such as ``refine=160``, in place of those.

    Raises:
        MissingFileError, InputError: a file or an argument cannot be used.
        TypeError: a name that is no setting's.
    """
    settings = replace_settings(settings or RegistrationSettings(), "register", changes)
    inputs = PairInputs(fixed, moving, fixed_mask, moving_mask, *landmarks)
    pair = inputs.open(settings.coordinates, settings.nifti_frame)
    images = pair.fixed, pair.moving
    clock = _Clock()
    with clock.stage("model"):
        network = _find_model(model, settings.refine)
        if settings.memory is not None:
            network = in_slabs(network, settings.memory)
    with clock.stage("reading"):
        for image in images:
            image.data  # noqa: B018  read here, so that the clock shows what it takes
        masks = pair.read_masks(settings.mask == "auto")
    with clock.stage("network"):
        whole = settings.memory is None
        seen = run_network(network, *images, settings.window, settings.init, whole)
    refinement = None
    if settings.refine:
        with clock.stage("refinement"):
            seen, refinement = refine_pass(seen, *images, settings.refine, settings.window)
        if not refinement.kept:
            warnings.warn(
                "refine: the refined transform matches the images no better; the network's result "
                "is kept.",
                stacklevel=2,
            )
    with clock.stage("resampling"):
        transform = seen.transform.on(pair.fixed.frame)
        warped = transform.warp(pair.moving)
        jacobian = Image(transform.jacobian(), transform.frame, pair.fixed.name)
    with clock.stage("measuring"):
        measures = measure_pass(seen, transform, pair, jacobian, masks)
    return RegistrationResult(
        fixed=pair.fixed,
        moving=pair.moving,
        warped=warped,
        displacement=transform,
        parts=seen.transform,
        jacobian=jacobian,
        measures=measures,
        quality=judge(measures),
        settings=settings,
        provenance=RegistrationProvenance(
            inputs=inputs.record(),
            model=str(network.path),
            model_sha256=model_checksum(network.card, getattr(network, "weights", {})),
            initial_translation_ras=seen.transform.translation.tolist(),
            network_shape=list(seen.fixed.shape),
            network_spacing=seen.spacing,
            refinement=refinement,
            seconds=clock.seconds,
            software={**software(), "SimpleITK": sitk.Version.VersionString()},
        ),
        lung=masks[0],
    )


def _find_model(
    model: str | os.PathLike[str] | RegistrationModel | None, refine: Steps
) -> RegistrationModel:
    if model is None:
        return shared_model(default_model())
    if not isinstance(model, (str, os.PathLike)):
        return model
    if os.fspath(model) == NO_MODEL:
        if not refine:
            raise InputError("model: 'none' goes with --refine N, which there is none of.")
        return identity_model()
    return shared_model(model)


class _Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
