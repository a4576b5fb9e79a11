"""Instance optimisation: a network's answer for one pair, improved on that pair alone.

The transform keeps the form of the paper, ``p → A → N → moving``, with N integrated from Φ. What
is optimised, by Adam, are the 12 numbers of A and then, from coarse to fine, the logits of Φ on a
control grid. The loss has the terms of the training's: the local correlation, the smoothness of the
deformation, and its folding. Φ with A at once would be the worse: as Φ can do all that A can, the
two drift against each other.
"""

from __future__ import annotations

import dataclasses
import multiprocessing

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import Window
from tf_lungreg.images.sampling import Sampler, world_points
from tf_lungreg.inference.network_pass import NetworkPass
from tf_lungreg.refinement.adam import Adam
from tf_lungreg.refinement.control_grid import ControlGrid, spatial_gradients
from tf_lungreg.refinement.levels import (
    LevelImages,
    level_images,
    level_spacings,
    prepare,
)
from tf_lungreg.refinement.loss import (
    PairLoss,
    image_term,
    window_matrices,
    windowed,
)
from tf_lungreg.transforms.composed import ComposedTransform, world_affine
from tf_lungreg.transforms.transform import Transform

CONTROL_STEP = 6.0  # mm from one control point to the next on the finest level, ...
CONTROL_VOXELS = (2.0, 4.0)  # ... but at least and at most so many voxels
MARGIN = 2  # steps of the coarsest control grid around the image
AFFINE_RATE = 0.03  # of Adam, on normalised coordinates
LOGITS_RATE = 0.06  # of Adam on the coarsest level, halved on each next as what is left to move is
PATIENCE = 12  # steps without an improvement after which a level ends
IMPROVEMENT = 1e-4  # of the loss, below which nothing has improved
_AFFINE_SHARE = 3  # of the steps, divided among the starts
_SHARES = (2, 3, 3)  # of the levels, coarse to fine; the last ones where there are fewer


@dataclasses.dataclass(frozen=True)
class Refinement:
    """What became of it, for the record.

    Attributes:
        steps: how many were taken; fewer than asked where the loss settled early.
        begun_from: ``"network"``, or ``"identity"`` where that led to a lower loss.
        levels: voxel size in mm along D, H, W of each.
        image_term_before: of the network's answer, on the last level but one.
        image_term_after: of the refined transform.
        kept: whether the refined transform is the result; otherwise the network's answer is.
    """

    steps: int
    begun_from: str
    levels: list[list[float]]
    image_term_before: float
    image_term_after: float
    kept: bool


def refine(
    seen: NetworkPass, fixed: Image, moving: Image, steps: int, window: Window = "auto"
) -> tuple[NetworkPass, Refinement]:
    """Improves a network's answer on the pair itself.

    The affine part is first fitted on the coarsest level, from the network's answer and from the
    identity, and the better of the two goes on. Where the refined transform has the worse image
    term in the end, the network's answer is returned.

    Args:
        seen: the network's answer.
        fixed: the image that it was for.
        moving: the image that it was for.
        steps: evaluations of the loss over all levels, at least 1.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.

    Returns:
        The pass with the refined transform, its Φ on the control grid, and the moving image that
        it warps on the network's grid; and what became of the refinement.
    """
    spacings = level_spacings(fixed.frame, moving.frame)
    pair = [prepare(volume, spacings[-1], window) for volume in (fixed, moving)]
    starts = _starts(seen.transform)
    plan = plan_steps(steps, len(starts), len(spacings))
    with _progress(sum(plan)) as bar:
        course = _Course(pair, seen.transform.translation, spacings, bar)
        states = [course.fit_affine(*each) for each in zip(starts.values(), plan)]
        begun_from, state = min(zip(starts, states), key=lambda named: named[1].loss)
        for level, count in enumerate(plan[len(starts) :]):
            state = course.descend(state.transform, level, count)
            states.append(state)
    before, after = course.image_terms(seen.transform, state.transform)
    record = Refinement(
        steps=sum(each.steps for each in states),
        begun_from=begun_from,
        levels=[spacing.round(3).tolist() for spacing in spacings],
        image_term_before=before,
        image_term_after=after,
        kept=after < before,
    )
    return (_refined(seen, state) if record.kept else seen), record


def plan_steps(steps: int, starts: int, levels: int) -> list[int]:
    """How many steps each start's affine part gets, then each level's Φ; each start at least 1.

    Args:
        steps: how many in all.
        starts: affine parts to begin with.
        levels: coarse to fine.
    """
    shares = np.array([_AFFINE_SHARE / starts] * starts + list(_SHARES[-levels:]))
    ends = np.round(steps * np.cumsum(shares) / shares.sum()).astype(int)
    counts = np.diff(ends, prepend=0).tolist()
    return [max(1, count) for count in counts[:starts]] + counts[starts:]


def _starts(network: ComposedTransform) -> dict[str, ComposedTransform]:
    """The network's answer, and the initial translation alone where that is something else."""
    translation = network.translation
    identity = ComposedTransform(np.eye(4), Transform.translation(translation), translation)
    moved = np.abs(network.deformation.data - translation).max() > 1e-3
    if not moved and np.allclose(network.affine, np.eye(4)):
        return {"identity": identity}
    return {"network": network, "identity": identity}


def _progress(total: int) -> tqdm:
    """A bar on a terminal; none in the processes that register many pairs at a time."""
    alone = multiprocessing.parent_process() is None
    return tqdm(
        total=total, desc="refining", unit="step", leave=False, disable=None if alone else True
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _State:
    """A transform, the loss of its level, the steps that led to it, and its Φ if that is new."""

    transform: ComposedTransform
    loss: float
    steps: int
    spatial_gradients: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class _Course:
    """One pair on its way through the levels."""

    pair: list[Image]
    translation: np.ndarray
    spacings: list[np.ndarray]
    bar: tqdm

    def fit_affine(self, start: ComposedTransform, steps: int) -> _State:
        """A on the coarsest level, with N as it is."""
        images, control, logits = self._begin(start, 0)
        pair, identity = PairLoss(images, control), np.eye(3, 4, dtype=np.float32)
        loss, inverse, taken = self._minimise(
            lambda inverse: pair.of_inverse(inverse, logits), identity, AFFINE_RATE, steps
        )
        affine = np.linalg.solve(world_affine(inverse, images.frame), start.affine)
        return _State(dataclasses.replace(start, affine=affine), loss, taken)

    def descend(self, start: ComposedTransform, level: int, steps: int) -> _State:
        """Φ on one level, with A as it is."""
        images, control, logits = self._begin(start, level)
        pair = PairLoss(images, control)
        rate = LOGITS_RATE / 2**level
        loss, logits, taken = self._minimise(pair.of_logits, logits, rate, steps)
        field = control.field(logits, start.translation)
        gradients = spatial_gradients(tf.constant(logits)).numpy()
        return _State(dataclasses.replace(start, deformation=field), loss, taken, gradients)

    def _begin(self, start: ComposedTransform, level: int):
        """The level's images and control grid for a transform, and its logits there."""
        images, spacing = self._images(start.affine, level), self.spacings[level]
        step = np.maximum(1, self._control_voxels * spacing.min() / spacing)
        control = ControlGrid(images.frame, step, self._margin)
        return images, control, control.start(start.deformation, start.translation)

    def image_terms(self, *transforms: ComposedTransform) -> list[float]:
        """``1 - NCC²`` on the fixed image's grid, on the last level but one."""
        images = self._images(np.eye(4), max(0, len(self.spacings) - 2))
        sampler, windows = Sampler(images.moving), window_matrices(images.frame.shape)
        fixed = windowed(tf.constant(images.fixed), windows)
        warped = (_warp(sampler, each, images.frame, images.moving_frame) for each in transforms)
        return [float(image_term(fixed, each, windows)) for each in warped]

    @property
    def _control_voxels(self) -> float:
        """From one control point to the next, on every level: its smallest voxels."""
        return float(np.clip(CONTROL_STEP / self.spacings[-1].min(), *CONTROL_VOXELS))

    @property
    def _margin(self) -> float:
        return MARGIN * self._control_voxels * self.spacings[0].min()

    def _images(self, affine: np.ndarray, level: int) -> LevelImages:
        return level_images(
            *self.pair, self.spacings[level], affine, self.translation, self._margin
        )

    def _minimise(self, function, values: np.ndarray, rate: float, steps: int):
        """The smallest loss that was met, the values that it belongs to, and the steps taken."""
        adam, least, best, waiting, step = Adam(rate, steps), np.inf, values, 0, 0
        for step in range(1, steps + 1):
            loss, gradient = function(values)
            self.bar.update()
            self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            waiting = 0 if loss < least * (1 - IMPROVEMENT) else waiting + 1
            if loss < least:
                least, best = loss, values
            if waiting == PATIENCE:
                self.bar.total -= steps - step
                break
            values = adam.update(values, gradient)
        return least, best, step


def _warp(
    sampler: Sampler, transform: ComposedTransform, frame: Frame, moving: Frame
) -> np.ndarray:
    """The moving image on a grid of the fixed one, the border continued."""
    points = world_points(frame, slice(0, frame.shape[0])) + transform.on(frame).data
    return sampler(apply_affine(np.linalg.inv(moving.affine), points))


def _refined(seen: NetworkPass, state: _State) -> NetworkPass:
    """The network's pass with another transform."""
    frame, translation = seen.transform.deformation.frame, np.eye(4)
    translation[:3, 3] = seen.transform.translation
    moving = Frame(frame.shape, translation @ frame.affine)
    warped = _warp(Sampler(seen.moving), state.transform, frame, moving)
    return dataclasses.replace(
        seen,
        warped=warped,
        spatial_gradients=state.spatial_gradients,
        transform=state.transform,
    )
