"""Train, evaluate and export a registration model; without --cohort on a synthetic one."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tf_lungreg.errors import InputError

if TYPE_CHECKING:  # so that --help is fast
    from tf_lungreg.training import TrainingSettings

# What is trained on when no cohort is named: enough patients to see Dice rise, made in a minute.
PHANTOM = {"subjects": 24, "shape": (32, 96, 96), "seed": 0}
PHANTOM_FOLDER = Path("data") / "phantom"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg train``; those not given are left out of the result."""
    flags = parser.add_argument_group("what and where")
    flags.add_argument("--cohort", help=f"folder (default: makes {PHANTOM_FOLDER}, a phantom)")
    flags.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    flags.add_argument("--name", help="of the run (default: the cohort's and the preset's)")
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

    def setting(group, name, text, **kwargs):
        group.add_argument(name, help=text, default=argparse.SUPPRESS, **kwargs)

    network = parser.add_argument_group("network")
    setting(network, "--preset", "general (default), or of the paper's kind: paper, fast, small")
    off = {"action": "store_false"}
    setting(network, "--no-affine", "without the affine branch", dest="affine", **off)
    setting(network, "--no-deformable", "without the deformation", dest="deformable", **off)
    setting(network, "--anchor", "what integration keeps: ends (default), corner, center")
    setting(
        network,
        "--init-from",
        "exported model whose weights to start with, or none (default: the pretrained model with "
        "the preset general, else none)",
    )

    data = parser.add_argument_group("data")
    setting(data, "--window", "auto (default), paper, or LOW HIGH intensities", nargs="+")
    setting(
        data,
        "--pairs",
        "all, patient (both images of one), auto (default): all, but patient "
        "with fewer than four patients",
    )
    three = {"nargs": 3, "metavar": ("D", "H", "W")}
    setting(data, "--spacing", "voxel size in mm (default: the preset's)", type=float, **three)
    setting(
        data,
        "--shape",
        "voxels (default: what the images need, at most the preset's)",
        type=int,
        **three,
    )

    loss = parser.add_argument_group("loss")
    setting(
        loss,
        "--similarity",
        "image term: mse, ncc, mi, dwm or a sum like mse+0.5*ncc (default: mse)",
    )
    setting(loss, "--alpha", "weight of the affine term", type=float)
    setting(loss, "--beta", "weight of the spatial gradients' term", type=float)
    setting(loss, "--gamma", "weight of the folding term", type=float)

    loss.add_argument("--from-tuning", help="folder of a search: takes what it found best")

    training = parser.add_argument_group("training")
    setting(training, "--learning-rate", "of Adam (default: the preset's)", type=float)
    setting(training, "--epochs", "at most (default: the preset's)", type=int)
    setting(training, "--steps", "batches an epoch (default: the preset's)", type=int)
    setting(training, "--batch", "pairs a batch (default: the preset's)", type=int)
    setting(
        training, "--lr-patience", "epochs until the rate falls (default: the preset's)", type=int
    )
    setting(
        training, "--stop-patience", "epochs until training stops (default: the preset's)", type=int
    )
    setting(training, "--seed", "of weights, split and order (default: 0)", type=int)
    setting(
        training,
        "--mixed-precision",
        "convolutions in bfloat16, for processors that have it",
        action="store_true",
    )
    setting(
        training,
        "--recompute",
        "gradient checkpointing, for less memory and more time: presets paper, small",
        action="store_true",
    )


def run(options: argparse.Namespace) -> None:
    """Trains and prints the result."""
    from tf_lungreg.training import plan_training, run_training
    from tf_lungreg.training.strategy import check_strategy
    from tf_lungreg.training.termination import Terminated

    check_strategy(options.strategy)
    settings = make_settings(options)
    settings.resolved()  # a mistake is told before a phantom is made
    if options.cohort is None:
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
    """The settings that the flags give, on top of those of a search.

    Args:
        options: of the command line.
    """
    from tf_lungreg.training import TrainingSettings

    known = {field.name for field in dataclasses.fields(TrainingSettings)}
    given = {name: value for name, value in vars(options).items() if name in known}
    given["cohort"] = str(options.cohort or PHANTOM_FOLDER)
    for name in ("spacing", "shape"):
        if name in given:
            given[name] = tuple(given[name])
    if "window" in given:
        given["window"] = parse_window(given["window"])
    if getattr(options, "from_tuning", None):  # the search itself takes no such flag
        from tf_lungreg.tuning import read_best

        given = {**read_best(options.from_tuning), **given}
    return TrainingSettings(**given)


def parse_window(words: list[str]) -> str | tuple[float, float]:
    """``auto``, ``paper``, or two numbers, from the words after ``--window``."""
    if len(words) == 1 and words[0] in ("auto", "paper"):
        return words[0]
    try:
        low, high = (float(word) for word in words)
    except ValueError:
        found = " ".join(words)
        raise InputError(f"--window: auto, paper or LOW HIGH is needed, not {found!r}.") from None
    if not low < high:
        raise InputError(f"--window: LOW must be below HIGH, not {low:g} {high:g}.")
    return low, high


def split_window(words: list[str]) -> tuple[list[str], list[str]]:
    """The words that belong to ``--window``, and those after them, which are images.

    argparse hands a flag all words up to the next flag: ``--window -1000 300 FIXED MOVING``.

    Raises:
        InputError: the first words are no window.
    """
    count = 1 if words[0] in ("auto", "paper") else 2
    parse_window(words[:count])
    return words[:count], words[count:]


def result_table(metrics: dict) -> str:
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


def _pair(row) -> str:
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
