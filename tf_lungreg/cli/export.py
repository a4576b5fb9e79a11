"""Export a training's best epoch as the next version of a SavedModel for TensorFlow Serving."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg export``."""
    parser.add_argument("--run", required=True, type=Path, help="folder of a run that has ended")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("saved_models") / "lungreg",
        help="the model's folder, where it takes the next version (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Exports and prints where the model is."""
    from tf_lungreg.training.exporting import export_run

    print(f"model    {export_run(options.run, options.out)}")
