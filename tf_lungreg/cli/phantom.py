"""Write a synthetic cohort of breathing chests, in the format that everything else reads."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg phantom``."""
    parser.add_argument("--out", type=Path, required=True, help="the cohort's folder")
    parser.add_argument("--subjects", type=int, default=41, help="how many (default: 41)")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=(64, 192, 192),
        metavar=("D", "H", "W"),
        help="voxels of each image (default: 64 192 192)",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same files")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")


def run(options: argparse.Namespace) -> None:
    """Writes the cohort."""
    from tf_lungreg.phantom import write_phantom_cohort

    folder = write_phantom_cohort(
        options.out,
        subjects=options.subjects,
        shape=tuple(options.shape),
        seed=options.seed,
        overwrite=options.overwrite,
    )
    print(f"wrote {folder}")
