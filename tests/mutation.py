"""Whether the tests would notice: small errors put into geometry and `ops`, one at a time.

cosmic-ray makes the errors in a copy of the tree and runs the module's own tests on each; of the
many a random sample is taken. Errors that change nothing are left out: other operators on bits,
which numbers do not have, and `is` for `==`. Fails if fewer than 85 % of a group are caught.

    python tests/mutation.py --sample 150 --seed 0
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[1]
GROUPS = {
    "geometry": {
        "images/geometry": ("images/test_geometry.py", "images/test_geometry_properties.py"),
        "images/network_frame": ("images/test_geometry.py",),
    },
    "ops": {
        f"ops/{name}": (f"ops/test_{name}.py",)
        for name in ("correlation", "grids", "integration", "jacobian", "resampling", "warping")
    },
}
LEAST = 0.85
# Patterns of cosmic-ray's names of operators.
MEANINGLESS = (
    r"core/ReplaceBinaryOperator_BitOr_.*",  # of the annotations, X | None
    r"core/ReplaceBinaryOperator_\w+_(?:BitOr|BitAnd|BitXor|LShift|RShift)",
    r"core/ReplaceComparisonOperator_\w+_(?:Is|IsNot)",
    r"core/ReplaceUnaryOperator_\w+_Invert",
)
CONFIG = """[cosmic-ray]
module-path = "tf_lungreg/{module}.py"
timeout = 180.0
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = {excluded}
"""


def prepare(module: str, tests: tuple[str, ...], folder: Path) -> Path:
    """A copy of the tree with cosmic-ray's list of a module's errors, `session.sqlite`."""
    for name in ("tf_lungreg", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, folder / name)
    excluded = "[" + ", ".join(f"'{pattern}'" for pattern in MEANINGLESS) + "]"
    files = " ".join(f"tests/{name}" for name in tests)
    values = {"module": module, "python": sys.executable, "tests": files, "excluded": excluded}
    (folder / "config.toml").write_text(CONFIG.format(**values), encoding="utf-8")
    call(folder, "cosmic_ray.cli", "init", "config.toml", "session.sqlite")
    filters = "cosmic_ray.tools.filters.operators_filter"
    call(folder, filters, "session.sqlite", "config.toml")
    return folder / "session.sqlite"


def call(folder: Path, module: str, *words: str) -> None:
    """A program of cosmic-ray, in the copy."""
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    command = [sys.executable, "-m", module, *words]
    subprocess.run(command, check=True, cwd=folder, env={**environment, "PATH": "/usr/bin:/bin"})


def drop(session: Path, share: float, rng: random.Random) -> None:
    """Leaves a random share of the errors in a session."""
    skipped = WorkResult(output="not in the sample", worker_outcome=WorkerOutcome.SKIPPED)
    with use_db(session, WorkDB.Mode.open) as work:
        for item in sorted(work.pending_work_items, key=lambda item: str(item.mutations)):
            if rng.random() >= share:
                work.set_result(item.job_id, skipped)


def count(session: Path) -> int:
    """Errors that are still to be tried."""
    with use_db(session, WorkDB.Mode.open) as work:
        return sum(1 for _ in work.pending_work_items)


def outcome(session: Path) -> tuple[int, list[str]]:
    """How many were tried, and the diffs of those that no test noticed."""
    tried, survived = 0, []
    with use_db(session, WorkDB.Mode.open) as work:
        for _, result in work.completed_work_items:
            if result.worker_outcome == WorkerOutcome.SKIPPED:
                continue
            tried += 1
            if result.test_outcome == TestOutcome.SURVIVED:
                lines = (result.diff or "").splitlines()
                survived.append("\n".join(line for line in lines if line[:1] in "+-@"))
    return tried, survived


def main() -> int:
    """Samples, tries, prints; 1 if too many went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sample", type=int, default=150, help="errors in each group (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (%(default)s)")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    options = parser.parse_args()
    rng, failed = random.Random(options.seed), False
    for group in options.groups:
        with tempfile.TemporaryDirectory() as folder:
            sessions = {}
            for module, tests in GROUPS[group].items():
                copy = Path(folder, module.replace("/", "_"))
                copy.mkdir()
                sessions[module] = prepare(module, tests, copy)
            possible = sum(map(count, sessions.values()))
            tried, survived = 0, []
            for module, session in sessions.items():
                drop(session, options.sample / possible, rng)
                print(f"{module}: {count(session)} errors", flush=True)
                call(session.parent, "cosmic_ray.cli", "exec", "config.toml", session.name)
                number, unnoticed = outcome(session)
                tried, survived = tried + number, survived + unnoticed
        caught = tried - len(survived)
        print("\n\n".join(["unnoticed:", *survived]))
        print(f"{group}: {caught} of {tried} caught, {100 * caught / tried:.1f} %", flush=True)
        failed |= caught < LEAST * tried
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
