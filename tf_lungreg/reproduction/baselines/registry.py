"""The methods by name."""

from __future__ import annotations

from functools import partial

from tf_lungreg.errors import InputError
from tf_lungreg.reproduction.baselines.discrete import register_discrete
from tf_lungreg.reproduction.baselines.discrete.settings import METRICS
from tf_lungreg.reproduction.baselines.identity import unregistered
from tf_lungreg.reproduction.baselines.packages import require
from tf_lungreg.reproduction.baselines.result import Baseline
from tf_lungreg.reproduction.baselines.syn import register_syn

BASELINES: dict[str, Baseline] = {
    "unregistered": unregistered,
    "syn": register_syn,
    **{f"discrete-{metric}": partial(register_discrete, metric=metric) for metric in METRICS},
}

_PACKAGES = {"syn": "ants", **{f"discrete-{metric}": "maxflow" for metric in METRICS}}


def find_baseline(name: str) -> Baseline:
    """The method of that name, with the package that it needs already imported.

    Raises:
        InputError: there is no such method, and the message lists those there are; or its package
            is not installed, and the message says how to install it.
    """
    if name not in BASELINES:
        raise InputError(f"baseline: one of {', '.join(BASELINES)} is needed, not {name!r}.")
    if name in _PACKAGES:
        require(_PACKAGES[name])
    return BASELINES[name]
