"""Instance optimisation: a network's answer for one pair, improved on that pair alone.

The transform keeps the form of the paper, ``p → A → N → moving``, with N integrated from Φ. What
is optimised, by Adam, are the logits of Φ on a control grid, from coarse to fine, and before them,
where there is no good answer to begin with, the 12 numbers of A. The loss has the terms of the
training's: the local correlation, the smoothness of the deformation, and its folding.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from typing import Any, Union

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import Window
from tf_lungreg.images.sampling import Sampler, world_points
from tf_lungreg.inference.network_pass import NetworkPass
from tf_lungreg.refinement.control_grid import ControlGrid, spatial_gradients
from tf_lungreg.refinement.descent import Ending, minimise
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

MOST = 400  # steps of "auto"

CONTROL_STEP = 6.0  # mm from one control point to the next on the finest level, ...
CONTROL_VOXELS = (2.0, 4.0)  # ... but at least and at most so many voxels
MARGIN = 2  # steps of the coarsest control grid around the image
AFFINE_RATE = 0.03  # of Adam, on normalised coordinates
LOGITS_RATE = 0.2  # of Adam on the coarsest level, halved on each next as what is left to move is
SETTLED_AFFINE = Ending(12, 0.01)  # a step on the coarsest level costs next to nothing
SETTLED = Ending(8, 0.05)  # steps that gain less gain nothing, ...
SETTLED_AUTO = Ending(4, 0.3)  # ... and steps that gain less are not worth their time
IMPROVEMENT = 1e-4  # of the image term, below which nothing has improved
REACH = 2.0  # voxels of a network's grid; a level of larger voxels shows nothing that it missed
_AFFINE_SHARE = 3  # of the steps, ...
_SHARES = (2, 3, 3)  # ... and of the levels', coarse to fine; the last ones where there are fewer

Steps = Union[int, str]  # how many at most, or "auto": as many as are worth their time


@dataclasses.dataclass(frozen=True)
class Refinement:
    """What became of it, for the record.

    Attributes:
        steps: evaluations of the loss.
        ended: ``"settled"`` if every level went on until nothing was gained, ``"steps"`` if there
            were too few steps for that.
        begun_from: ``"network"``, or ``"identity"`` where that matches the images better.
        levels: voxel size in mm along D, H, W of each.
        image_term_before: ``1 - NCC²`` of the network's answer, on the finest level.
        image_term_after: of the refined transform.
        kept: whether the refined transform is the result; otherwise the network's answer is.
    """

    steps: int
    ended: str
    begun_from: str
    levels: list[list[float]]
    image_term_before: float
    image_term_after: float
    kept: bool


def refine(
    seen: NetworkPass, fixed: Image, moving: Image, steps: Steps, window: Window = "auto"
) -> tuple[NetworkPass, Refinement]:
    """Improves a network's answer on the pair itself.

    From a network's answer, Φ is optimised on the levels whose voxels are small enough to add
    something. Where the identity matches the images better, A is fitted on the coarsest level
    first, and then Φ on all levels. Where the refined transform has the worse image term in the
    end, the network's answer is returned.

    Args:
        seen: the network's answer.
        fixed: the image that it was for.
        moving: the image that it was for.
        steps: evaluations of the loss over all levels at most, at least 1; or ``"auto"``, which
            ends each level when more steps are not worth their time.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.

    Returns:
        The pass with the refined transform, its Φ on the control grid, and the moving image that
        it warps on the network's grid; and what became of the refinement.
    """
    spacings = level_spacings(fixed.frame, moving.frame)
    pair = [prepare(volume, spacings[-1], window) for volume in (fixed, moving)]
    begun_from = "network" if _helps(seen) else "identity"
    with _progress(steps) as bar:
        course = _Course(pair, seen.transform.translation, spacings, steps, bar)
        if begun_from == "network":
            levels = levels_beyond(spacings, seen.spacing)
            states = [_State(seen.transform)]
        else:
            levels = list(range(len(spacings)))
            states = [course.fit_affine(_identity(seen.transform.translation))]
        for level in levels:
            states.append(course.descend(states[-1].transform, level))
    after, before = course.image_terms(states[-1].transform, seen.transform)
    record = Refinement(
        steps=course.taken,
        ended="settled" if all(state.settled for state in states) else "steps",
        begun_from=begun_from,
        levels=[spacings[level].round(3).tolist() for level in levels],
        image_term_before=before,
        image_term_after=after,
        kept=after < before * (1 - IMPROVEMENT),
    )
    return (_refined(seen, states[-1]) if record.kept else seen), record


def levels_beyond(spacings: list[Array], seen: list[float]) -> list[int]:
    """The levels that can improve a network's answer; the finest at least.

    Args:
        spacings: of the levels, mm along D, H, W, coarse to fine.
        seen: of the network's grid.
    """
    finest = len(spacings) - 1
    return [
        level
        for level, spacing in enumerate(spacings)
        if level == finest or spacing.min() <= REACH * min(seen)
    ]


def _helps(seen: NetworkPass) -> bool:
    """Whether the network's answer matches the images better than the initial translation."""
    windows = window_matrices(seen.fixed.shape)
    fixed = windowed(tf.constant(seen.fixed), windows)
    warped, moving = (
        float(image_term(fixed, tf.constant(image), windows))
        for image in (seen.warped, seen.moving)
    )
    return warped < moving


def _identity(translation: Array) -> ComposedTransform:
    """The initial translation alone."""
    return ComposedTransform(np.eye(4), Transform.translation(translation), translation)


def _progress(steps: Steps) -> tqdm[Any]:
    """A bar on a terminal; none in the processes that register many pairs at a time."""
    return tqdm(
        total=None if isinstance(steps, str) else steps,
        desc="refining",
        unit="step",
        leave=False,
        disable=None if multiprocessing.parent_process() is None else True,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _State:
    """A transform, whether its level settled, and its Φ if that is new."""

    transform: ComposedTransform
    settled: bool = True
    spatial_gradients: Array | None = None


class _Course:
    """One pair on its way through the levels.

    Args:
        pair: the fixed and the moving image, windowed.
        translation: the initial translation, mm.
        spacings: of the levels.
        steps: see :func:`refine`.
        bar: what shows the progress.
    """

    def __init__(
        self,
        pair: list[Image],
        translation: Array,
        spacings: list[Array],
        steps: Steps,
        bar: tqdm[Any],
    ):
        self._pair, self._translation, self._spacings = pair, translation, spacings
        self._bar, self.taken = bar, 0
        self._most = MOST if isinstance(steps, str) else steps
        self._ending = SETTLED_AUTO if isinstance(steps, str) else SETTLED
        self._begun: tuple[Array, int, LevelImages] | None = None

    def fit_affine(self, start: ComposedTransform) -> _State:
        """A on the coarsest level, with N as it is."""
        images, control, logits = self._begin(start, 0)
        pair, identity = PairLoss(images, control), np.eye(3, 4, dtype=np.float32)
        shares = _SHARES[-len(self._spacings) :]
        steps = self._share(_AFFINE_SHARE, sum(shares))
        found = minimise(
            lambda inverse: pair.of_inverse(inverse, logits),
            identity,
            AFFINE_RATE,
            steps,
            SETTLED_AFFINE,
            self._show,
        )
        affine = np.linalg.solve(world_affine(found.values, images.frame), start.affine)
        return _State(dataclasses.replace(start, affine=affine), found.settled)

    def descend(self, start: ComposedTransform, level: int) -> _State:
        """Φ on one level, with A as it is."""
        images, control, logits = self._begin(start, level)
        shares = _SHARES[level - len(self._spacings) :]
        found = minimise(
            PairLoss(images, control).of_logits,
            logits,
            LOGITS_RATE / 2**level,
            self._share(shares[0], sum(shares[1:])),
            self._ending,
            self._show,
        )
        field = control.field(found.values, start.translation)
        gradients = spatial_gradients(tf.constant(found.values)).numpy()
        transform = dataclasses.replace(start, deformation=field)
        return _State(transform, found.settled, gradients)

    def image_terms(self, *transforms: ComposedTransform) -> list[float]:
        """``1 - NCC²`` on the finest level."""
        terms = []
        for each in transforms:
            images, control, logits = self._begin(each, len(self._spacings) - 1)
            terms.append(PairLoss(images, control).image_term(logits))
        return terms

    def _share(self, own: float, others: float) -> int:
        """Of the steps that are left; at least 1."""
        left = self._most - self.taken
        return max(1, round(left * own / (own + others)))

    def _show(self, loss: float) -> None:
        self.taken += 1
        self._bar.update()
        self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def _begin(
        self, start: ComposedTransform, level: int
    ) -> tuple[LevelImages, ControlGrid, Array]:
        """The level's images and control grid for a transform, and its logits there."""
        images, spacing = self._images(start.affine, level), self._spacings[level]
        step = np.maximum(1, self._control_voxels * spacing.min() / spacing)
        control = ControlGrid(images.frame, step, self._margin)
        return images, control, control.start(start.deformation, start.translation)

    @property
    def _control_voxels(self) -> float:
        """From one control point to the next, on every level: its smallest voxels."""
        return float(np.clip(CONTROL_STEP / self._spacings[-1].min(), *CONTROL_VOXELS))

    @property
    def _margin(self) -> float:
        return MARGIN * self._control_voxels * self._spacings[0].min()

    def _images(self, affine: Array, level: int) -> LevelImages:
        """Those of the last call again where they are the same."""
        if self._begun and self._begun[1] == level and np.array_equal(self._begun[0], affine):
            return self._begun[2]
        images = level_images(
            self._pair[0],
            self._pair[1],
            self._spacings[level],
            affine,
            self._translation,
            self._margin,
        )
        self._begun = affine, level, images
        return images


def _refined(seen: NetworkPass, state: _State) -> NetworkPass:
    """The network's pass with another transform."""
    frame, translation = seen.transform.deformation.frame, np.eye(4)
    translation[:3, 3] = seen.transform.translation
    moving = Frame(frame.shape, translation @ frame.affine)
    points = world_points(frame, slice(0, frame.shape[0])) + state.transform.on(frame).data
    warped = Sampler(seen.moving)(apply_affine(np.linalg.inv(moving.affine), points))
    return dataclasses.replace(
        seen,
        warped=warped,
        spatial_gradients=state.spatial_gradients,
        transform=state.transform,
    )
