import json

import nibabel as nib
import numpy as np
import pytest

from tf_lungreg.classification.occlusion import occlusion_map, paint_map
from tf_lungreg.cli import main


def test_the_map_is_where_the_answer_comes_from(rng):
    """A classifier that looks at six cells and nothing else."""
    features = rng.normal(size=(12, 16, 16, 3)).astype(np.float32)
    features[8:10, 2:5, 11, 1] = 1

    def classify(x):
        return 1 / (1 + np.exp(1 - x[:, 8:10, 2:5, 11, 1].mean(axis=(1, 2)))), None

    found = occlusion_map(classify, features)
    assert found[8:10, 2:5, 11].min() > 0.5 * found.max() > 0
    assert (found[:4] == 0).all() and (found[:, 9:] == 0).all() and (found[..., :6] == 0).all()
    np.testing.assert_allclose(occlusion_map(lambda x: (x[:, 0, 0, 0, 0] * 0 + 0.3,), features), 0)


def test_the_map_lies_on_the_lungs(tools):
    """Each voxel of the lungs has the value of the cell that it is in, whatever the frame."""
    for frame in (tools.make_frame(), tools.make_frame((5, 9, 7), angles=(8, -12, 20))):
        _, mask = tools.make_patient(True, 1, frame)
        cells = np.zeros((12, 16, 16), np.float32)
        cells[:, 12:] = 1  # the bases: H runs downwards
        painted = paint_map(cells, frame, mask)
        assert painted.data.shape == mask.data.shape
        height = (
            frame.affine[2, :3] @ np.argwhere(painted.data > 0.99).T + frame.affine[2, 3],
            frame.affine[2, :3] @ np.argwhere(mask.data).T + frame.affine[2, 3],
        )
        assert len(height[0]) and not painted.data[~mask.data.astype(bool)].any()
        assert height[0].max() < np.percentile(height[1], 35)
    assert paint_map(cells + 1, frame).data.min() >= 1


@pytest.fixture(scope="module")
def patient(tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("occlusion")
    tools.write_cohort(folder / "cohort", ["healthy", "ssc"] * 5)
    words = ["--cohort", str(folder / "cohort"), "--method", "truth", "--out", str(folder / "ild")]
    flags = "--folds 2 --epochs 25 --learning-rate 3e-3 --filters 4 --unit breath".split()
    assert main(["classify", "train", *words, *flags]) == 0
    return folder


def test_predict_writes_map_and_page(patient, tmp_path, capsys):
    cohort, out = patient / "cohort", tmp_path / "out"
    words = ["classify", "predict", "--model", str(patient / "ild"), "--json"]
    words += ["--displacement", str(cohort / "p01.nii.gz")]
    words += ["--fixed-mask", str(cohort / "p01_mask.nii.gz")]
    capsys.readouterr()
    assert main([*words, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    mask, painted = nib.load(cohort / "p01_mask.nii.gz"), nib.load(out / "occlusion.nii.gz")
    inside, values = mask.get_fdata() > 0, painted.get_fdata()
    assert painted.shape == mask.shape
    np.testing.assert_allclose(painted.affine, mask.affine, atol=1e-3)
    assert np.abs(values[inside]).max() > 0 and not values[~inside].any()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "not a diagnosis" in page and f"{found['probability']:.3f}" in page and "<img" in page

    (tmp_path / "file").write_text("")
    assert main([*words, "--out", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("other", [{"center": (9.0, 0.0, 0.0)}, {"spacing": (13, 15, 16)}])
def test_a_displacement_on_another_grid_is_refused(other, patient, tools, tmp_path, capsys):
    from tf_lungreg.images.image import Image

    frame = tools.make_frame(**other)
    Image(np.ones(frame.shape, np.uint8), frame).save(tmp_path / "mask.nii.gz")
    words = ["classify", "predict", "--model", str(patient / "ild")]
    words += ["--displacement", str(patient / "cohort" / "p01.nii.gz")]
    assert main([*words, "--fixed-mask", str(tmp_path / "mask.nii.gz")]) == 2
    printed = capsys.readouterr().err
    assert "one grid is needed" in printed and printed.count("\n") == 1
