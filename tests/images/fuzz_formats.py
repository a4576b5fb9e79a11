"""Reads damaged files of one format, in a process of its own that has 4 GB of memory.

    python tests/images/fuzz_formats.py FORMAT FOLDER COUNT [SEED]

The file that is read at the moment lies in the folder, for the case that the process dies of it.
"""

import random
import resource
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from test_dicom import COUNT as SLICES
from test_dicom import positions, save_multi_frame, save_series
from test_fuzz import check_image, read_damaged, read_image

from tf_lungreg.images import gdcm

MEMORY = 4 << 30


def voxels():
    return np.random.default_rng(0).integers(0, 999, (SLICES, 16, 16)).astype(np.int16)


def series(folder):
    """A whole slice first, so that both a slice and the series can be wrong."""
    return folder, sorted(save_series(folder, voxels(), positions()).iterdir())[2]


def compressed_series(folder):
    """Every slice run-length encoded."""
    save_series(folder, voxels(), positions())
    for path in folder.iterdir():
        compress(path)
    return folder, sorted(folder.iterdir())[2]


def multi_frame(folder):
    path = save_multi_frame(folder / "frames.dcm", voxels(), positions())
    return path, path


def compressed_multi_frame(folder):
    path, _ = multi_frame(folder)
    compress(path)
    return path, path


def compress(path):
    file = pydicom.dcmread(path)
    file.compress(pydicom.uid.RLELossless)
    file.save_as(path)


def jpeg(compressor):
    """A series whose pixels GDCM has compressed."""

    def write(folder):
        for path in sorted(save_series(folder, voxels(), positions()).iterdir()):
            compress_as(compressor, path)
        return folder, sorted(folder.iterdir())[2]

    return write


def compress_as(compressor, path):
    """Compresses a slice with GDCM; the header stays, SimpleITK writes one of its own."""
    file = pydicom.dcmread(path)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(file.pixel_array[None]))
    compressed = pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    file["PixelData"] = compressed["PixelData"]
    file.save_as(path)


def itk(name, compressed=False, damaged=None):
    """An image that SimpleITK writes, and the file of it that is damaged."""

    def write(folder):
        image = sitk.GetImageFromArray(voxels())
        image.SetSpacing([0.7, 0.8, 2.5])
        sitk.WriteImage(image, str(folder / name), compressed)
        return folder / name, folder / (damaged or name)

    return write


def pair(damaged):
    """A NIfTI header with its voxels in a second file."""

    def write(folder):
        nib.save(nib.Nifti1Pair(voxels(), np.diag([0.7, 0.8, 2.5, 1])), folder / "a.img")
        return folder / "a.hdr", folder / damaged

    return write


FORMATS = {
    "series": series,
    "compressed series": compressed_series,
    "JPEG series": jpeg("JPEG"),
    "JPEG 2000 series": jpeg("JPEG2000"),
    "multi-frame": multi_frame,
    "compressed multi-frame": compressed_multi_frame,
    "mha": itk("a.mha"),
    "compressed mha": itk("a.mha", compressed=True),
    "mhd": itk("a.mhd"),
    "zraw": itk("a.mhd", compressed=True, damaged="a.zraw"),
    "nrrd": itk("a.nrrd"),
    "compressed nrrd": itk("a.nrrd", compressed=True),
    "nhdr": itk("a.nhdr"),
    "hdr": pair("a.hdr"),
    "img": pair("a.img"),
}


class LastingDecoder(gdcm.Decoder):
    """The same process for all files, as long as none ends it: starting one takes a while."""

    def __init__(self):
        super().__enter__()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is not None:
            super().__exit__()
            super().__enter__()


def main(name, folder, count, seed=0):
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    decoder = LastingDecoder()
    gdcm.Decoder = lambda: decoder
    source, damaged = FORMATS[name](Path(folder))
    check_image(read_image(source), None)  # or only what is whole would be seen as damaged
    seed = 1000 * int(seed) + 10 + sorted(FORMATS).index(name)
    answers = read_damaged(
        damaged,
        damaged.read_bytes(),
        random.Random(seed),
        lambda: read_image(source),
        check_image,
        int(count),
    )
    print(f"{name}: seed {seed}, {answers} of {count} were read")


if __name__ == "__main__":
    main(*sys.argv[1:])
