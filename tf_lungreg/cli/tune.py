"""Search for the weights of the loss by the Dice of validation, with Keras Tuner."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tf_lungreg.cli.flags import add_flags, given_settings
from tf_lungreg.cli.train import make_settings
from tf_lungreg.setting import settings_in
from tf_lungreg.training.settings import TrainingSettings
from tf_lungreg.tuning.settings import TuningSettings

# What the trials share. The rest is searched, or is what the model to start from says.
_SHARED = ("preset", "window", "similarity", "gamma", "epochs", "steps", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg tune``; settings of a training not given are left out."""
    search = parser.add_argument_group("search")
    training = settings_in(TrainingSettings)
    cohort = replace(training["cohort"], help="folder of the cohort, with lung masks")
    settings = {"cohort": cohort.under("search"), **settings_in(TuningSettings)}
    for name in _SHARED:
        settings[name] = training[name].under("training of each trial")
    add_flags(parser, settings, {"search": search})
    search.add_argument("--out", type=Path, required=True, help="folder of trials and results")
    search.add_argument("--overwrite", action="store_true", help="replace a search in that folder")
    search.add_argument("--cache", type=Path, help="prepared volumes (default: OUT/cache)")


def run(options: argparse.Namespace) -> None:
    """Searches and prints the best trial."""
    from tf_lungreg.training import fit_shape
    from tf_lungreg.tuning import tune
    from tf_lungreg.tuning.results import best_row

    training = fit_shape(make_settings(options).resolved())
    config = TuningSettings(training, **given_settings(TuningSettings, options))
    try:
        rows = tune(config, options.out, options.cache, options.overwrite)
    except KeyboardInterrupt:
        print(f"\n{options.out}: the same command goes on with the trial that was interrupted")
        raise
    if not rows:  # a worker's
        return
    best = best_row(rows)
    assert best is not None  # tune raises an error where no trial ended well
    values = ", ".join(f"{name} {best[name]}" for name in config.searched)
    print(f"best     trial {best['trial']}: {values}: Dice {100 * best['val_dice']:.2f} %")
    if best["status"] == "penalised":
        print(f"         every trial folds more than {100 * config.max_folds:g} % of the lung")
    print(f"trials   {options.out / 'trials.csv'}\nreport   {options.out / 'report.html'}")
