"""The settings of a search, their checks, and the folder that belongs to them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, read_json, write_json
from tf_lungreg.setting import check_settings, setting
from tf_lungreg.training.settings import TrainingSettings

TUNERS = ("bayesian", "hyperband", "random", "grid")
ALSO = ("learning-rate", "similarity")  # what can be searched besides α and β

SETTINGS, PROJECT, CACHE = "settings.json", "search", "cache"
RESULTS = ("trials.csv", "best.json", "report.html")


@dataclass(frozen=True)
class TuningSettings:
    """Everything that decides what a search tries.

    Attributes:
        training: resolved settings of every trial; those that are searched are replaced.
        tuner: how the settings of the next trial are chosen.
        trials: maximum number of trials.
        also: settings to search besides alpha and beta.
        max_folds: share of the lung's voxels that may fold without a penalty.

    Raises:
        InputError: a value that cannot be used; the message names it.
    """

    training: TrainingSettings
    tuner: str = setting("bayesian", group="search", choices=TUNERS)
    trials: int = setting(30, group="search", least=1)
    also: tuple[str, ...] = setting((), group="search", flag="tune", choices=ALSO)
    max_folds: float = setting(1e-3, group="search", least=0, below=1)

    def __post_init__(self):
        """Refuses what cannot be searched."""
        check_settings(self)
        if not self.training.affine or not self.training.deformable:
            raise InputError("alpha and beta weigh both branches of the network; both are needed.")

    @property
    def searched(self) -> tuple[str, ...]:
        """The settings of a training that are searched."""
        return ("alpha", "beta", *(name.replace("-", "_") for name in ALSO if name in self.also))

    def record(self) -> dict[str, Any]:
        """What must be the same for a search to go on; more trials may be asked for, save a grid's.

        The number of trials decides the points of a grid.
        """
        content = dataclasses.asdict(self)
        if self.tuner != "grid":
            del content["trials"]
        return json.loads(json.dumps(content))


def check_search(out: Path, config: TuningSettings, overwrite: bool) -> None:
    """Refuses a folder that this search may not write to.

    Args:
        out: the folder.
        config: of the search.
        overwrite: whether a search that is there may be removed.

    Raises:
        InputError: the folder holds something else, or a search with other settings.
    """
    check_folder(out)
    if not out.exists() or all(path.name == CACHE for path in out.iterdir()):
        return
    changed = sorted(_changed(_read_settings(out), config.record()))
    if changed and not overwrite:
        raise InputError(
            f"{out}: holds a search with another {changed[0]}; give another --out, or --overwrite."
        )


def open_search(out: Path, config: TuningSettings, overwrite: bool) -> None:
    """Makes the folder of a search, or takes up the one of a search with the same settings.

    Args:
        out: the folder; :func:`check_search` let it pass.
        config: of the search.
        overwrite: begin anew: trials and results are removed, prepared scans stay.
    """
    if overwrite:
        shutil.rmtree(out / PROJECT, ignore_errors=True)
        for name in RESULTS:
            (out / name).unlink(missing_ok=True)
    write_json(out / SETTINGS, config.record())


def await_search(out: Path, config: TuningSettings, seconds: float = 600) -> None:
    """Waits until the chief has opened the search; until then a worker writes nothing there.

    Args:
        out: the folder.
        config: of the search.
        seconds: at most.

    Raises:
        InputError: the chief has not.
    """
    until = time.monotonic() + seconds
    while not (out / SETTINGS).exists() or _changed(_read_settings(out), config.record()):
        if time.monotonic() > until:
            raise InputError(
                f"{out}: the chief has begun no search with these settings here; all processes "
                "need one command and one folder."
            )
        time.sleep(min(1, seconds))


def _read_settings(out: Path) -> dict[str, Any]:
    try:
        settings = read_json(out / SETTINGS)
        _ = settings["training"]["cohort"], settings["tuner"]
        return settings
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{out}: holds something that is no search; give another --out.") from None


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of settings that differ, in a training's or the search's own."""
    flat = [{**record, **record["training"]} for record in (before, now)]
    names = {name for record in flat for name in record if name != "training"}
    return [name for name in names if flat[0].get(name) != flat[1].get(name)]
