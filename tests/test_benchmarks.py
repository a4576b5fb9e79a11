"""benchmarks/run.py on a tiny size: every section is measured, and parts are merged."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark_module(monkeypatch):
    """Imports a module of the folder by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


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


@pytest.mark.long
def test_a_section_alone(tmp_path):
    done = run("--quick", "--runs", 1, "--out", tmp_path, "--only", "warp")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "## Warp\n" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_growth_alone(tmp_path):
    done = run("--quick", "--runs", 1, "--out", tmp_path, "--only", "growth")
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    rows = results["growth"]["rows"]
    assert [row["size"] for row in rows] == [16, 24]
    assert all(0 < row["seconds"] and 0 <= row["added"] < row["memory"] for row in rows)
    assert rows[0]["added"] < 0.1e9  # what the process held before is not the pass's
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "## Growth\n" in page and "(images/growth.png)" in page and "Left out" not in page
    assert (tmp_path / "images" / "growth.png").read_bytes().startswith(b"\x89PNG")


def grown(preset, sizes, seconds=1e-6, power=1.0):
    """Rows of a pass that costs ``seconds * voxels ** power``, and 1 kB a voxel."""
    return [
        {
            "preset": preset,
            "size": size,
            "seconds": seconds * size ** (3 * power),
            "memory": int(5e8 + 1e3 * size**3),
            "added": int(1e3 * size**3),
        }
        for size in sizes
    ]


def test_a_power_law_is_found_in_the_largest_sizes(benchmark_module):
    growth = benchmark_module("growth")
    rows = grown("fast", (32, 48, 64, 96, 128, 192), seconds=2e-7, power=1.25)
    rows[0]["seconds"] = rows[1]["seconds"] = 1.0  # what any pass takes
    np.testing.assert_allclose(growth.power_law(rows, "seconds"), (2e-7, 1.25), rtol=1e-6)
    np.testing.assert_allclose(growth.power_law(rows, "added"), (1e3, 1.0), rtol=1e-6)
    assert growth.power_law(rows[:1], "seconds") is None


def test_what_takes_too_much_is_left_out_and_the_page_says_why(benchmark_module, monkeypatch):
    growth, page = benchmark_module("growth"), benchmark_module("page")
    monkeypatch.setattr(growth.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 10**6))
    made = {"fast": 1e-6, "paper": 1e-4}

    def in_its_own_process(preset, size, runs, limit):
        return grown(preset, [size], made[preset])[0], None

    monkeypatch.setattr(growth, "_in_its_own_process", in_its_own_process)
    rows = growth.measure(("fast", "paper"), (32, 64, 128, 192), runs=5, limit=1200)
    assert [row["size"] for row in growth.measured(rows)["fast"]] == [32, 64, 128]  # 4.1 GB
    assert [row["size"] for row in growth.measured(rows)["paper"]] == [32, 64]
    text = page.make_page({"growth": {**SECTION, "rows": rows}})
    assert "fast at 192³ (about 8 GB are needed, the machine has 4)" in text
    assert "paper at 128³, 192³ (about 21 minutes are needed, 20 allowed)" in text
    assert "| fast | voxels^1.00 | voxels^1.00 |" in text


def test_a_process_that_ends_early_is_left_out(benchmark_module):
    growth = benchmark_module("growth")
    (row,) = growth.measure(("no such preset",), (16, 24), runs=1)
    assert row["sizes"] == [16, 24] and "ended with status 1" in row["left_out"]
    assert growth.measured([row]) == {}


def test_the_convolutions_operations_are_counted(benchmark_module):
    from tf_lungreg.models import build_registration_model

    model = build_registration_model("paper")
    kernels = [w for w in model.trainable_weights if len(w.shape) == 5]
    plain = 2 * sum(np.prod(w.shape) for w in kernels) * 2 * 24**3  # all at the full resolution
    counted = benchmark_module("forward").convolution_operations(model, (2, 24, 24, 24))
    assert plain <= counted < 1.03 * plain


SECTION = {
    "runs": 5,
    "command": "python benchmarks/run.py",
    "date": "2026-01-01",
    "machine": {"cores": 2, "processor": "a processor"},
    "software": {"Python": "3"},
}


@pytest.mark.slow
def test_every_section_and_their_merging(pair, tmp_path):
    quick = ("--quick", "--runs", 1, "--out", tmp_path)
    done = run(*quick, "--only", "warp,forward,growth,training,serving")
    assert done.returncode == 0, done.stderr[-3000:]
    first = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    done = run(*quick, "--only", "registration", "--data", pair)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert set(results) == {"warp", "forward", "growth", "registration", "training", "serving"}
    assert {name: results[name] for name in first} == first
    methods = {row["method"]: row for row in results["registration"]["rows"]}
    assert {"pretrained", "pretrained, --refine 1"} < set(methods)
    assert methods["pretrained"]["tre"] < 4 and methods["pretrained"]["dice"] > 80
    assert [r["clients"] for r in results["serving"]["rows"] if "clients" in r] == [1, 2, 4, 8]
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for title in ("Warp", "Forward", "Growth", "Registration", "Training", "Serving"):
        assert f"## {title}\n" in page
    assert str(pair.parent) not in page


def test_the_known_deformation_makes_one_image_of_the_other(pair, tmp_path):
    script = str(ROOT / "benchmarks" / "known_deformation.py")
    words = ["--data", str(pair), "--role", "fixed", "--noise", "0", "--amount", "0.7"]
    command = [sys.executable, script, *words, "--out", str(tmp_path / "known")]
    subprocess.run(command, check=True, timeout=600)
    images = [nib.load(tmp_path / "known" / f"{n}.nii.gz") for n in ("baseline", "followup")]
    table = np.genfromtxt(tmp_path / "known" / "landmarks.csv", delimiter=",", skip_header=1)
    points = table[:, 1:4], table[:, 4:]
    assert np.linalg.norm(points[1] - points[0], axis=1).max() > 5
    values = [
        ndimage.map_coordinates(
            image.get_fdata(),
            (np.linalg.inv(image.affine) @ np.c_[place, np.ones(len(place))].T)[:3],
            order=3,
        )
        for image, place in zip([*images, images[1]], [*points, 2 * points[0] - points[1]])
    ]
    there, elsewhere = (np.median(np.abs(values[0] - other)) for other in values[1:])
    assert there < 0.25 * elsewhere, (there, elsewhere)
    again = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600)
    assert again.returncode == 2 and "Traceback" not in again.stderr


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
