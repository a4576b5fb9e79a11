"""A large CT pair in a process of its own, whose memory is read when it has ended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import tf_lungreg

SHAPE = (512, 512, 300)
LIMIT = 12  # GB

RUN = """
import json, resource, sys
from tf_lungreg.cli import main
assert main(sys.argv[1:]) == 0
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))
"""


@pytest.mark.slow
def test_a_large_pair(rng, tmp_path):
    from tf_lungreg.export import export_model
    from tf_lungreg.models import build_registration_model

    settings = {"spacing": [3.75, 3.21, 3.21], "anchor": "ends", "preset": "paper"}
    network = build_registration_model("paper")
    model = export_model(network, tmp_path / "model", {"settings": settings})
    coarse = rng.normal(-300, 400, (32, 32, 20)).astype(np.float32)
    data = ndimage.zoom(coarse, [n / c for n, c in zip(SHAPE, coarse.shape)], order=1)
    for name, shift in (("fixed", 0), ("moving", 7)):
        affine = np.diag([-0.7, -0.7, 1, 1])
        affine[2, 3] = shift
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii")
    words = ["register", "fixed.nii", "moving.nii", "--model", str(model), "--out", "out"]
    run = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert nib.load(tmp_path / "out" / "warped.nii.gz").shape == SHAPE
    assert json.loads(run.stdout.splitlines()[-1]) < LIMIT  # Linux counts in kB
