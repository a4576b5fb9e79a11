"""The network in slabs against the whole model."""

import gc
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.models import build_registration_model, slabs
from tf_lungreg.models.maps import Maps, maps_in_file, maps_in_memory, moments
from tf_lungreg.models.slabs import run_in_slabs
from tf_lungreg.models.weights import named_weights

SHAPE = (13, 18, 15)


@pytest.fixture
def pair(rng):
    """Noise that grows along every axis, so that the statistics of no two slabs are the same."""
    slope = np.linspace(0, 1, SHAPE[0])[:, None, None] + np.linspace(0, 0.5, SHAPE[2])
    return {
        name: tf.constant((slope * rng.uniform(size=(2, *SHAPE)))[..., None], tf.float32)
        for name in ("moving", "fixed")
    }


def random_model(rng, preset, **branches):
    """All weights are random, those that begin as zeros or ones too."""
    model = build_registration_model(preset, **branches)
    for variable in named_weights(model).values():
        noise = rng.normal(scale=0.15, size=tuple(variable.shape))
        variable.assign(variable + noise.astype(np.float32))
    return model


def deep(depth):
    """A stand-in for ``Maps.slabs`` with slabs of one depth."""

    def edges(self, memory, channels=0, halo=0):
        return [(a, min(a + depth, self.shape[1])) for a in range(0, self.shape[1], depth)]

    return edges


def largest_differences(one, other):
    assert set(one) == set(other) == {"warped", "grid", "affine", "spatial_gradients"}
    return {name: float(np.abs(one[name] - other[name]).max()) for name in one}


@pytest.mark.parametrize("depth", [1, 4, 5, 20])
@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_slabs_are_equal_to_the_whole(rng, tiny, pair, preset, depth, monkeypatch):
    model = random_model(rng, preset)
    whole = model(pair)
    moved = np.abs(whole["spatial_gradients"] - 1)
    assert moved.mean() > 0.05 and np.abs(whole["affine"] - np.eye(3, 4)).max() > 0.01
    monkeypatch.setattr(Maps, "slabs", deep(depth))
    found = run_in_slabs(model, pair, 0)
    assert max(largest_differences(found, whole).values()) < 1e-4
    assert {name: v.shape for name, v in found.items()} == {n: v.shape for n, v in whole.items()}


@pytest.mark.parametrize("preset", ["fast", "general", "fine"])
def test_layers_that_run_whole_are_equal_too(rng, pair, preset):
    if preset == "fine":  # with room for its margin
        pair = {n: np.pad(v, [(0, 0), *[(8, 8)] * 3, (0, 0)], "edge") for n, v in pair.items()}
    model = build_registration_model(preset)
    for name in ("gradient_logits", "affine_parameters", "affine_weight"):
        if name in [layer.name for layer in model.layers]:
            kernel = model.get_layer(name).kernel
            kernel.assign(rng.normal(scale=0.1, size=tuple(kernel.shape)))
    found = run_in_slabs(model, pair, 3e5)
    assert max(largest_differences(found, model(pair)).values()) < 1e-4


@pytest.mark.parametrize("affine, deformable", [(True, False), (False, True)])
def test_a_branch_that_is_off(rng, pair, affine, deformable):
    model = random_model(rng, "small", affine=affine, deformable=deformable, anchor="corner")
    found = run_in_slabs(model, pair, 1e6)
    assert max(largest_differences(found, model(pair)).values()) < 1e-4


@pytest.mark.parametrize("shared", [slabs._normalize, slabs._excite, slabs._pool])
def test_statistics_of_one_slab_would_be_seen(rng, pair, shared, monkeypatch):
    """What the test above is there to find: a mean that is not the volume's."""
    model = random_model(rng, "small")
    whole = model(pair)
    monkeypatch.setattr(Maps, "slabs", deep(4))

    def of_first_slab(layer, sources, memory):
        with monkeypatch.context() as patch:
            patch.setattr(slabs, "moments", lambda maps, memory: _moments_of(maps.read(0, 4)))
            return shared(layer, sources, memory)

    for layer, run in slabs._RUN.items():
        if run is shared:
            monkeypatch.setitem(slabs._RUN, layer, of_first_slab)
    differences = largest_differences(run_in_slabs(model, pair, 0), whole)
    assert max(differences.values()) > 1e-2, differences


def _moments_of(slab):
    return tf.nn.moments(slab, axes=(1, 2, 3))


def test_moments_of_a_volume_far_from_zero(rng):
    """Sums of squares in float32 would lose the variance."""
    volume = rng.normal(1000, 1, (2, *SHAPE, 3)) + np.linspace(0, 5, SHAPE[0])[:, None, None, None]
    mean, variance = moments(maps_in_memory(tf.constant(volume, tf.float32)), 0)
    np.testing.assert_allclose(mean, volume.mean((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, volume.var((1, 2, 3)), rtol=1e-3)


def test_slabs_are_a_partition_within_the_memory():
    maps = Maps((1, 13, 10, 10, 2), None)
    for memory in (0, 1e5, 3e5, 1e9):
        edges = list(maps.slabs(memory, channels=4, halo=2))
        assert [a for a, _ in edges] == [0, *(b for _, b in edges[:-1])] and edges[-1][1] == 13
    depth = [next(iter(maps.slabs(memory, 4, 2)))[1] for memory in (0, 1e5, 1e9)]
    assert depth[0] == 1 < depth[1] < 13 == depth[2]


def test_maps_in_a_file(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    volume = tf.constant(rng.normal(size=(2, *SHAPE, 3)), tf.float32)
    maps = maps_in_file(tuple(volume.shape), iter([volume[:, :5], volume[:, 5:]]))
    np.testing.assert_array_equal(maps.whole(), volume)
    np.testing.assert_array_equal(maps.read(3, 7), volume[:, 3:7])
    del maps
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(monkeypatch):
    volume = tf.zeros((1, 64, 16, 16, 4))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "wb"))
    with pytest.raises(InputError, match=r"no room for 0\.0 GB.*TMPDIR"):
        maps_in_file(tuple(volume.shape), iter([volume]))
