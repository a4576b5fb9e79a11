"""The settings of a registration: each stated once, with its default and its check."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tf_lungreg.errors import InputError
from tf_lungreg.images.preparation import Window

_LONGEST = 100_000  # steps of refinement: hours


@dataclass(frozen=True)
class RegistrationSettings:
    """How two images are registered.

    Attributes:
        window: intensities that the network sees, see
            :func:`tf_lungreg.images.preparation.window_limits`.
        init: ``"center"`` aligns the volume centres before the network sees the images,
            ``"world"`` keeps both at their world positions.
        refine: steps of instance optimisation after the network, see
            :func:`tf_lungreg.refinement.optimisation.refine`; 0 for none.
        mask: ``"auto"`` makes the lung masks that are not given, for CT.
        coordinates: ``"ras"`` or ``"lps"``, of landmark tables. 3D Slicer's files state their own.
        nifti_frame: which place counts of NIfTI files that state two, see
            :meth:`tf_lungreg.images.image.Image.read`.
        memory: GB for the network's maps: it runs layer by layer in slabs, see
            :func:`tf_lungreg.models.slabs.run_in_slabs`. By default it runs as a whole.

    Raises:
        InputError: a value that cannot be used; the message names it.
    """

    window: Window = "auto"
    init: str = "center"
    refine: int = 0
    mask: str | None = None
    coordinates: str = "ras"
    nifti_frame: str = "sform"
    memory: float | None = None

    def __post_init__(self):
        """Checks the values that no function below checks itself before the work begins."""
        if self.mask not in (None, "auto"):
            raise InputError(f"mask: 'auto' or nothing is needed, not {self.mask!r}.")
        if not _is_number(self.refine, int) or not 0 <= self.refine <= _LONGEST:
            raise InputError(
                f"refine: a whole number of steps, 0 or more, is needed, not {self.refine!r}; "
                f"{_LONGEST} is the most."
            )
        if self.memory is not None and not (
            _is_number(self.memory, (int, float)) and 0 < self.memory < math.inf
        ):
            raise InputError(f"memory: GB, a number above 0, is needed, not {self.memory!r}.")


def _is_number(value: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
