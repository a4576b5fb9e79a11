r"""All benchmarks in one command; writes docs/benchmarks.md and docs/benchmarks.json.

What is measured takes the place of the same section of an earlier run; the others stay.

    python benchmarks/run.py --data PAIR_FOLDER --only warp,registration
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from page import GROWTH_FIGURE, SECTIONS, make_page

from tf_lungreg.errors import USER_ERRORS, InputError
from tf_lungreg.files import replacing, write_json, write_text

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("tensorflow", "numpy", "scipy", "SimpleITK", "antspyx", "itk-elastix", "picsl-greedy"),
)
FULL, TINY = (64, 192, 192), (8, 16, 16)
SOAK = (16, 24, 24)


def measure_warp(options: argparse.Namespace) -> list[dict]:
    """Sampling beside other ways to do it."""
    import warping

    shape = TINY if options.quick else FULL
    return [{**row, "shape": list(shape)} for row in warping.measure(shape, options.runs)]


def measure_forward(options: argparse.Namespace) -> list[dict]:
    """The forward pass of each preset at its own size."""
    import forward

    from tf_lungreg.models.presets import PRESETS

    if options.quick:
        return [forward.measure("small", TINY, options.runs)]
    return [forward.measure(preset, None, options.runs) for preset in PRESETS]


def measure_growth(options: argparse.Namespace) -> list[dict]:
    """How the forward pass grows with the volume; draws the figure as well."""
    import growth

    if options.quick:
        rows = growth.measure(("small",), (16, 24), options.runs)
    else:
        rows = growth.measure(runs=options.runs)
    with replacing(options.out / GROWTH_FIGURE) as temporary:
        growth.growth_figure(rows).savefig(temporary, dpi=90)
    return rows


def measure_registration(options: argparse.Namespace) -> list[dict]:
    """A whole registration beside other software."""
    import registration

    if options.data is None:
        raise InputError("--data: the folder of a pair is needed for the section registration.")
    with tempfile.TemporaryDirectory() as work:
        rows = registration.measure(
            options.data,
            Path(work),
            options.runs,
            options.fast_model,
            refine=(1,) if options.quick else (80, 160),
            others=not options.quick,
        )
    return [{**row, "other": row["method"] in registration.OTHERS} for row in rows]


def measure_training(options: argparse.Namespace) -> list[dict]:
    """A training step of the presets that a processor can train."""
    import training

    if options.quick:
        return [training.measure("small", TINY, 1, runs=options.runs)]
    return [training.measure(preset, runs=options.runs) for preset in ("small", "fast", "general")]


def measure_serving(options: argparse.Namespace) -> list[dict]:
    """Load with untrained models, and endurance with a small one."""
    import serving
    from tf_lungreg.export import export_model
    from tf_lungreg.models import build_registration_model

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for preset in ("small",) if options.quick else ("general", "fast", "paper"):
            base, settings = Path(folder, preset), {"settings": {"preset": preset}}
            model = export_model(build_registration_model(preset), base, settings)
            # Several clients wait for each other: minutes with passes of many seconds.
            clients = (1,) if preset == "paper" else serving.CLIENTS
            shape = TINY if options.quick else FULL
            loads = serving.measure_load(model, shape, options.runs, clients)
            rows += [{**row, "name": preset, "shape": list(shape)} for row in loads]
        model = export_model(build_registration_model("small"), Path(folder, "soak"), {})
        return rows + serving.soak(model, SOAK, 20 if options.quick else 200)


MEASURES = {
    "warp": measure_warp,
    "forward": measure_forward,
    "growth": measure_growth,
    "registration": measure_registration,
    "training": measure_training,
    "serving": measure_serving,
}


def machine() -> dict:
    """Cores and processor."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return {"cores": os.cpu_count(), "processor": name}


def versions() -> dict[str, str]:
    """Versions of the packages that take part, as far as they are installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run(options: argparse.Namespace) -> None:
    """Measures one section after the other and writes what there is after each."""
    chosen = options.only.split(",") if options.only else list(MEASURES)
    if options.only is None and options.data is None:
        chosen.remove("registration")
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown:
        raise InputError(f"--only: some of {', '.join(MEASURES)} are needed, not {unknown[0]!r}.")
    if options.runs < 1:
        raise InputError(f"--runs: 1 or more is needed, not {options.runs}.")
    results = {}
    file = options.out / "benchmarks.json"
    if file.is_file():
        results = json.loads(file.read_text(encoding="utf-8"))
    for name in chosen:
        print(name, flush=True)
        results[name] = {
            "rows": MEASURES[name](options),
            "runs": options.runs,
            "command": _command(options, name),
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "software": versions(),
        }
        results = {key: results[key] for key in SECTIONS if key in results}
        write_json(file, results)
        write_text(options.out / "benchmarks.md", make_page(results))
    print(options.out / "benchmarks.md")


def _command(options, name):
    """What measures this section again; of a folder its name only."""
    words = ["python benchmarks/run.py", f"--only {name}", f"--runs {options.runs}"]
    if options.quick:
        words.append("--quick")
    if name == "registration":
        words.append(f"--data {Path(options.data).resolve().name}")
        if options.fast_model is not None:
            words.append(f"--fast-model {Path(options.fast_model).name}")
    return " ".join(words)


def main() -> None:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of a pair; see registration.py")
    parser.add_argument("--only", help=f"some of {','.join(MEASURES)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="that are counted (%(default)s)")
    parser.add_argument("--fast-model", type=Path, help="exported model of the preset fast")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the page")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    options = parser.parse_args()
    try:
        run(options)
    except USER_ERRORS as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
