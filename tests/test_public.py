import subprocess
import sys

import pytest

import tf_lungreg


@pytest.mark.parametrize("name", tf_lungreg.__all__)
def test_every_public_name_is_there(name):
    assert getattr(tf_lungreg, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="regster"):
        tf_lungreg.regster


def test_importing_the_package_does_not_load_tensorflow():
    code = "import sys, tf_lungreg, tf_lungreg.cli; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
