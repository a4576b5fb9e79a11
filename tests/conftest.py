import contextlib
import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tf_lungreg.images.geometry import Frame, ras_to_lps

# Programs that tests or sessions run; the search for doctests would import them.
collect_ignore = ["mutation.py", "export/c_session.py", "images/fuzz_formats.py"]


@pytest.fixture(autouse=True)
def seeds():
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def memory():
    """Gives back what the models of a module hold: graphs of all modules would be gigabytes."""
    yield
    import gc

    import tensorflow as tf

    tf.keras.backend.clear_session()
    gc.collect()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A phantom cohort of four patients, small enough to train on in seconds."""
    from tf_lungreg.phantom import write_phantom_cohort

    folder = tmp_path_factory.mktemp("cohort") / "phantom"
    return write_phantom_cohort(folder, subjects=4, shape=(16, 32, 32), seed=1, progress=False)


@pytest.fixture(scope="session")
def exported_small(tmp_path_factory):
    """Version 3 of a model that is not the identity, though nobody trained it; not to be changed.

    Building and exporting it takes seconds: a test that needs another card takes a copy.
    """
    from tf_lungreg.export import export_model
    from tf_lungreg.models import build_registration_model

    network = build_registration_model("small")
    rng = np.random.default_rng(0)
    for name in ("gradient_logits", "affine_parameters"):
        layer = network.get_layer(name)
        layer.set_weights([0.2 * rng.normal(size=w.shape) for w in layer.get_weights()])
    settings = {"spacing": [7.5, 6.42, 6.42], "anchor": "ends", "preset": "small"}
    settings.update(affine=True, deformable=True)
    base = tmp_path_factory.mktemp("models") / "lungreg"
    (base / "2").mkdir(parents=True)
    return export_model(network, base, {"settings": settings})


@pytest.fixture
def tiny(monkeypatch):
    """A preset of the full topology that trains in seconds; its name."""
    from tf_lungreg.models import presets

    preset = presets.Preset(
        network=presets.EncoderDecoder(
            encoder=(2, 4, 4, 2, 2), dilations=(1, 1, 2, 3, 5), decoder=(4, 2), reduction=4
        ),
        spacing=(15.0, 20.0, 20.0),
        shape=(16, 24, 24),
        margin=0,
        voxels=None,
        alpha=1e-6,
        beta=1e-3,
        gamma=0.5,
        learning_rate=1e-3,
        epochs=2,
        steps=3,
        batch=2,
        lr_patience=50,
        stop_patience=100,
    )
    monkeypatch.setitem(presets.PRESETS, "tiny", preset)
    return "tiny"


@pytest.fixture
def share_weights(rng):
    """A function that gives networks the first one's weights, random where they begin at zero.

    With those at zero every network is the identity.
    """
    from tf_lungreg.models.weights import assign_weights, named_weights

    def share(models, scale):
        values = {name: variable.numpy() for name, variable in named_weights(models[0]).items()}
        for name, value in values.items():
            if "logits" in name or "parameters" in name:
                values[name] = rng.normal(scale=scale, size=value.shape).astype(np.float32)
        for model in models:
            assign_weights(model, values, "test")

    return share


@pytest.fixture
def local_addresses():
    """A function that finds addresses on this machine which nothing listens at."""

    def find(count):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]

    return find


@pytest.fixture
def running():
    """A list of processes, which end with the test."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def oblique_affine(codes, spacing=(2.5, 4.0, 3.0), angles=(8, -6, 10), center=(12, -20, 900)):
    """Voxel → RAS mm; the axes point nearest to the codes."""
    directions = {"R": (1, 0, 0), "A": (0, 1, 0), "S": (0, 0, 1)}
    directions.update({"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)})
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([directions[c] for c in codes]).T * spacing
    affine[:3, 3] = center
    return affine


def smooth_noise(rng, shape, sigma=1.5):
    """Random, with a standard deviation of 1."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return (noise / noise.std()).astype(np.float32)


def make_frame(shape, codes="LPS", center=(0, 0, 0), **kwargs):
    """A grid about a world point."""
    affine = oblique_affine(codes, **kwargs)
    affine[:3, 3] = np.array(center) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


def save(path, data, frame):
    nib.save(nib.Nifti1Image(data, frame.affine), path)
    return path


def read_field(path):
    """A file's field as SimpleITK's transform."""
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


def itk_array(image):
    """In the order x, y, z of the file."""
    return sitk.GetArrayFromImage(image).T


def itk_resample(moving, fixed, transform, outside, interpolator=sitk.sitkLinear):
    """A file sampled on another's grid by SimpleITK."""
    moving, fixed = (sitk.ReadImage(str(p), sitk.sitkFloat32) for p in (moving, fixed))
    return itk_array(sitk.Resample(moving, fixed, transform, interpolator, float(outside)))


def itk_points(transform, points):
    """RAS points through an ITK transform."""
    return np.array([ras_to_lps(transform.TransformPoint(ras_to_lps(p).tolist())) for p in points])


def known_model(affine=None, bend=0.0, anchor="ends", spacing=(8.0, 6.0, 7.0)):
    """A model that always gives one affine matrix and one smooth Φ of some strength."""
    import tensorflow as tf

    from tf_lungreg import ops
    from tf_lungreg.export import ExportedModel

    affine = np.eye(3, 4) if affine is None else affine

    def call(moving, fixed):
        shape = tf.shape(fixed)[1:4]
        place = ops.identity_grid(shape) / tf.cast(shape, tf.float32)
        waves = tf.sin(7 * place + 5 * tf.roll(place, 1, axis=-1) + tf.constant([0.0, 1, 2]))
        gradients = 1 + bend * waves
        matrix = tf.constant(affine, tf.float32)[None]
        second = ops.integrate(gradients, anchor)
        grid = ops.compose(ops.affine_grid(matrix, shape), second)
        warped = ops.warp(moving, grid)
        return {
            "warped": warped,
            "grid": grid,
            "affine": matrix,
            "spatial_gradients": gradients,
        }

    settings = {"spacing": list(spacing), "anchor": anchor, "preset": "small"}
    return ExportedModel("known", {"settings": settings}, {}, {"serving_default": call})


SOME_AFFINE = np.array(
    [[1.02, 0.05, -0.03, 0.04], [-0.04, 0.97, 0.06, -0.05], [0.02, -0.05, 1.03, 0.06]]
)


@pytest.fixture
def tools():
    """Functions that make images and known transforms, for tests of registrations."""
    shared = (
        *(make_frame, smooth_noise, save, known_model),
        *(read_field, itk_array, itk_resample, itk_points),
    )
    return SimpleNamespace(SOME_AFFINE=SOME_AFFINE, **{f.__name__: f for f in shared})


@pytest.fixture
def orientation():
    """Axis codes of the fixed file; a test's parameter of this name takes its place."""
    return "LPS"


@pytest.fixture
def pair(tmp_path, rng, orientation):
    """Fixed and moving files, 30 mm apart, on unlike oblique grids."""
    fixed = make_frame((15, 17, 13), orientation, center=(3, -9, 400))
    moving = make_frame(
        (16, 14, 18), "AIR", (9, -2, 430), spacing=(3.1, 3.3, 2.6), angles=(-5, 12, 3)
    )
    data = [(300 * smooth_noise(rng, f.shape) + 100).round(1) for f in (fixed, moving)]
    return SimpleNamespace(
        fixed=save(tmp_path / "fixed.nii.gz", data[0].astype(np.float32), fixed),
        moving=save(tmp_path / "moving.nii.gz", data[1].astype(np.float32), moving),
        fixed_frame=fixed,
        moving_frame=moving,
        moving_data=data[1],
    )
