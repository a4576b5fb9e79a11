"""Apply a saved transform to an image, a label map, or landmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

from tf_lungreg.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg apply``."""
    parser.add_argument(
        "--transform", required=True, help="displacement.nii.gz of a registration, or its folder"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", help="image or labels of the moving space, to be warped")
    what.add_argument("--points", help="table name,x,y,z of fixed landmarks, to be mapped")
    parser.add_argument(
        "--inverse",
        action="store_true",
        help="the other way: an image of the fixed space, landmarks of the moving image",
    )
    parser.add_argument(
        "--reference", help="image on whose grid the result lies (default: the transform's grid)"
    )
    parser.add_argument(
        "--interpolation",
        choices=("linear", "nearest", "cubic"),
        default="linear",
        help="nearest for labels (default: linear)",
    )
    parser.add_argument(
        "--outside",
        type=float,
        metavar="VALUE",
        help="value of voxels that come from outside the image (default: 0 with nearest, "
        "otherwise the image's smallest value)",
    )
    parser.add_argument(
        "--coordinates",
        choices=("ras", "lps"),
        default="ras",
        help="of the points' tables, in mm (default: ras)",
    )
    parser.add_argument(
        "--nifti-frame",
        choices=("sform", "qform"),
        default="sform",
        help="place of NIfTI files whose sform and qform differ (default: sform)",
    )
    parser.add_argument("--out", required=True, type=Path, help="NIfTI image, or table of points")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")


def run(options: argparse.Namespace) -> None:
    """Applies the transform and writes the file."""
    from tf_lungreg.transforms.application import apply_to_image, apply_to_points

    if options.image and options.inverse and not options.reference:
        raise InputError("--inverse: the result's grid is needed, --reference IMAGE.")
    if options.image:
        apply_to_image(
            options.transform,
            options.image,
            options.out,
            reference=options.reference,
            interpolation=options.interpolation,
            inverse=options.inverse,
            overwrite=options.overwrite,
            outside=options.outside,
            nifti_frame=options.nifti_frame,
        )
    else:
        apply_to_points(
            options.transform,
            options.points,
            options.out,
            coordinates=options.coordinates,
            inverse=options.inverse,
            overwrite=options.overwrite,
        )
    print(f"wrote {options.out}")
