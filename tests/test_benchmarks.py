"""benchmarks/run.py on a tiny size: every section is measured, and parts are merged."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder with a pair, 5 mm apart: images in Hounsfield units, masks, landmarks."""
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=(24, 22, 26)), 1.5)
    lung = np.zeros(texture.shape, bool)
    lung[5:18, 5:17, 6:20] = True
    image = np.where(lung, -800 + 1000 * texture, 40).astype(np.float32)
    lines = ["name,fixed_x,fixed_y,fixed_z,moving_x,moving_y,moving_z"]
    for name, shift in (("fixed", 0), ("moving", 1)):
        affine = np.diag([5.0, 5.0, 5.0, 1.0])
        for end, data in (("", image), ("_mask", lung.astype(np.uint8))):
            moved = np.roll(data, shift, axis=0)
            nib.save(nib.Nifti1Image(moved, affine), folder / f"{name}{end}.nii.gz")
    for n, point in enumerate(([50, 50, 50], [40, 60, 70])):
        fixed, moving = point, [point[0] + 5, *point[1:]]
        lines.append(f"p{n}," + ",".join(map(str, [*fixed, *moving])))
    (folder / "landmarks.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def run(*words):
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=1200)


def test_a_section_alone(tmp_path):
    done = run("--quick", "--runs", 1, "--out", tmp_path, "--only", "warp")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "## Warp\n" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_section_and_their_merging(pair, tmp_path):
    quick = ("--quick", "--runs", 1, "--out", tmp_path)
    done = run(*quick, "--only", "warp,forward,training,serving")
    assert done.returncode == 0, done.stderr[-3000:]
    first = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    done = run(*quick, "--only", "registration", "--data", pair)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert set(results) == {"warp", "forward", "registration", "training", "serving"}
    assert {name: results[name] for name in first} == first
    methods = {row["method"]: row for row in results["registration"]["rows"]}
    assert {"pretrained", "pretrained, --refine 1"} < set(methods)
    assert methods["pretrained"]["tre"] < 4 and methods["pretrained"]["dice"] > 80
    assert [r["clients"] for r in results["serving"]["rows"] if "clients" in r] == [1, 2, 4, 8]
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for title in ("Warp", "Forward", "Registration", "Training", "Serving"):
        assert f"## {title}\n" in page
    assert str(pair.parent) not in page


@pytest.mark.slow
def test_a_training_step_with_gradient_checkpointing():
    script = [sys.executable, str(ROOT / "benchmarks" / "training.py")]
    size = ["--preset", "small", "--shape", "8", "16", "16", "--runs", "1", "--recompute"]
    done = subprocess.run([*script, *size], capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "gradient checkpointing" in done.stdout and "peak memory" in done.stdout


@pytest.mark.parametrize(
    "words, expected",
    [(("--only", "other"), "--only"), (("--only", "registration"), "--data")],
)
def test_mistakes_are_one_line(words, expected, tmp_path):
    done = run("--quick", "--out", tmp_path, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert expected in done.stderr.splitlines()[-1]  # TensorFlow may have its say before
