"""Measure methods on a cohort's validation patients: the paper's Tables 1 and 2, and Figure 2."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from tf_lungreg.cli.named_values import named_values
from tf_lungreg.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg evaluate``."""
    parser.add_argument("--cohort", required=True, help="folder with masks or landmarks")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument(
        "--methods",
        default="unregistered",
        metavar="NAME,NAME,...",
        help="rows of the tables: unregistered, syn, discrete-ncc, discrete-dwm, discrete-mi, "
        "discrete-all, and models (default: unregistered and all of --models)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="exported models; proposed, proposed-no-affine and linear-only are the paper's rows",
    )
    parser.add_argument(
        "--refine",
        nargs="+",
        default=[],
        metavar="NAME=STEPS",
        help="rows of --models whose answer is refined on each pair, as register --refine does",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the split into patients, as in the training"
    )
    parser.add_argument(
        "--combinations",
        metavar="all|N|0",
        help="pairs of all combinations of patients (default: all, and 13 for slow methods)",
    )
    parser.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        metavar=("D", "H", "W"),
        help="voxel size in mm at which the baselines register (default: the paper's, "
        "but no finer than the images')",
    )
    parser.add_argument(
        "--window", nargs="+", default=["auto"], help="auto (default), paper, or LOW HIGH"
    )
    parser.add_argument("--figure", metavar="PAIR", help="drawn: MOVING_to_FIXED (default: first)")
    parser.add_argument("--overwrite", action="store_true", help="begin anew")


def run(options: argparse.Namespace) -> None:
    """Evaluates and prints the tables."""
    models = named_values("--models", options.models)
    refined = named_values("--refine", options.refine, "STEPS")
    refine = {name: _steps(name, word) for name, word in refined.items()}
    combinations = _combinations(options.combinations)
    if options.spacing and min(options.spacing) <= 0:
        raise InputError(f"--spacing: three sizes in mm are needed, not {options.spacing}.")
    if options.seed < 0:
        raise InputError(f"--seed: 0 or more is needed, not {options.seed}.")
    from tf_lungreg.cli.window import parse_window
    from tf_lungreg.reproduction.evaluation import evaluate

    results = evaluate(
        options.cohort,
        [name.strip() for name in options.methods.split(",") if name.strip()],
        models,
        options.out,
        seed=options.seed,
        combinations=combinations,
        spacing=options.spacing,
        window=parse_window(options.window),
        refine=refine,
        figure=options.figure,
        overwrite=options.overwrite,
        command=command_line(options),
    )
    print("\n".join(summary_lines(results)))
    print(f"tables  {options.out / 'results.md'}")


def command_line(options: argparse.Namespace) -> str:
    """The command that gives the same results again, without ``--overwrite``."""
    words = ["tf-lungreg", "evaluate", "--cohort", options.cohort, "--methods", options.methods]
    for flag in ("models", "refine", "spacing"):
        values = getattr(options, flag)
        words += [f"--{flag}", *map(str, values)] if values else []
    for flag in ("combinations", "figure"):
        value = getattr(options, flag)
        words += [f"--{flag}", value] if value is not None else []
    words += ["--window", *options.window, "--seed", str(options.seed), "--out", str(options.out)]
    return shlex.join(words)


def summary_lines(results: dict[str, Any]) -> list[str]:
    """Dice or landmark error of each method, inhale–exhale, as text."""
    lines = []
    for method, row in results["table1"].items():
        parts = []
        found = row["inhale_exhale"]
        if "mean" in found:
            parts.append(f"Dice {found['mean']:.2f} %")
        if method in results["table2"]:
            parts.append(f"landmarks {results['table2'][method]['ds']:.2f} mm")
        if "folds_lung" in found:
            parts.append(f"folded in the lung {100 * found['folds_lung']['mean']:.4f} %")
        lines.append(f"{method:<20} {', '.join(parts)}")
    return lines


def _steps(name: str, word: str) -> int | str:
    if word == "auto":
        return word
    if not word.isdecimal():
        raise InputError(f"--refine: {name}: auto, or a whole number, is needed, not {word!r}.")
    return int(word)


def _combinations(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal():
        raise InputError(f"--combinations: all or a number of pairs is needed, not {text!r}.")
    return int(text)
