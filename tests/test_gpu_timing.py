"""The forward pass as StableHLO, and its timing by JAX alone: gpu_export.py and gpu_time.py.

On the processor, which multiplies in float32 whatever a tensorfloat32 export allows.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed; it is needed for these two only")

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHAPE = (16, 24, 32)


@pytest.fixture(scope="module")
def gpu_export():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import gpu_export

        yield gpu_export


@pytest.fixture(scope="module")
def exported(gpu_export, tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu") / "exported"
    weights = gpu_export.draw_weights({"preset": "small"})
    gpu_export.export(out, {"preset": "small"}, weights, SHAPE)
    return out


def read(exported, precision):
    return jax.export.deserialize(bytearray((exported / f"{precision}.stablehlo").read_bytes()))


def test_the_grid_is_that_of_keras(gpu_export, exported):
    weights = gpu_export.draw_weights({"preset": "small"})
    model = gpu_export.build_model({"preset": "small"}, weights, "float32")
    with np.load(exported / "pair.npz") as pair:
        pair = dict(pair)
    expected = model(pair, training=False)
    identity = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    assert np.abs(expected["grid"] - identity).max() > 0.1  # something moves
    warped, grid = read(exported, "float32").call(pair["moving"], pair["fixed"])
    np.testing.assert_allclose(grid, expected["grid"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(warped, expected["warped"], rtol=0, atol=1e-4)


def test_the_precision_is_part_of_the_file(exported):
    found = {}
    for precision in ("float32", "tensorfloat32", "bfloat16"):
        module = read(exported, precision)
        assert set(module.platforms) == {"cpu", "cuda"}
        # JAX's own setting comes too late.
        with jax.default_matmul_precision("float32"):
            text = jax.jit(module.call).lower(*module.in_avals).as_text()
        lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        highest = ["HIGHEST" in line for line in lines]
        short = [line.rstrip().endswith("xbf16>") for line in lines]
        found[precision] = all(highest), any(highest), any(short)
    assert found == {
        "float32": (True, True, False),
        "tensorfloat32": (False, False, False),
        "bfloat16": (False, False, True),
    }


def test_timing_needs_no_tensorflow(exported):
    code = "import sys, json, gpu_time; r = gpu_time.measure(sys.argv[1], 2, [1, 2, 4]); "
    code += "assert 'tensorflow' not in sys.modules; print(gpu_time.table(r)); print(json.dumps(r))"
    words = [sys.executable, "-c", code, str(exported)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    exact, tensor, mixed = results["rows"]
    assert exact["largest"] == 0 and tensor["largest"] < 1e-4
    assert 0 < mixed["mean"] < mixed["largest"] < 0.5
    for row, peak in zip(results["rows"], (1e12, 2e12, 4e12)):
        assert row["rate"] == pytest.approx(results["operations"] / row["seconds"])
        assert row["share"] == pytest.approx(row["rate"] / peak)
    assert "| small | bfloat16 |" in done.stdout


def test_the_peak_of_a_card():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import gpu_time
    assert gpu_time.peak_of("NVIDIA H100 80GB HBM3", "tensorfloat32") == 494.7e12
    assert gpu_time.peak_of("NVIDIA A100-SXM4-40GB", "bfloat16") == 312e12
    assert gpu_time.peak_of("cpu", "float32") is None
