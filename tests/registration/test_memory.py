"""A large CT pair in a process of its own, and pairs that no memory holds."""

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
from tf_lungreg.errors import InputError
from tf_lungreg.images import memory
from tf_lungreg.registration.pipeline import register

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


def test_a_grid_that_no_memory_holds(tools, pair):
    """A header may state voxels of 100 mm, and then a small file covers a village."""
    model = tools.known_model(spacing=(0.02, 0.02, 0.02))
    with pytest.raises(InputError) as caught:
        register(pair.fixed, pair.moving, model)
    message = str(caught.value)
    assert message.startswith(f"{pair.fixed}: the network's grid over the image has ")
    for word in ("voxels of 0.02 x 0.02 x 0.02 mm", "GB of memory are needed", "--memory"):
        assert word in message


def test_the_paper_s_network_is_known_to_need_more(tools, pair, monkeypatch):
    """No GPU is taken into account here, nor a model on a server or in slabs."""
    monkeypatch.setattr(memory, "usable_memory", lambda: 6e6)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    model = tools.known_model()
    register(pair.fixed, pair.moving, model)
    model.card["settings"]["preset"] = "paper"
    with pytest.raises(InputError, match="the network's grid over the image"):
        register(pair.fixed, pair.moving, model)


def test_images_whose_results_do_not_fit(tools, pair, monkeypatch):
    monkeypatch.setattr(memory, "usable_memory", lambda: 100_000)
    with pytest.raises(InputError, match=r"fixed\.nii\.gz and .*moving\.nii\.gz: images of 15 x"):
        register(pair.fixed, pair.moving, tools.known_model())
