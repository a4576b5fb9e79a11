"""Register the moving image of one pair, or of many pairs, to the fixed image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tf_lungreg.cli.flags import add_flags, given_settings
from tf_lungreg.cli.window import split_window
from tf_lungreg.errors import InputError
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import settings_in

if TYPE_CHECKING:  # so that --help is fast
    from tf_lungreg.quality.measures import Measures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg register``."""
    parser.add_argument("images", nargs="*", metavar="FIXED MOVING", help="the two images")
    parser.add_argument("--fixed", help="the image on whose grid the result lies (inhale)")
    parser.add_argument("--moving", help="the image that is deformed (exhale)")
    parser.add_argument(
        "--out", type=Path, help="folder of the results (default: MOVING_to_FIXED, or registered)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument(
        "--model",
        help="exported model (default: see docs/registration.md); none: --refine alone",
    )
    server = parser.add_argument_group("network on a server (tf-lungreg serve, TensorFlow Serving)")
    server.add_argument("--server", metavar="HOST:PORT", help="in place of --model")
    server.add_argument("--model-name", help="on the server (default: lungreg)")
    server.add_argument("--model-version", metavar="N|LABEL", help="(default: the newest)")
    server.add_argument("--tls", metavar="PEM", help="encrypted; who signed the certificate")
    measure = parser.add_argument_group("measuring")
    measure.add_argument("--fixed-mask", help="lung mask, for Dice and folding")
    measure.add_argument("--moving-mask", help="lung mask, for Dice")
    measure.add_argument(
        "--landmarks",
        nargs=2,
        metavar=("FIXED.csv", "MOVING.csv"),
        help="name,x,y,z in mm, or .fcsv and .mrk.json of 3D Slicer",
    )
    add_flags(parser, settings_in(RegistrationSettings), {"measuring": measure}, {"mask": _auto})
    parser.add_argument(
        "--itk-transform", action="store_true", help="also write transform.h5, for 3D Slicer"
    )
    many = parser.add_argument_group("many pairs")
    many.add_argument(
        "--pairs", type=Path, help="table, fixed,moving[,...], in place of the images"
    )
    many.add_argument("--jobs", type=int, default=1, help="pairs at a time (default: 1)")


def _auto(word: str) -> str:
    """The one value of ``--mask``."""
    if word != "auto":
        raise argparse.ArgumentTypeError(
            f"auto is needed, not {word!r}; --fixed-mask and --moving-mask take files"
        )
    return word


def run(options: argparse.Namespace) -> None:
    """Registers and prints what came out."""
    if options.pairs is not None:
        _run_pairs(options)
    else:
        _run_one(options)


def _run_one(options: argparse.Namespace) -> None:
    if isinstance(getattr(options, "window", None), list):  # a configuration file gives no words
        options.window, images = split_window(options.window)
        options.images = options.images + images
    settings = _settings(options)
    fixed, moving = _images(options)
    from tf_lungreg.files import check_new_folder, check_no_input
    from tf_lungreg.images.opening import stem
    from tf_lungreg.reporting.result_folder import FILES, save_result

    out = options.out or Path(f"{stem(moving)}_to_{stem(fixed)}")
    check_new_folder(out, options.overwrite, FILES)
    masks = options.fixed_mask, options.moving_mask
    check_no_input(out, fixed, moving, *masks, *(options.landmarks or ()))
    from tf_lungreg.registration.pipeline import register

    result = register(
        fixed,
        moving,
        _model(options, settings),
        fixed_mask=options.fixed_mask,
        moving_mask=options.moving_mask,
        landmarks=options.landmarks or (None, None),
        settings=settings,
    )
    save_result(
        result,
        out,
        report=True,
        itk_transform=options.itk_transform,
        overwrite=options.overwrite,
    )
    print("\n".join(summary_lines(result.measures)))
    print(f"{result.quality}\nresults {out}\nreport  {out / 'report.html'}")


def _run_pairs(options: argparse.Namespace) -> None:
    if options.images:
        raise InputError(
            f"--pairs: the images belong in the table, {options.pairs}, not {options.images[0]} on "
            "the command line."
        )
    for name in ("fixed", "moving", "fixed_mask", "moving_mask", "landmarks"):
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"--pairs: {flag} belongs in the table, {options.pairs}.")
    from tf_lungreg.files import check_no_input
    from tf_lungreg.many_pairs.registering import read_pairs, register_pairs
    from tf_lungreg.many_pairs.summary import SUMMARY

    settings = _settings(options)
    pairs = read_pairs(options.pairs)
    out = options.out or Path("registered")
    check_no_input(out / SUMMARY, options.pairs)
    failed = register_pairs(
        pairs,
        out,
        model=_model(options, settings),
        jobs=options.jobs,
        overwrite=options.overwrite,
        itk_transform=options.itk_transform,
        settings=settings,
    )
    if failed:
        raise InputError(
            f"{options.pairs}: {len(failed)} of {len(pairs)} pairs could not be registered "
            f"({', '.join(failed)}); the summary has the reasons."
        )


def _images(options: argparse.Namespace) -> tuple[str, str]:
    named = [name for name in (options.fixed, options.moving) if name is not None]
    images = options.images + named
    if len(images) != 2 or len(named) == 1:
        raise InputError(
            "two images are needed, FIXED MOVING or --fixed FIXED --moving MOVING, or --pairs; "
            f"found {len(images)}."
        )
    return images[0], images[1]


def _model(options: argparse.Namespace, settings: RegistrationSettings):
    """What ``--model`` names, or the model on the server."""
    if options.server is None:
        for name in ("model_name", "model_version", "tls"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name.replace('_', '-')}: belongs to --server.")
        return options.model
    if options.model is not None:
        raise InputError("--model and --server: one of the two is needed.")
    if settings.memory is not None:
        raise InputError("--memory: the network on a server runs in the server's.")
    from tf_lungreg.serving.client import NEEDED, RemoteModel
    from tf_lungreg.serving.wire import NAME

    version: str | None = options.model_version
    return RemoteModel(
        options.server,
        NAME if options.model_name is None else options.model_name,
        int(version) if version is not None and version.isdecimal() else version,
        options.tls,
        outputs=NEEDED,
    )


def _settings(options: argparse.Namespace) -> RegistrationSettings:
    return RegistrationSettings(**given_settings(RegistrationSettings, options))


def summary_lines(measures: Measures) -> list[str]:
    """Dice and landmark error, where there are any, as text.

    Args:
        measures: of a registration.
    """
    lines = []
    values = measures.given()
    for name, title, form in (("dice", "Dice", "{:.3f}"), ("tre", "TRE", "{:.2f} mm")):
        if f"{name}_after" in values:
            world, before, after = (
                form.format(values[f"{name}_{stage}"]) for stage in ("world", "before", "after")
            )
            lines.append(
                f"{title:<7} {after}; {before} with the centres aligned, {world} as the files lie"
            )
    return lines
