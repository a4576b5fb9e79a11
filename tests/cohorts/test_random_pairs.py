import numpy as np
import tensorflow as tf

from tf_lungreg.cohorts.random_pairs import draw_pairs, fixed_pairs, stack_images, training_pairs


def images(rng, count=4):
    return [rng.uniform(size=(8, 9, 10)).astype(np.float32) for _ in range(count)]


def test_drawn_pairs_are_those_of_the_list_each_as_often():
    listed = [(0, 1), (0, 2), (1, 0), (2, 1)]
    pairs = np.concatenate([draw_pairs(0, step, 4, tf.constant(listed)) for step in range(400)])
    kinds, frequency = np.unique(pairs, axis=0, return_counts=True)
    assert sorted(map(tuple, kinds)) == listed
    assert abs(frequency / 400 - 1).max() < 0.2


def test_pairs_are_a_function_of_seed_and_step(rng):
    stack = stack_images(images(rng))
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (2, 0), (1, 3)]
    whole = list(training_pairs(stack, pairs, seed=3, batch=2).take(6))
    resumed = list(training_pairs(stack, pairs, seed=3, batch=2, first_step=4).take(2))
    other = next(iter(training_pairs(stack, pairs, seed=4, batch=2)))
    for (a, _), (b, _) in zip(whole[4:], resumed):
        np.testing.assert_array_equal(a["moving"], b["moving"])
        np.testing.assert_array_equal(a["fixed"], b["fixed"])
    assert not np.array_equal(whole[0][0]["moving"], other[0]["moving"])


def test_batches_hold_the_images_and_the_targets_of_each_output(rng):
    volumes = images(rng)
    dataset = fixed_pairs(stack_images(volumes), [(0, 1), (3, 2), (1, 0)], batch=2)
    (inputs, targets), (last, _) = list(dataset)
    np.testing.assert_array_equal(inputs["moving"][..., 0], [volumes[0], volumes[3]])
    np.testing.assert_array_equal(inputs["fixed"][..., 0], [volumes[1], volumes[2]])
    np.testing.assert_array_equal(targets["warped"], inputs["fixed"])
    np.testing.assert_array_equal(targets["affine"][0], np.eye(3, 4))
    assert tf.reduce_all(targets["spatial_gradients"] == 1)
    assert last["moving"].shape == (1, 8, 9, 10, 1)
