"""The parts of the discrete method against independent code."""

import itertools

import numpy as np
import pytest
import pywt
from scipy import ndimage
from scipy.interpolate import BSpline
from sklearn.metrics import mutual_info_score

from tf_lungreg import ops
from tf_lungreg.reproduction.baselines.discrete import costs, fields, labels, settings, splines


@pytest.fixture
def pair(rng):
    volumes = [ndimage.gaussian_filter(rng.normal(size=(8, 12, 16)), 1) for _ in range(2)]
    return [((v - v.min()) / np.ptp(v)).astype(np.float32) for v in volumes]


@pytest.mark.parametrize("length, control", [(17, 4.0), (12, 2.7), (9, 20.0)])
def test_the_basis_is_scipys(length, control):
    basis = splines.cubic_basis(length, control)
    middle = (length - 1) / 2
    first = middle - control * (len(basis) - 1) / 2
    assert first + control <= 0  # one control point at or before the first voxel, and one before
    for number, values in enumerate(basis):
        knots = first + control * (number + np.arange(-2, 3))
        spline = BSpline.basis_element(knots, extrapolate=False)
        expected = np.nan_to_num(spline(np.arange(length)))
        np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_allclose(basis.sum(axis=0), 1, atol=1e-6)


def test_spreading_and_gathering(rng):
    basis = [splines.cubic_basis(n, h) for n, h in ((5, 2.0), (6, 3.0), (7, 2.5))]
    coefficients = rng.normal(size=[len(b) for b in basis] + [3])
    found = splines.spread(coefficients, basis)
    np.testing.assert_allclose(
        found, np.einsum("abcv,ai,bj,ck->ijkv", coefficients, *basis), atol=1e-5
    )
    values = rng.normal(size=(5, 6, 7))
    means = splines.gather(values, basis)
    for point in ((0, 0, 0), (2, 1, 3), tuple(n - 1 for n in means.shape)):
        weights = np.einsum("i,j,k->ijk", *(b[p] for b, p in zip(basis, point)))
        np.testing.assert_allclose(means[point], np.average(values, weights=weights), atol=1e-5)


def test_moving_an_image(pair):
    displacement, steps = (0.7, 0, -2.4), (1, 3, 2)
    where = np.indices(pair[0].shape)[(slice(None), *(slice(None, None, s) for s in steps))]
    where = where + np.reshape(displacement, (3, 1, 1, 1))
    expected = ndimage.map_coordinates(pair[0], where, order=1, mode="nearest")
    found = fields.translated(pair[0], displacement, steps)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fields_are_those_of_the_tensors(rng, pair):
    shape = pair[0].shape
    first, second = (
        ops.identity_grid(shape) + rng.normal(scale=2, size=(1, *shape, 3)).astype(np.float32)
        for _ in range(2)
    )
    found = fields.compose(first[0].numpy(), second[0].numpy())
    np.testing.assert_allclose(found, ops.compose(first, second)[0], atol=1e-4)
    warped = ops.warp(pair[0][None, ..., None], first)[0, ..., 0]
    np.testing.assert_allclose(fields.sample(pair[0], first[0].numpy()), warped, atol=1e-5)


def test_ncc(pair, monkeypatch):
    monkeypatch.setattr(settings, "NCC_VARIANCE", 0)
    fixed, candidate = pair
    found = costs.ncc(fixed, fixed)(candidate)
    for i, j, k in ((2, 2, 2), (4, 7, 9), (5, 9, 13)):
        window = np.s_[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3]
        expected = 1 - np.corrcoef(fixed[window].ravel(), candidate[window].ravel())[0, 1]
        np.testing.assert_allclose(found[i, j, k], expected, atol=1e-3)


def test_ncc_where_all_is_flat(pair):
    flat = np.full_like(pair[0], 0.3)
    np.testing.assert_allclose(costs.ncc(flat, flat)(pair[1]), 1, atol=1e-3)


def test_mi_is_the_images_mutual_information(pair, monkeypatch):
    monkeypatch.setattr(settings, "MI_SIGMA", 0)
    monkeypatch.setattr(settings, "MI_FLOOR", 1e-12)
    fixed, warped = pair[0], 0.5 * pair[0] + 0.5 * pair[1]
    binned = [np.minimum(np.floor(v * settings.MI_BINS), settings.MI_BINS - 1) for v in pair]
    binned[1] = np.minimum(np.floor(warped * settings.MI_BINS), settings.MI_BINS - 1)
    expected = mutual_info_score(*(b.ravel() for b in binned))
    np.testing.assert_allclose(-costs.mi(fixed, warped)(warped).mean(), expected, rtol=1e-4)


def test_dwm_is_the_difference_of_the_coefficients(pair):
    cost = costs.dwm(pair[0], pair[0])(pair[1])
    first, second = (
        pywt.coeffs_to_array(pywt.wavedecn(v, "haar", level=settings.DWM_LEVELS))[0] for v in pair
    )
    np.testing.assert_allclose(cost.sum(), np.abs(first - second).sum(), rtol=1e-4)
    inside = np.s_[4:8, 8:12, 4:8]  # a whole block of 4 voxels: what is elsewhere does not count
    other = np.random.default_rng(1).random(pair[1].shape, np.float32)
    other[inside] = pair[1][inside]
    np.testing.assert_allclose(costs.dwm(pair[0], pair[0])(other)[inside], cost[inside], atol=1e-5)


def test_dwm_of_odd_lengths(pair):
    odd = [v[:7, :11, :13] for v in pair]
    assert costs.dwm(*odd)(odd[1]).shape == (7, 11, 13)


def test_a_sum_of_costs(pair):
    weights = {"ncc": 0.5, "dwm": 2.0}
    expected = 0.5 * costs.ncc(*pair)(pair[1]) + 2 * costs.dwm(*pair)(pair[1])
    np.testing.assert_allclose(costs.weighted_cost(weights, *pair)(pair[1]), expected, rtol=1e-6)


def test_the_labels():
    found = labels.displacements(0)
    assert len(found) == len(np.unique(found, axis=0)) == 1 + 6 * settings.STEPS
    np.testing.assert_array_equal(found[0], 0)
    assert (np.count_nonzero(found[1:], axis=1) == 1).all()
    np.testing.assert_allclose(found.max(axis=0), settings.REACH)
    np.testing.assert_allclose(found.min(axis=0), -settings.REACH)
    np.testing.assert_allclose(labels.displacements(2), settings.SHRINK**2 * found)


def test_the_choice_has_the_least_energy(rng, monkeypatch):
    pytest.importorskip("maxflow")
    monkeypatch.setattr(settings, "SMOOTHNESS", 2.0)
    monkeypatch.setattr(settings, "CYCLES", 10)
    shape, vectors = (2, 2, 3), labels.displacements(0)[[0, 2, 20]]
    unary = rng.random((*shape, 3))
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    distance = 2.0 * np.minimum(distance, settings.TRUNCATION)
    every = np.array(list(itertools.product(range(3), repeat=12))).reshape(-1, *shape)
    energy = np.take_along_axis(unary[None], every[..., None], axis=-1).sum(axis=(1, 2, 3, 4))
    energy += distance[every[:, 1:], every[:, :-1]].sum(axis=(1, 2, 3))
    energy += distance[every[:, :, 1:], every[:, :, :-1]].sum(axis=(1, 2, 3))
    energy += distance[every[..., 1:], every[..., :-1]].sum(axis=(1, 2, 3))
    chosen = labels.choose(unary, vectors, sweep=0)
    np.testing.assert_array_equal(chosen, every[energy.argmin()])
    assert (chosen != unary.argmin(axis=-1)).any()  # neighbours had a say
