"""``tf-lungreg register --server`` gives what it gives without."""

import json

import nibabel as nib
import numpy as np
import pytest

import tf_lungreg as lr
from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.reporting.result_folder import FILES
from tf_lungreg.serving import RegistrationClient


@pytest.fixture
def images(tmp_path, rng, monkeypatch):
    """``fixed.nii.gz`` and ``moving.nii.gz`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, shift in (("fixed", 0), ("moving", 8)):
        affine = np.diag([-7.0, -8, 9, 1])
        affine[2, 3] = shift
        data = rng.normal(size=(16, 14, 12)).cumsum(axis=0).astype(np.float32)
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")
    return ["fixed.nii.gz", "moving.nii.gz"]


def read(path):
    return np.asanyarray(nib.load(path).dataobj)


def test_the_same_result_with_and_without_a_server(images, exported, address, tmp_path):
    assert main(["register", *images, "--model", str(exported), "--out", "here"]) == 0
    words = ["--server", address, "--model-version", "3", "--out", "there"]
    assert main(["register", *images, *words]) == 0
    assert {p.name for p in (tmp_path / "there").iterdir()} == set(FILES) - {"transform.h5"}
    for name in ("warped", "displacement", "jacobian"):
        found, expected = (read(tmp_path / side / f"{name}.nii.gz") for side in ("there", "here"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    displacement = read(tmp_path / "there" / "displacement.nii.gz")
    assert np.linalg.norm(displacement, axis=-1).std() > 0.1
    metrics = json.loads((tmp_path / "there" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["provenance"]["model"] == f"{address}/lungreg/3"


def test_the_client_takes_files_and_images(images, exported, address, tmp_path):
    client = RegistrationClient(address)
    expected = lr.register(*images, model=exported)
    for pair in (images, [nib.load(name) for name in images]):
        found = client.register(*pair)
        np.testing.assert_allclose(
            found.displacement.data, expected.displacement.data, rtol=0, atol=1e-4
        )
        assert found.provenance.model == f"{address}/lungreg/3"
    with pytest.raises(InputError, match="refine"):
        client.register(*images, refine=-1)


def test_many_pairs(images, address, tmp_path):
    rows = ["fixed,moving,name", "fixed.nii.gz,moving.nii.gz,a", "moving.nii.gz,fixed.nii.gz,b"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    words = ["--pairs", "pairs.csv", "--server", address, "--out", "out"]
    assert main(["register", *words]) == 0
    for name in "ab":
        assert (tmp_path / "out" / name / "warped.nii.gz").is_file()


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--server", "127.0.0.1:1"], "no server answers"),
        (["--server", "nowhere"], "HOST:PORT"),
        (["--server", "ADDRESS", "--model-name", "other"], "does not serve"),
        (["--server", "ADDRESS", "--model-version", "9"], "version 9"),
        (["--server", "ADDRESS", "--model-version", "stable"], "version label: stable"),
        (["--server", "ADDRESS", "--model", "m"], "one of the two"),
        (["--tls", "ca.pem"], "--tls: belongs to --server"),
    ],
)
def test_mistakes_are_one_line(images, address, tmp_path, capfd, flags, word):
    words = [address if flag == "ADDRESS" else flag for flag in flags]
    assert main(["register", *images, "--out", "out", *words]) == 2
    error = capfd.readouterr().err.strip()
    assert word in error and "\n" not in error
    assert not (tmp_path / "out").exists()
