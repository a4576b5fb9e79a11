"""The sizes in which the registration network comes, each with the grid it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from tf_lungreg.errors import InputError


@dataclass(frozen=True)
class EncoderDecoder:
    """Sizes of the paper's network, :mod:`tf_lungreg.models.encoder_decoder`.

    Attributes:
        encoder: filters of the encoder's convolutions.
        dilations: their dilations.
        decoder: filters of the deformation decoder's convolutions before the last one.
        reduction: of the squeeze and excitation.
    """

    encoder: tuple[int, ...]
    dilations: tuple[int, ...]
    decoder: tuple[int, ...]
    reduction: int


@dataclass(frozen=True)
class Matching:
    """Sizes of the network that compares features, :mod:`tf_lungreg.models.matching`.

    Attributes:
        encoder: features of an image after each of the encoder's three steps.
        decoder: filters of all convolutions after the comparison.
        radius: largest shift, in blocks of four voxels, at which the affine branch compares; the
            deformation compares at one less, and then at one less in blocks of two.
        passes: how often A is looked for.
    """

    encoder: tuple[int, int, int]
    decoder: int
    radius: int
    passes: int


@dataclass(frozen=True)
class FineMatching:
    """Sizes of the network that goes on to finer levels, :mod:`tf_lungreg.models.fine`.

    Attributes:
        coarse: of the network that begins, on voxels twice as large.
        half: filters of the level whose voxels are twice as large.
        half_updates: how often the displacement is corrected there.
        full: filters of the level at the full resolution.
        full_updates: how often the displacement is corrected there.
        margin: voxels around the fixed image where nothing is corrected, and within which the
            displacement fades out; an even number.
    """

    coarse: Matching
    half: int
    half_updates: int
    full: int
    full_updates: int
    margin: int


@dataclass(frozen=True)
class CoarseToFine:
    """Sizes of the paper's network on a coarser grid, :mod:`tf_lungreg.models.coarse_to_fine`.

    Attributes:
        encoder: filters of the encoder's convolutions; the first two halve the resolution.
        dilations: their dilations.
        decoder: filters of the deformation decoder's convolutions at a quarter of the resolution.
        reduction: of the squeeze and excitation.
    """

    encoder: tuple[int, ...]
    dilations: tuple[int, ...]
    decoder: tuple[int, ...]
    reduction: int


@dataclass(frozen=True)
class Preset:
    """One size of the network, and what goes with it in training.

    Attributes:
        network: which network, and its sizes.
        spacing: voxel size in mm along D, H, W that it is trained at.
        shape: size in voxels that it is trained at, at most.
        margin: voxels by which its grid reaches beyond the fixed image on every side. What the
            integration anchors then lies outside the image.
        voxels: of its grid without the margin at most, where it takes an image's whole extent; None
            for no limit.
        alpha: weight of the affine term of the loss.
        beta: weight of the spatial gradients' term.
        gamma: weight of the folding term.
        learning_rate: of Adam.
        epochs: of training, at most.
        steps: batches an epoch.
        batch: pairs a batch.
        lr_patience: epochs without improvement until the learning rate is divided by 10.
        stop_patience: epochs without improvement until training stops.
    """

    network: EncoderDecoder | CoarseToFine | Matching | FineMatching
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    margin: int
    voxels: int | None
    alpha: float
    beta: float
    gamma: float
    learning_rate: float
    epochs: int
    steps: int
    batch: int
    lr_patience: int
    stop_patience: int


_SMALLEST = 2  # voxels along an axis of a volume that is sampled

PRESETS = {
    # The paper's acquisition is 2.5 mm slices of 2.14 × 2.14 mm, scaled by 2/3 (paper 2.4).
    "paper": Preset(
        network=EncoderDecoder(
            encoder=(32, 64, 128, 32, 32),
            dilations=(1, 1, 2, 3, 5),
            decoder=(128, 64, 32, 32, 32),
            reduction=16,
        ),
        spacing=(3.75, 3.21, 3.21),
        shape=(64, 192, 192),
        margin=0,
        voxels=None,
        alpha=1e-6,
        beta=1e-6,
        gamma=0.0,
        learning_rate=1e-3,
        epochs=1000,
        steps=100,
        batch=2,
        lr_patience=50,
        stop_patience=100,
    ),
    # For two processor cores and ten minutes: fewer filters, the paper's field of view on a coarse
    # grid, and weights of the loss that were measured (docs/training.md).
    "small": Preset(
        network=EncoderDecoder(
            encoder=(8, 16, 16, 16, 8),
            dilations=(1, 1, 2, 3, 5),
            decoder=(16, 16, 8, 8, 8),
            reduction=16,
        ),
        spacing=(10.0, 9.69, 9.69),
        shape=(24, 64, 64),
        margin=0,
        voxels=None,
        alpha=1e-6,
        beta=1e-3,
        gamma=3.0,
        learning_rate=1e-3,
        epochs=20,
        steps=40,
        batch=1,
        lr_patience=8,
        stop_patience=20,
    ),
    # For the paper's grid on a processor: Φ on every second voxel, and small's weights of the loss.
    "fast": Preset(
        network=CoarseToFine(
            encoder=(16, 32, 32, 32, 16),
            dilations=(1, 1, 1, 2, 3),
            decoder=(64, 32),
            reduction=16,
        ),
        spacing=(3.75, 3.21, 3.21),
        shape=(64, 192, 192),
        margin=0,
        voxels=None,
        alpha=1e-6,
        beta=1e-3,
        gamma=3.0,
        learning_rate=1e-3,
        epochs=20,
        steps=40,
        batch=1,
        lr_patience=8,
        stop_patience=20,
    ),
    # For images that it never saw: what the pretrained model is (docs/training.md). The settings of
    # training are those for going on from it with a cohort.
    "general": Preset(
        network=Matching(encoder=(16, 24, 32), decoder=32, radius=3, passes=2),
        spacing=(5.0, 5.0, 5.0),
        shape=(48, 88, 88),
        margin=4,
        voxels=None,
        alpha=1e-6,
        beta=1e-3,
        gamma=1.0,
        learning_rate=1e-4,
        epochs=10,
        steps=20,
        batch=1,
        lr_patience=4,
        stop_patience=10,
    ),
    # The same, and on from there to finer levels.
    "fine": Preset(
        network=FineMatching(
            coarse=Matching(encoder=(16, 24, 32), decoder=32, radius=3, passes=2),
            half=16,
            half_updates=3,
            full=12,
            full_updates=2,
            margin=8,
        ),
        spacing=(2.5, 2.5, 2.5),
        shape=(96, 176, 176),
        margin=8,
        voxels=1_500_000,
        alpha=1e-6,
        beta=1e-3,
        gamma=1.0,
        learning_rate=1e-4,
        epochs=10,
        steps=20,
        batch=1,
        lr_patience=4,
        stop_patience=10,
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise InputError(f"preset: one of {', '.join(PRESETS)} is needed, not {name!r}.")
    return PRESETS[name]


def least_size(preset: str) -> int:
    """How many voxels each axis needs, so that something is left within the network's margin.

    Raises:
        InputError: there is no such preset.
    """
    network = find_preset(preset).network
    return 2 * network.margin + _SMALLEST if isinstance(network, FineMatching) else 1
