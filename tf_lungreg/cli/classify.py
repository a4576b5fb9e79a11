"""Tell ill from healthy lungs by the deformation from inhale to exhale: the paper's Table 3."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.cli.flags import add_flags, flag_words, given_settings
from tf_lungreg.errors import InputError
from tf_lungreg.setting import settings_in

_DISCLAIMER = "A research tool: this is not a diagnosis."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg classify train``, ``predict`` and ``evaluate``."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, add, text in (
        ("train", _add_train, "train five classifiers on a cohort's deformations, as one model"),
        ("predict", _add_predict, "classify one patient, or everyone in a cohort"),
        ("evaluate", _add_evaluate, "the rows of Table 3: train and test with several methods"),
    ):
        add(verbs.add_parser(name, help=text, description=text))


def run(options: argparse.Namespace) -> None:
    """Does what the action says."""
    {"train": _train, "predict": _predict, "evaluate": _evaluate}[options.action](options)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cohort", required=True, help="folder with diagnoses and masks")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", help="that registers (default: as tf-lungreg register finds one)")
    what.add_argument("--method", help="in place of a model: a baseline, or truth")
    parser.add_argument(
        "--out", required=True, type=Path, help="the classifier's folder; it takes the next version"
    )
    _add_training(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cohort", required=True, help="folder with diagnoses and masks")
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="NAME=PATH", help="models that register"
    )
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAME,NAME,...",
        help="further rows: baselines as in tf-lungreg evaluate, and truth, the cohort's own "
        "displacements",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    _add_training(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deformations", type=Path, help="where deformations are kept (default: in --out)"
    )
    parser.add_argument(
        "--window", nargs="+", default=["auto"], help="auto (default), paper, or LOW HIGH"
    )
    parser.add_argument(
        "--unit",
        choices=("mm", "lung", "breath"),
        default="mm",
        help="of displacements: mm (default), lung sizes, or the patient's own depth of breath",
    )
    add_flags(parser, settings_in(ClassifierSettings))


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="the classifier's folder")
    parser.add_argument("--displacement", help="displacement.nii.gz of a registration")
    parser.add_argument("--fixed", help="in place of it: the image in inhale")
    parser.add_argument("--moving", help="and the one in exhale")
    parser.add_argument("--fixed-mask", help="lung mask of the fixed image")
    parser.add_argument("--cohort", help="in place of both: folder of many patients' images")
    parser.add_argument(
        "--registration-model",
        help="that registers the images (default: as tf-lungreg register finds one)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for a map of the regions that drove the answer, and a page; of a cohort, for "
        "the table predictions.csv",
    )
    parser.add_argument(
        "--deformations",
        type=Path,
        help="where a cohort's deformations are kept (default: nowhere)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _train(options: argparse.Namespace) -> None:
    settings = ClassifierSettings(**given_settings(ClassifierSettings, options))
    from tf_lungreg.classification.deformations import TRUTH
    from tf_lungreg.classification.table_3 import train
    from tf_lungreg.inference.default_model import default_model
    from tf_lungreg.reproduction.baselines import BASELINES

    if options.method:
        known = (*BASELINES, TRUTH)
        if options.method not in known:
            raise InputError(
                f"--method: one of {', '.join(known)} is needed, not {options.method!r}; a model "
                "is named by --model."
            )
    models = {} if options.method else {"proposed": options.model or default_model()}
    version, results = train(
        options.cohort,
        options.method or "proposed",
        models,
        options.out,
        settings,
        **_common(options, settings),
    )
    print(_summary("training, cross-validated", results["cross_validation"]))
    print(_summary("test", results["test"]))
    print(f"classifier  {version}\n{_DISCLAIMER}")


def _evaluate(options: argparse.Namespace) -> None:
    settings = ClassifierSettings(**given_settings(ClassifierSettings, options))
    from tf_lungreg.classification.table_3 import evaluate
    from tf_lungreg.cli.named_values import named_values

    results = evaluate(
        options.cohort,
        [name.strip() for name in options.methods.split(",") if name.strip()],
        named_values("--models", options.models),
        options.out,
        settings,
        overwrite=options.overwrite,
        **_common(options, settings),
    )
    for name, row in results["table3"].items():
        print(_summary(name, row["test"]))
    print(f"table  {options.out / 'results.md'}\n{_DISCLAIMER}")


def _predict(options: argparse.Namespace) -> None:
    images = options.fixed, options.moving
    ways = [options.displacement, any(images), options.cohort]
    if sum(map(bool, ways)) != 1 or any(images) != all(images):
        raise InputError(
            "exactly one of --displacement, --fixed with --moving, and --cohort is needed."
        )
    if options.cohort:
        _predict_cohort(options)
        return
    if options.deformations:
        raise InputError("--deformations: goes with --cohort only.")
    from tf_lungreg.classification.prediction import predict

    found = predict(
        options.model,
        options.displacement,
        *images,
        options.fixed_mask,
        options.registration_model,
        options.out,
        options.overwrite,
    )
    if options.json:
        print(json.dumps({**found, "note": _DISCLAIMER}, indent=2))
        return
    responses = ", ".join(f"{value:.2f}" for value in found["responses"])
    print(f"probability of disease  {found['probability']:.3f} ({found['called']})")
    print(f"single networks  {responses}")
    if options.out:
        print(f"map  {options.out / 'occlusion.nii.gz'}, report  {options.out / 'report.html'}")
    print(_DISCLAIMER)


def _predict_cohort(options: argparse.Namespace) -> None:
    if options.fixed_mask:
        raise InputError("--fixed-mask: the cohort's images.tsv names the masks.")
    from tf_lungreg.classification.patients import PREDICTIONS
    from tf_lungreg.classification.prediction import predict_cohort

    rows = predict_cohort(
        options.model,
        options.cohort,
        options.registration_model,
        options.out,
        options.deformations,
        options.overwrite,
    )
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        seen = ", seen in training" if row["part"] == "train" else ""
        print(f"{row['participant']}  {row['probability']:.3f} ({row['called']}{seen})")
    if options.out:
        print(f"table  {options.out / PREDICTIONS}")
    print(_DISCLAIMER)


def _common(options: argparse.Namespace, settings: ClassifierSettings) -> dict[str, Any]:
    """What train and evaluate have in common besides the settings."""
    from tf_lungreg.cli.window import parse_window

    return {
        "unit": options.unit,
        "window": parse_window(options.window),
        "deformations": options.deformations,
        "command": _command_line(options, settings),
    }


def _command_line(options: argparse.Namespace, settings: ClassifierSettings) -> str:
    """The command that gives the same results again."""
    words = ["tf-lungreg", "classify", options.action]
    left_out = {"verb", "action", "overwrite", *settings_in(ClassifierSettings)}
    for name, value in vars(options).items():
        if name in left_out or value is False or value in (None, "", []):
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join(words + flag_words(settings))


def _summary(name: str, found: dict[str, Any]) -> str:
    accuracy = found["accuracy"]
    area = "" if found["auc"] is None else f", AUC {found['auc']:.2f}"
    return (
        f"{name:<26} accuracy {accuracy['value']:.2f} % ({accuracy['count']} of {accuracy['of']}, "
        f"95 % CI {accuracy['low']:.1f} to {accuracy['high']:.1f}){area}"
    )
