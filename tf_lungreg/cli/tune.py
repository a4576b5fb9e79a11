"""Search for the weights of the loss by the Dice of validation, with Keras Tuner."""

from __future__ import annotations

import argparse
from pathlib import Path

from tf_lungreg.cli.train import make_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg tune``; settings of a training not given are left out."""
    search = parser.add_argument_group("search")
    search.add_argument("--cohort", required=True, help="folder, with lung masks")
    search.add_argument("--out", type=Path, required=True, help="folder of trials and results")
    search.add_argument("--trials", type=int, default=30, help="at most (default: %(default)s)")
    search.add_argument(
        "--tuner",
        default="bayesian",
        help="bayesian, hyperband, random or grid (default: %(default)s)",
    )
    search.add_argument(
        "--tune",
        nargs="+",
        default=[],
        metavar="NAME",
        help="besides alpha and beta: learning-rate, similarity",
    )
    search.add_argument(
        "--max-folds",
        type=float,
        default=1e-3,
        help="share of the lung's voxels that may fold without a penalty (default: %(default)s)",
    )
    search.add_argument("--overwrite", action="store_true", help="begin a search there anew")
    search.add_argument("--cache", type=Path, help="prepared volumes (default: OUT/cache)")

    training = parser.add_argument_group("training of each trial")

    def setting(name, text, **kwargs):
        training.add_argument(name, help=text, default=argparse.SUPPRESS, **kwargs)

    setting("--preset", "of the network (default: general, from the pretrained model)")
    setting("--window", "auto (default), paper, or LOW HIGH intensities", nargs="+")
    setting("--similarity", "image term, unless it is searched (default: mse)")
    setting("--gamma", "weight of the folding term (default: the preset's)", type=float)
    setting("--epochs", "at most (default: the preset's)", type=int)
    setting("--steps", "batches an epoch (default: the preset's)", type=int)
    setting("--seed", "of weights, split, order and search (default: 0)", type=int)


def run(options: argparse.Namespace) -> None:
    """Searches and prints the best trial."""
    from tf_lungreg.training import fit_shape
    from tf_lungreg.tuning import TuningSettings, tune
    from tf_lungreg.tuning.results import best_row

    config = TuningSettings(
        fit_shape(make_settings(options).resolved()),
        options.tuner,
        options.trials,
        tuple(options.tune),
        options.max_folds,
    )
    try:
        rows = tune(config, options.out, options.cache, options.overwrite)
    except KeyboardInterrupt:
        print(f"\n{options.out}: the same command goes on with the trial that was interrupted")
        raise
    if not rows:  # a worker's
        return
    best = best_row(rows)
    values = ", ".join(f"{name} {best[name]}" for name in config.searched)
    print(f"best     trial {best['trial']}: {values}: Dice {100 * best['val_dice']:.2f} %")
    if best["status"] == "penalised":
        print(f"         every trial folds more than {100 * options.max_folds:g} % of the lung")
    print(f"trials   {options.out / 'trials.csv'}\nreport   {options.out / 'report.html'}")
