"""The answer for one patient, from a displacement or two images, or for each of a cohort."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.classification.accuracy import THRESHOLD
from tf_lungreg.classification.deformations import TRUTH, sample_pairs
from tf_lungreg.classification.exported import ExportedClassifier, load_classifier
from tf_lungreg.classification.features import Sampled, check_mask, make_features, sample, sizes
from tf_lungreg.classification.occlusion import occlusion_map, paint_map
from tf_lungreg.classification.patient_pages import MAP, PAGE, write_report
from tf_lungreg.classification.patients import ILL, PREDICTIONS, both_phases
from tf_lungreg.cohorts.cohort import load_cohort
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, check_no_input, check_no_results
from tf_lungreg.images.geometry import AXIS_CODES, Frame
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.images.preparation import Window
from tf_lungreg.inference.default_model import default_model
from tf_lungreg.reproduction.baselines import BASELINES
from tf_lungreg.reproduction.methods import Method, make_methods
from tf_lungreg.tables.spreadsheets import for_spreadsheets
from tf_lungreg.tables.table import write_table
from tf_lungreg.transforms.transform import Transform

_FAR = 1.5  # times beyond the training patients' range: what the networks know nothing of
_SIZES = {"breath": "the displacement's root mean square", "lungs": "the box's size"}


def predict(
    model: str | os.PathLike[str],
    displacement: str | os.PathLike[str] | None = None,
    fixed: str | os.PathLike[str] | None = None,
    moving: str | os.PathLike[str] | None = None,
    fixed_mask: str | os.PathLike[str] | None = None,
    registration_model: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Classifies one patient.

    Args:
        model: the classifier's folder.
        displacement: of a registration, in place of the two images.
        fixed: the image in inhale.
        moving: the image in exhale.
        fixed_mask: lung mask of the fixed image; needed where the classifier was trained with
            masks.
        registration_model: that registers the two images, where the classifier was trained on a
            model's deformations; by default that of
            :func:`~tf_lungreg.inference.default_model.default_model`.
        out: folder for the map of the regions that drove the answer, and a page that shows it.
        overwrite: replace the map and the page that are there.

    Returns:
        ``probability`` of disease, ``called``, ``responses`` of the single networks, ``model``,
        ``inputs``. Warns where the displacement or the lungs are unlike the training patients'.

    Raises:
        MissingFileError, InputError: a file or an argument cannot be used.
    """
    if (displacement is None) == (fixed is None) or (fixed is None) != (moving is None):
        raise InputError("either a displacement, or a fixed and a moving image, are needed.")
    if displacement is not None and registration_model is not None:
        raise InputError("registration_model: goes with two images, not with a displacement.")
    if out is not None:
        check_no_results(out, overwrite, (MAP, PAGE))
        check_no_input(Path(out) / MAP, displacement, fixed, moving, fixed_mask)
    classifier = load_classifier(model)
    settings = classifier.card["settings"]
    inputs = {
        "displacement": displacement,
        "fixed": fixed,
        "moving": moving,
        "fixed_mask": fixed_mask,
        "registration_model": registration_model,
    }
    mask = _find_mask(classifier, fixed_mask)
    if displacement is not None:
        field, subject = Transform.read(displacement), displacement
    else:
        assert fixed is not None and moving is not None  # see above
        field, subject = _register(classifier, fixed, moving, registration_model), moving
    if mask is not None:
        check_mask(mask, field.frame)
    sampled = sample(field, field.frame, mask, tuple(settings["shape"]))
    _warn_of_the_unlike(classifier, {os.fspath(subject): sampled})
    features = make_features(sampled, settings["unit"])
    probability, responses = classifier(features[None])
    found = {
        **_answer(probability[0]),
        "responses": responses[0].tolist(),
        "model": str(classifier.path),
        "inputs": {name: os.fspath(path) for name, path in inputs.items() if path is not None},
    }
    if out is not None:
        check_no_results(out, overwrite, (MAP, PAGE))  # again: the registration took a while
        painted = paint_map(occlusion_map(classifier, features), field.frame, mask)
        write_report(out, found, painted, _background(fixed, painted.frame, mask))
    return found


def predict_cohort(
    model: str | os.PathLike[str],
    cohort: str | os.PathLike[str],
    registration_model: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    deformations: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Classifies everyone in a cohort who has both phases; no diagnosis is needed.

    Args:
        model: the classifier's folder.
        cohort: the folder; with masks where the classifier was trained with masks.
        registration_model: see :func:`predict`.
        out: folder for the table ``predictions.csv``.
        deformations: where deformations are kept and found again; by default nowhere.
        overwrite: replace a table that is there.

    Returns:
        Rows of ``participant``, ``diagnosis`` as the cohort has it, ``part`` (``"train"`` for
        whom the classifier was trained on, by their names, otherwise ``"new"``), ``probability``,
        ``called``, and ``response_1`` and so on of the single networks.

    Raises:
        MissingFileError, InputError: a file or an argument cannot be used, or a table is there.
    """
    if deformations is not None:
        check_folder(deformations)
    if out is not None:
        check_no_results(out, overwrite, (PREDICTIONS,))
    classifier, listed = load_classifier(model), load_cohort(cohort)
    settings, pairs = classifier.card["settings"], both_phases(listed)
    for fixed, _ in pairs:
        if settings["box"] == "lungs" and fixed.mask is None:
            raise InputError(
                f"{listed.root / 'images.tsv'}: no mask of {fixed.name!r}; {classifier.path} was "
                "trained on the box around the lungs and needs one of each fixed image."
            )
    method, window = _find_method(classifier, registration_model), _window(classifier)
    with tempfile.TemporaryDirectory() as temporary:
        folder = temporary if deformations is None else deformations
        sampled = sample_pairs(method, pairs, listed.root, folder, settings["box"], window)
    _warn_of_the_unlike(classifier, {f.participant: s for (f, _), s in zip(pairs, sampled)})
    features = np.stack([make_features(one, settings["unit"]) for one in sampled])
    known = set(classifier.card["patients"]["train"])
    rows = []
    for (fixed, _), probability, responses in zip(pairs, *classifier(features)):
        name = fixed.participant
        rows.append(
            {
                "participant": name,
                "diagnosis": listed.participants[name]["diagnosis"],
                "part": "train" if name in known else "new",
                **_answer(probability),
                **{f"response_{n}": float(value) for n, value in enumerate(responses, start=1)},
            }
        )
    if out is not None:
        table = for_spreadsheets(rows)
        write_table(Path(out) / PREDICTIONS, table, overwrite=overwrite)
    return rows


def _answer(probability: float) -> dict[str, Any]:
    return {
        "probability": float(probability),
        "called": ILL if probability >= THRESHOLD else "healthy",
    }


def _warn_of_the_unlike(classifier: ExportedClassifier, sampled: dict[str, Sampled]) -> None:
    """Warns of lungs or breaths that are far from those of the training patients."""
    seen = classifier.card.get("trained_on")
    if seen is None:  # of a version that did not record it
        return
    for name, one in sampled.items():
        for what, value in sizes(one).items():
            low, high = seen[what]
            if not low / _FAR <= value <= high * _FAR:
                warnings.warn(
                    f"{name}: {_SIZES[what]} over the lungs is {value:.3g} mm, of the training "
                    f"patients {low:.3g} to {high:.3g} mm; the answer means nothing.",
                    stacklevel=3,
                )


def _background(fixed: str | os.PathLike[str] | None, frame: Frame, mask: Image | None) -> Array:
    """The fixed image where it is on the map's grid, else the mask, or nothing."""
    image = None if fixed is None else Image.read(fixed, AXIS_CODES)
    if image is not None and image.data.shape == frame.shape:
        return image.data
    return np.zeros(frame.shape, bool) if mask is None else mask.data.astype(bool)


def _find_mask(classifier: ExportedClassifier, path: str | os.PathLike[str] | None) -> Image | None:
    """The mask, exactly where the classifier needs one."""
    if classifier.card["settings"]["box"] != "lungs":
        return None
    if path is None:
        raise InputError(
            f"{classifier.path}: was trained on the box around the lungs; the fixed image's lung "
            "mask is needed."
        )
    return read_mask(path)


def _register(
    classifier: ExportedClassifier,
    fixed: str | os.PathLike[str],
    moving: str | os.PathLike[str],
    model: str | os.PathLike[str] | None,
) -> Transform:
    """The displacement by the method on whose deformations the classifier was trained."""
    method = _find_method(classifier, model)
    if method is None:
        raise InputError(
            f"{classifier.path}: was trained on true displacements; a displacement is needed in "
            "place of the images."
        )
    field, _ = method.register(Image.read(fixed, AXIS_CODES), Image.read(moving, AXIS_CODES))
    return field


def _find_method(
    classifier: ExportedClassifier, model: str | os.PathLike[str] | None
) -> Method | None:
    """The method on whose deformations the classifier was trained; None for the truth."""
    before, window = classifier.card["registration"], _window(classifier)
    name = before["method"]
    if name == TRUTH:
        return None
    if name in BASELINES:
        return make_methods([name], {}, before["spacing"], window)[0]
    (method,) = make_methods([], {name: model or default_model()}, window=window)
    if method.identity["sha256"] != before["sha256"]:
        warnings.warn(
            f"{classifier.path}: was trained on deformations of another registration model "
            f"({before['model']}); its answer may mean nothing.",
            stacklevel=3,
        )
    return method


def _window(classifier: ExportedClassifier) -> Window:
    window = classifier.card["settings"]["window"]
    return window if isinstance(window, str) else tuple(window)
