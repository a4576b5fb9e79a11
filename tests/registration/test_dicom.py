"""DICOM series through ``register``, against SimpleITK's own reading of them."""

import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.images.geometry import Frame, ras_to_lps
from tf_lungreg.registration.pipeline import register
from tf_lungreg.reporting.result_folder import save_result


def write_series(folder, data, frame: Frame):
    """16-bit slices of data in the order x, y, z, on a grid in RAS mm."""
    folder.mkdir()
    axes = ras_to_lps((frame.affine[:3, :3] / frame.spacing).T).T
    image = sitk.GetImageFromArray(data.T)
    image.SetSpacing([float(s) for s in frame.spacing])
    image.SetDirection(axes.ravel().tolist())
    image.SetOrigin(ras_to_lps(frame.affine[:3, 3]).tolist())
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(data.shape[2]):
        part = image[:, :, k]
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0060": "MR",
            "0008|0008": "DERIVED\\SECONDARY",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.7",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.7.{len(folder.name)}",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{d:.8f}" for d in [*axes[:, 0], *axes[:, 1]]),
        }
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{7 * k % 29:02d}.dcm"))  # names in no order
        writer.Execute(part)
    return folder


def read_series(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.Cast(reader.Execute(), sitk.sitkFloat32)


@pytest.fixture
def series(tools, rng, tmp_path):
    """Two folders; the moving image lies 30 mm off, on another oblique grid."""
    frames = {
        "fixed": tools.make_frame((15, 17, 13), "LPS", (3, -9, 400)),
        "moved": tools.make_frame(
            (16, 14, 18), "LPS", (9, -2, 430), spacing=(3.1, 3.3, 2.6), angles=(-5, 12, 3)
        ),
    }
    return [
        write_series(
            tmp_path / name,
            (300 * tools.smooth_noise(rng, frame.shape) + 100).round().astype(np.int16),
            frame,
        )
        for name, frame in frames.items()
    ]


def test_two_series(tools, series, tmp_path, capfd):
    result = register(*series, tools.known_model(tools.SOME_AFFINE, bend=0.3))
    save_result(result, tmp_path / "out")
    assert capfd.readouterr().err == ""
    fixed, moving = map(read_series, series)
    warped = sitk.ReadImage(str(tmp_path / "out" / "warped.nii.gz"))
    assert warped.GetSize() == fixed.GetSize()
    np.testing.assert_allclose(warped.GetSpacing(), fixed.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(warped.GetOrigin(), fixed.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(warped.GetDirection(), fixed.GetDirection(), atol=1e-6)
    transform = tools.read_field(tmp_path / "out" / "displacement.nii.gz")
    lowest = float(sitk.GetArrayFromImage(moving).min())
    expected = tools.itk_array(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, lowest))
    found = tools.itk_array(warped)
    assert found.std() > 50
    wrong = np.abs(found - expected) > 0.5
    assert wrong.mean() < 0.01, np.abs(found - expected).max()  # a voxel at the border may differ
