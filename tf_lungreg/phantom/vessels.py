"""Vessel trees of the lungs, and their branching points as landmarks.

A tree grows from the hilum to random ends in the lung: each new end is tied to that node of the
tree that makes the detour small, distance + balance × path (Cuntz et al. 2010), and radii follow
Murray's law, r³ = Σ r³ of the branches. The result is a trunk that divides to the periphery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom.anatomy import Anatomy, lung_distance
from tf_lungreg.phantom.tubes import Samples

_ENDS = 220  # of each of the two trees (arteries, veins) of a lung
_END_RADIUS = 1.05  # mm
_BALANCE = 0.45
_SEGMENT = 5.0  # mm between nodes


@dataclass(frozen=True)
class Tree:
    """A vessel tree, nodes ordered so that each comes after its parent.

    Attributes:
        points: (n, 3) body frame, mm.
        parents: (n,) index of the node before; the root's is 0.
        radii: (n,) mm.
    """

    points: Array
    parents: Array
    radii: Array

    @property
    def branchings(self) -> Array:
        """Indices of the nodes, the root excepted, where a vessel divides."""
        children = np.bincount(self.parents[1:], minlength=len(self.points))
        return np.flatnonzero(children[1:] >= 2) + 1

    def samples(self, step: float = 1.5) -> Samples:
        """Pieces of about ``step`` mm of the centre lines: points (m, 3), radii, lengths (m,)."""
        start, end = self.points[self.parents[1:]], self.points[1:]
        length = np.linalg.norm(end - start, axis=1)
        pieces = max(1, int(np.ceil(length.max() / step)))
        share = (np.arange(pieces) + 0.5) / pieces
        points = start[:, None] + share[:, None] * (end - start)[:, None]
        return (
            points.reshape(-1, 3),
            np.repeat(self.radii[1:], pieces),
            np.repeat(length / pieces, pieces),
        )


def grow_trees(
    rng: np.random.Generator,
    anatomy: Anatomy,
    ends: int = _ENDS,
    end_radius: float = _END_RADIUS,
) -> list[Tree]:
    """Arteries and veins of both lungs: right, right, left, left.

    Args:
        rng: a generator of numpy's.
        anatomy: the patient's.
        ends: of each tree.
        end_radius: mm.
    """
    trees: list[Tree] = []
    for side in (1, -1):
        for offset in ((0.0, 6.0, 9.0), (0.0, -4.0, -9.0)):
            root = anatomy.hilum(side) + offset
            trees.append(_grow(rng, root, _random_ends(rng, anatomy, side, ends), end_radius))
    return trees


def _random_ends(rng: np.random.Generator, anatomy: Anatomy, side: int, count: int) -> Array:
    """Random points of one lung at least 4 mm below its surface, (n, 3)."""
    low = np.array([0.0, -anatomy.depth, anatomy.base])
    high = np.array([anatomy.width, anatomy.depth, anatomy.apex])
    points = rng.uniform(low, high, size=(count * 6, 3)) * (side, 1, 1)
    inside = lung_distance(anatomy, *points.T) < -4.0
    return points[inside][:count]


def _grow(rng: np.random.Generator, root: Array, ends: Array, end_radius: float) -> Tree:
    points, parents, path = np.array([root]), np.zeros(1, dtype=int), np.zeros(1)
    for end in ends:
        cost = np.linalg.norm(points - end, axis=1) + _BALANCE * path
        node = int(np.argmin(cost))
        line = _bent_line(rng, points[node], end)
        steps = np.linalg.norm(np.diff(line, axis=0, prepend=points[node : node + 1]), axis=1)
        path = np.append(path, path[node] + np.cumsum(steps))
        first = len(points)
        parents = np.append(parents, [node, *range(first, first + len(line) - 1)])
        points = np.concatenate([points, line])
    return Tree(points, parents, _murray(parents, end_radius))


def _bent_line(rng: np.random.Generator, start: Array, end: Array) -> Array:
    """Nodes after ``start`` up to ``end`` on a slightly bent curve, (n, 3)."""
    length = np.linalg.norm(end - start)
    count = max(1, int(round(length / _SEGMENT)))
    share = (np.arange(count) + 1.0) / count
    bend = rng.normal(0.0, 0.06 * length, size=3)
    return start + share[:, None] * (end - start) + (share * (1 - share))[:, None] * 4 * bend


def _murray(parents: Array, end_radius: float) -> Array:
    cubes = np.zeros(len(parents))
    leaves = np.bincount(parents[1:], minlength=len(parents)) == 0
    cubes[leaves] = end_radius**3
    for node in range(len(parents) - 1, 0, -1):
        cubes[parents[node]] += cubes[node]
    return np.cbrt(cubes)


def landmark_points(
    anatomy: Anatomy, trees: list[Tree], count: int = 11, depth: float = 16.0
) -> tuple[list[str], Array]:
    """Branching points spread over both lungs, deep enough to stay inside when marked badly.

    Args:
        anatomy: the patient.
        trees: from :func:`grow_trees`.
        count: how many.
        depth: least distance in mm to the lung's surface at inspiration.

    Returns:
        Names ``right_1``.. then ``left_1``.., each side from apex to base, and points (count, 3).
    """
    nodes = np.concatenate([tree.points[tree.branchings] for tree in trees])
    radii = np.concatenate([tree.radii[tree.branchings] for tree in trees])
    good = (lung_distance(anatomy, *nodes.T) < -depth) & (radii > 1.3 * _END_RADIUS)
    names: list[str] = []
    chosen: list[Array] = []
    for side, label, share in ((1, "right", count - count // 2), (-1, "left", count // 2)):
        points = _spread(nodes[good & (side * nodes[:, 0] > 0)], share)
        points = points[np.argsort(-points[:, 2], kind="stable")]
        names += [f"{label}_{number + 1}" for number in range(len(points))]
        chosen.append(points)
    return names, np.concatenate(chosen)


def _spread(points: Array, count: int) -> Array:
    """Farthest-point choice from the highest point on, (count, 3)."""
    chosen = [int(np.argmax(points[:, 2]))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]
