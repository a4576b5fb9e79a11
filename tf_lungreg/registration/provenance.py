"""What a registration was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tf_lungreg.refinement.optimisation import Refinement


@dataclass(frozen=True)
class RegistrationProvenance:
    """What a registration was made from, and how long it took.

    Attributes:
        inputs: role → ``path`` and ``sha256`` of each input.
        model: the model's folder, or its address on a server.
        model_sha256: of its weights and card; None where it has none.
        initial_translation_ras: the translation before the network, (3,) mm.
        network_shape: voxels of the grid that the network saw, along D, H, W.
        network_spacing: mm, along D, H, W.
        refinement: what became of the refinement; None without one.
        seconds: stage → seconds.
        software: package → version.
    """

    inputs: Mapping[str, Mapping[str, str]]
    model: str
    model_sha256: str | None
    initial_translation_ras: list[float]
    network_shape: list[int]
    network_spacing: list[float]
    refinement: Refinement | None
    seconds: Mapping[str, float]
    software: Mapping[str, str]
