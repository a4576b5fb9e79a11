"""Decodes the pixels of DICOM files with GDCM, here or in another process.

GDCM's decoders of compressed pixels can end the process on a damaged file.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import SimpleITK as sitk

from tf_lungreg.arrays import Array


def decode(path: str | os.PathLike[str]) -> Array:
    """The pixels of a file, rescaled, (slices, rows, columns).

    Raises:
        RuntimeError: they cannot be decoded.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(os.fspath(path))
    return sitk.GetArrayFromImage(reader.Execute())


class Decoder:
    """Decodes one file after another in a process of its own, which ends with the context."""

    def __enter__(self) -> Decoder:
        """Starts the process: this module, run as a program."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[__name__.count(".")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def decode(self, path: str | os.PathLike[str]) -> Array:
        """As the function of this name.

        Raises:
            RuntimeError: the pixels cannot be decoded, or the process died of them.
        """
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None  # both are pipes
        try:
            questions.write(json.dumps(os.path.abspath(path)).encode() + b"\n")
            questions.flush()
            answer = pickle.load(answers)
        except (OSError, EOFError) as error:
            raise RuntimeError("the decoder died") from error
        if answer is None:
            raise RuntimeError("the pixels cannot be decoded")
        return answer


def _serve() -> None:
    """Answers each line of standard input, a path in JSON, with a pickled array or None."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the decoders print what they please
    for line in sys.stdin:
        try:
            answer = decode(json.loads(line))
        except RuntimeError:
            answer = None
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    _serve()
