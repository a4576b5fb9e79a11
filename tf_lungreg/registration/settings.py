"""The settings of a registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tf_lungreg.setting import check_settings, setting

if TYPE_CHECKING:  # reads no image formats for --help
    from tf_lungreg.images.preparation import Window
    from tf_lungreg.refinement.optimisation import Steps


@dataclass(frozen=True)
class RegistrationSettings:
    """How two images are registered.

    Attributes:
        window: intensities that the network sees as 0 and 1: auto, paper or LOW HIGH.
        init: align the volume centres first (center), or keep the world positions (world).
        refine: maximum number of optimisation steps on the pair itself after the network, or auto
            for as many as are worth their time.
        mask: ``auto`` makes the lung masks that are not given (CT only).
        coordinates: coordinate system of the landmark tables; 3D Slicer's files state their own.
        nifti_frame: which position to use for NIfTI files whose sform and qform differ.
        memory: run the network layer by layer in slabs, with its maps in temporary files and about
            this much memory in GB for a slab.

    Raises:
        InputError: a value that cannot be used; the message names it.
    """

    window: Window = "auto"
    init: str = setting("center", choices=("center", "world"))
    refine: Steps = setting(0, shown="0, no refinement", least=0, most=100_000)  # the most: hours
    mask: str | None = setting(None, group="measuring", choices=("auto",))
    coordinates: str = setting("ras", group="measuring", choices=("ras", "lps"))
    nifti_frame: str = setting("sform", choices=("sform", "qform"))
    memory: float | None = setting(None, shown="the network runs as a whole", unit="GB", above=0)

    def __post_init__(self):
        """Refuses a value before any work begins."""
        check_settings(self)
