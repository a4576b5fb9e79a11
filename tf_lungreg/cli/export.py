"""Export a training's best epoch, or a model again, as the next version of a SavedModel."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg export``."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of a run that has ended")
    source.add_argument(
        "--model", type=Path, help="exported model: its weights in a graph of this version"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("saved_models") / "lungreg",
        help="the model's folder, where it takes the next version (default: %(default)s)",
    )
    parser.add_argument(
        "--max-voxels",
        type=int,
        metavar="N",
        help="voxels that a request to the model may have (default: as before, or 32 million)",
    )


def run(options: argparse.Namespace) -> None:
    """Exports and prints where the model is."""
    if options.run is not None:
        from tf_lungreg.training.run_export import export_run

        print(f"model    {export_run(options.run, options.out, options.max_voxels)}")
    else:
        from tf_lungreg.export.rebuilding import renew_model
        from tf_lungreg.files import check_folder

        check_folder(options.out)
        print(f"model    {renew_model(options.model, options.out, options.max_voxels)}")
