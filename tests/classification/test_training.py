import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tf_lungreg.classification.features import make_features, mirrored, sample
from tf_lungreg.classification.fitting import (
    ClassifierSettings,
    class_weights,
    respond,
    train_classifiers,
)
from tf_lungreg.classification.network import build_ild_classifier
from tf_lungreg.errors import InputError


@pytest.fixture(scope="module")
def settings(tools):
    return ClassifierSettings(folds=3, seed=1, **tools.small)


@pytest.fixture(scope="module")
def trained(features, settings):
    return train_classifiers(*features, settings)


def test_the_network_is_the_papers(rng):
    shape = (5, 6, 4)
    model = build_ild_classifier(shape, filters=2, hidden=3, seed=4)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.2, 1.5, w.shape) for w in layer.get_weights()])
    x = rng.normal(size=(2, *shape, 3)).astype(np.float32)

    def normalise(values, name):
        layer = model.get_layer(name)
        gamma, beta, mean, variance = layer.get_weights()
        return gamma * (values - mean) / np.sqrt(variance + layer.epsilon) + beta

    kernel, bias = model.get_layer("downsampling").get_weights()
    maps = np.zeros((2, 3, 3, 2, 2))
    for b, i, o in np.ndindex(2, 3, 2):
        full = ndimage.correlate(x[b, ..., i].astype(float), kernel[..., i, o], mode="constant")
        maps[b, ..., o] += full[::2, ::2, ::2]  # padding 1, stride 2
    flat = normalise(maps + bias, "normalization").reshape(2, -1)
    kernel, bias = model.get_layer("hidden").get_weights()
    hidden = normalise(np.tanh(flat @ kernel * 0.05 + bias), "hidden_normalization")
    kernel, bias = model.get_layer("probability").get_weights()
    wanted = 1 / (1 + np.exp(-(hidden @ kernel + bias)))
    dense = model.get_layer("hidden")
    dense.set_weights([dense.get_weights()[0] * 0.05, dense.get_weights()[1]])
    np.testing.assert_allclose(model(x, training=False).numpy(), wanted, rtol=1e-4)


def test_pooling(rng):
    model = build_ild_classifier((4, 6, 8), filters=5, pooling="average")
    assert model.get_layer("hidden").get_weights()[0].shape == (5, 100)
    with pytest.raises(InputError, match="flatten, average"):
        build_ild_classifier((4, 4, 4), pooling="max")


def test_it_learns_what_tells_the_classes_apart(trained, features, tools):
    _, _, labels = features
    assert np.mean((trained.held_out >= 0.5) == labels) > 0.85
    new = [tools.make_patient(n % 2, 100 + n) for n in range(12)]
    x = np.stack([make_features(sample(f, f.frame, m)) for f, m in new])
    answer = respond(trained.models, x).mean(axis=1)
    assert np.mean((answer >= 0.5) == np.arange(12) % 2) > 0.85


def test_the_voxels_do_not_change_the_answer(trained, tools):
    answers = []
    for spacing in ((14, 15, 16), (4, 5, 6)):
        found = [tools.make_patient(n % 2, 200 + n, tools.make_frame(spacing)) for n in range(6)]
        x = np.stack([make_features(sample(f, f.frame, m)) for f, m in found])
        answers.append(respond(trained.models, x).mean(axis=1))
    assert np.ptp(answers[0]) > 0.5
    np.testing.assert_allclose(answers[0], answers[1], atol=0.1)


@pytest.mark.long
def test_shuffled_labels_give_chance(features, tools):
    names, x, labels = features
    balanced = np.flatnonzero(labels == 0).tolist() + np.flatnonzero(labels)[:8].tolist()
    right = []
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(labels[balanced])
        settings = ClassifierSettings(folds=3, seed=seed, **tools.small)
        found = train_classifiers([names[i] for i in balanced], x[balanced], shuffled, settings)
        right += ((found.held_out >= 0.5) == shuffled).tolist()
    assert 0.2 < np.mean(right) < 0.8  # of 48; a leak of the labels would give all of them


@pytest.mark.long
def test_the_order_of_the_patients_does_not_matter(trained, features, settings, rng):
    names, x, labels = features
    order = rng.permutation(len(names))
    again = train_classifiers([names[i] for i in order], x[order], labels[order], settings)
    np.testing.assert_allclose(again.held_out, trained.held_out[order], atol=1e-4)


@pytest.mark.long
def test_another_seed_gives_other_models(features, tools):
    names, x, labels = features
    quick = {**tools.small, "epochs": 1}
    a, b = (
        train_classifiers(names, x, labels, ClassifierSettings(folds=2, seed=s, **quick))
        for s in (0, 1)
    )
    assert np.abs(a.held_out - b.held_out).max() > 0.01


@pytest.mark.long
def test_a_held_out_patient_does_not_reach_their_model(trained, features, settings):
    """Other features of one patient change only what the models say that saw them."""
    names, x, labels = features
    changed = x.copy()
    changed[7] *= -3
    again = train_classifiers(names, changed, labels, settings)
    same = [
        np.allclose(a(x[:3]), b(x[:3]), atol=1e-5) for a, b in zip(trained.models, again.models)
    ]
    assert sum(same) == 1


def test_class_weights_balance():
    healthy, ill = class_weights(np.array([0, 1, 1, 1]))
    assert (healthy, ill) == (2, pytest.approx(2 / 3))


def test_loss_is_weighted_cross_entropy(features):
    """One epoch of one step, against Keras' own loss and optimizer."""
    from tf_lungreg.classification.fitting import train_one

    _, x, labels = features
    settings = ClassifierSettings(
        epochs=2, batch=24, filters=2, hidden=4, halve_every=1, mirror=False
    )
    model = train_one(x, labels, settings, seed=3)
    other = build_ild_classifier(x.shape[1:4], 2, "flatten", 4, seed=3)
    other.compile("adam", tf.keras.losses.BinaryCrossentropy())
    weights = np.array(class_weights(labels))[labels]
    for rate in (1e-4, 5e-5):
        other.optimizer.learning_rate.assign(rate)
        other.train_on_batch(x, labels.astype(np.float32)[:, None], sample_weight=weights)
    pairs = list(zip(model.get_weights(), other.get_weights()))
    del pairs[1]  # the bias before the normalization: its gradient is rounding, which Adam scales
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_mirrored_patients_are_seen_as_well(features):
    """Patients who move in the right half alone: only with mirroring is the left one known."""
    names, x, labels = features
    right = x.copy()
    right[..., : x.shape[3] // 2, :] = 0
    quick = {"folds": 3, "epochs": 40, "learning_rate": 3e-3, "filters": 4, "hidden": 16}
    held = {}
    for mirror in (True, False):
        settings = ClassifierSettings(mirror=mirror, **quick)
        models = train_classifiers(names, right, labels, settings).models
        called = respond(models, mirrored(right)).mean(axis=1) > 0.5
        held[mirror] = np.mean(called == labels)
    assert held[True] > 0.9 and held[False] < held[True] - 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"folds": 1},
        {"epochs": 0},
        {"batch": 1},
        {"learning_rate": 0},
        {"pooling": "x"},
        {"seed": -1},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ClassifierSettings(**wrong)


def test_too_few_of_a_class(features):
    names, x, labels = features
    with pytest.raises(InputError, match="8 healthy and 16 ill .* 9 of each"):
        train_classifiers(names, x, labels, ClassifierSettings(folds=9))
