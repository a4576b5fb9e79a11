from types import SimpleNamespace

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model that moves something, and the folder of its first version."""
    from tf_lungreg.export import export_model
    from tf_lungreg.models import build_registration_model

    model = build_registration_model("small")
    for name in ("gradient_logits", "affine_parameters"):
        kernel = model.get_layer(name).kernel
        kernel.assign(tf.random.stateless_normal(kernel.shape, (1, 2), stddev=0.3))
    base = tmp_path_factory.mktemp("models") / "chest"
    version = export_model(model, base, {"settings": {"preset": "small"}})
    return SimpleNamespace(model=model, version=version)
