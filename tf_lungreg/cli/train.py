"""Train, evaluate and export a registration model; without --cohort on a synthetic one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from tf_lungreg.cli.flags import add_flags, given_settings
from tf_lungreg.setting import settings_in
from tf_lungreg.training.settings import TrainingSettings

# What is trained on when no cohort is named: enough patients to see Dice rise, made in a minute.
PHANTOM: dict[str, Any] = {"subjects": 24, "shape": (32, 96, 96), "seed": 0}
PHANTOM_FOLDER = Path("data") / "phantom"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg train``; those not given are left out of the result."""
    flags = parser.add_argument_group("what and where")
    settings = dict(settings_in(TrainingSettings))
    help_ = f"{settings['cohort'].help} (default: makes {PHANTOM_FOLDER}, a phantom)"
    settings["cohort"] = replace(settings["cohort"].under("where"), default=None, help=help_)
    groups = add_flags(parser, settings, {"where": flags})
    groups["loss"].add_argument(
        "--from-tuning", help="folder of a search: use the best settings it found"
    )
    flags.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    flags.add_argument("--name", help="name of the run (default: the cohort's and the preset's)")
    flags.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    flags.add_argument(
        "--models",
        type=Path,
        default=Path("saved_models") / "lungreg",
        help="where the exported model takes the next version (default: %(default)s)",
    )
    flags.add_argument("--cache", type=Path, help="prepared volumes (default: RUNS/cache)")
    flags.add_argument(
        "--strategy",
        default="auto",
        help="devices: one, mirrored, multiworker or auto (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Trains and prints the result."""
    from tf_lungreg.training import plan_training, run_training
    from tf_lungreg.training.strategy import check_strategy
    from tf_lungreg.training.termination import Terminated

    check_strategy(options.strategy)
    settings = make_settings(options)
    settings.resolved()  # a mistake is told before a phantom is made
    if not hasattr(options, "cohort"):
        _make_phantom()
    config, folder = plan_training(settings, options.runs, options.name, options.overwrite)
    if (folder / "last.npz").exists():
        print(f"{folder}: goes on where it was interrupted")
    cache = options.cache or options.runs / "cache"
    try:
        metrics = run_training(config, folder, options.models, cache, options.strategy)
    except Terminated:
        print(f"\n{folder}: a checkpoint was written, from which the same command goes on")
        raise
    except KeyboardInterrupt:
        print(f"\n{folder}: the same command goes on after the last whole epoch")
        raise
    if metrics is None:
        print("this worker has ended; the chief writes the results")
        return
    print(result_table(metrics))
    print(f"report   {folder / 'report.html'}\nmodel    {metrics['model']}")


def make_settings(options: argparse.Namespace) -> TrainingSettings:
    """The settings that the flags and the configuration file give, on top of those of a search.

    Args:
        options: of the command line.
    """
    given: dict[str, Any] = {
        "cohort": str(PHANTOM_FOLDER),
        **given_settings(TrainingSettings, options),
    }
    if getattr(options, "from_tuning", None):  # the search itself takes no such flag
        from tf_lungreg.tuning import read_best

        given = {**read_best(options.from_tuning), **given}
    return TrainingSettings(**given)


def result_table(metrics: dict[str, Any]) -> str:
    """Dice and folding of each validation pair and their mean, as text."""
    if "dice_after" not in metrics:
        return (
            f"image term {metrics['mse_before']:.5f} before, {metrics['mse_after']:.5f} after; "
            "no masks, so no Dice"
        )
    rows = [row for row in metrics["pairs"] if "dice_after" in row]
    width = max(len(_pair(row)) for row in rows)
    lines = [f"{'pair':<{width}}  Dice before   after  folded in the lung"]
    mean = {"name": "mean", **metrics}
    for row in [*({"name": _pair(row), **row} for row in rows), mean]:
        lines.append(
            f"{row['name']:<{width}}  {100 * row['dice_before']:9.2f} % "
            f"{100 * row['dice_after']:6.2f} %  {100 * row['folds_lung']:.4f} %"
        )
    if metrics["validated_on_training_set"]:
        lines.append("fewer than four patients: validated on the images trained on")
    return "\n".join(lines)


def _pair(row: dict[str, Any]) -> str:
    return f"{row['moving']} -> {row['fixed']}"


def _make_phantom() -> None:
    if PHANTOM_FOLDER.exists():
        print(f"{PHANTOM_FOLDER}: used again, a synthetic phantom")
        return
    from tf_lungreg.phantom import write_phantom_cohort

    print(f"{PHANTOM_FOLDER}: no --cohort was given, makes a synthetic phantom", flush=True)
    try:
        write_phantom_cohort(PHANTOM_FOLDER, **PHANTOM)
    except KeyboardInterrupt:
        print(f"\n{PHANTOM_FOLDER}: not made; the same command begins again")
        raise
