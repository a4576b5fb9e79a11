"""The methods by name."""

import sys

import numpy as np
import pytest

from tf_lungreg import ops
from tf_lungreg.errors import InputError
from tf_lungreg.reproduction.baselines import BASELINES, find_baseline


def test_the_rows_of_the_table():
    assert list(BASELINES) == ["unregistered", "syn"] + [
        f"discrete-{metric}" for metric in ("ncc", "dwm", "mi", "all")
    ]


def test_no_registration_is_the_identity(rng):
    fixed, moving = rng.random((2, 4, 5, 6), np.float32)
    result = find_baseline("unregistered")(fixed, moving, (3, 2, 1))
    np.testing.assert_array_equal(result.grid, ops.identity_grid((4, 5, 6))[0])
    assert result.grid.dtype == np.float32 and result.seconds == 0


def test_an_unknown_name():
    with pytest.raises(InputError, match="unregistered, syn, discrete-ncc.*'demons'"):
        find_baseline("demons")


@pytest.mark.parametrize("name, module", [("syn", "ants"), ("discrete-mi", "maxflow")])
def test_a_package_that_is_not_installed(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"^{module}: .*pip install \"tf_lungreg\[baselines\]\""):
        find_baseline(name)
