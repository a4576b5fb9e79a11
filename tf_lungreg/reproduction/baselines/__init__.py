"""The classical methods of the paper's Table 1, all with one interface.

A method takes ``(fixed, moving, spacing)``, two volumes (D, H, W) float32 in [0, 1] of one shape
and their voxel size in mm, and returns the grid G of ``warped(p) = moving(G(p))`` with the seconds
that it took.
"""

from tf_lungreg.reproduction.baselines.discrete import register_discrete
from tf_lungreg.reproduction.baselines.identity import unregistered
from tf_lungreg.reproduction.baselines.registry import BASELINES, find_baseline
from tf_lungreg.reproduction.baselines.result import Baseline, BaselineResult
from tf_lungreg.reproduction.baselines.syn import register_syn

__all__ = [
    "BASELINES",
    "Baseline",
    "BaselineResult",
    "find_baseline",
    "register_discrete",
    "register_syn",
    "unregistered",
]
