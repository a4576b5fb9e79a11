"""Train a model for images it never saw, on randomised synthetic pairs alone."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg pretrain``."""
    parser.add_argument(
        "--coarse-steps",
        type=int,
        default=6000,
        help="pairs for the part that compares features (default: %(default)s)",
    )
    parser.add_argument(
        "--fine-steps",
        type=int,
        default=12000,
        help="crops for the finer levels (default: %(default)s)",
    )
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="default: %(default)s")
    parser.add_argument("--bodies", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--init-from", help="exported model whose weights to start with")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="folder of logs, cache and the state from which the same command resumes",
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=Path("saved_models") / "pretrained",
        help="where the exported model takes the next version (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Trains and prints where the model is."""
    from tf_lungreg.files import check_folder
    from tf_lungreg.pretraining.recipe import PretrainingConfig, pretrain

    names = ("coarse_steps", "fine_steps", "learning_rate", "bodies", "seed", "init_from")
    config = PretrainingConfig(**{name: getattr(options, name) for name in names})
    config.check()
    check_folder(options.models)
    folder = options.runs / f"pretraining-{config.seed}"
    model = pretrain(config, options.models, options.runs / "cache", folder)
    print(f"logs     {folder}\nmodel    {model}")
