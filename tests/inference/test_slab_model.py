"""What can run in slabs, and in how much memory."""

import numpy as np
import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel
from tf_lungreg.inference.network_pass import identity_model
from tf_lungreg.inference.slab_model import in_slabs
from tf_lungreg.registration.settings import RegistrationSettings


@pytest.mark.parametrize("memory", [0, -1, float("nan"), float("inf"), True, "4"])
def test_no_number_of_gb(memory):
    with pytest.raises(InputError, match="memory: GB, a number above 0"):
        RegistrationSettings(memory=memory)


def test_models_without_a_network_here():
    for model in (identity_model(), object()):
        with pytest.raises(InputError, match="goes with an exported model"):
            in_slabs(model, 1)


def test_a_card_that_does_not_say_which_network_it_is():
    card, weights = {"settings": {"preset": "small"}}, {"encoder_1.0": np.zeros(3)}
    with pytest.raises(InputError, match="some/model: its card .* 'affine' is missing"):
        in_slabs(ExportedModel("some/model", card, weights, {}), 1)
