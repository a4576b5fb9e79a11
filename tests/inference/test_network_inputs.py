"""Two images become what a model takes."""

import numpy as np

import tf_lungreg as lr
from tf_lungreg.inference.network_pass import run_network


def test_they_are_what_a_registration_shows_the_network(pair, tools):
    model = tools.known_model(tools.SOME_AFFINE, 0.2)
    images = [lr.Image.read(path) for path in (pair.fixed, pair.moving)]
    inputs = lr.network_inputs(model, *images)
    seen = run_network(model, *images)
    for name in ("fixed", "moving"):
        assert inputs[name].dtype == np.float32
        np.testing.assert_array_equal(inputs[name], getattr(seen, name)[None, ..., None])
    np.testing.assert_array_equal(model(inputs)["warped"][0, ..., 0], seen.warped)
