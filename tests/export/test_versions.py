import gc
import json
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.export import (
    export_model,
    find_model,
    load_model,
    read_card,
    read_weights,
    shared_model,
)
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights

# Runs where nothing but TensorFlow can be imported.
ELSEWHERE = """
import sys
import numpy as np, tensorflow as tf
assert not any(name.startswith("tf_lungreg") for name in sys.modules)
model = tf.saved_model.load(sys.argv[1])
for inputs, outputs in zip(sys.argv[2::2], sys.argv[3::2]):
    pair = np.load(inputs)
    out = model.signatures["serving_default"](**{k: tf.constant(pair[k]) for k in pair})
    np.savez(outputs, **{k: v.numpy() for k, v in out.items()})
"""


@pytest.fixture
def model(tiny):
    return build_registration_model(tiny)


def test_it_runs_elsewhere_with_the_same_numbers(exported, rng, tmp_path):
    command = [sys.executable, "-c", ELSEWHERE, str(exported.version)]
    pairs = []
    for number, shape in enumerate([(16, 24, 20), (9, 17, 33)]):
        pair = {n: rng.uniform(size=(2, *shape, 1)).astype(np.float32) for n in ("moving", "fixed")}
        np.savez(tmp_path / f"pair{number}.npz", **pair)
        command += [str(tmp_path / f"{name}{number}.npz") for name in ("pair", "out")]
        pairs.append(pair)
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(command, check=True, cwd=tmp_path / "elsewhere", timeout=300)
    for number, pair in enumerate(pairs):
        expected = exported.model({k: tf.constant(v) for k, v in pair.items()})
        assert np.abs(expected["warped"] - pair["moving"]).max() > 0.1  # it moves something
        with np.load(tmp_path / f"out{number}.npz") as found:
            assert set(found) == {"warped", "grid", "affine", "spatial_gradients"}
            for name in found:
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_each_export_takes_the_next_version_and_carries_card_and_weights(model, tmp_path):
    base = tmp_path / "model"
    (base / "7").mkdir(parents=True)
    card = {"settings": {"preset": "tiny"}}
    assert export_model(model, base, card) == base / "8"
    assert export_model(model, base, card) == base / "9"
    assert sorted(p.name for p in base.iterdir()) == ["7", "8", "9"]
    loaded = load_model(base)
    assert loaded.path == base / "9" and loaded.card["settings"] == card["settings"]
    assert set(loaded.weights) == set(named_weights(model))
    for name, variable in named_weights(model).items():
        np.testing.assert_array_equal(loaded.weights[name], variable.numpy())
    file = base / "8" / "assets.extra" / "model_card.json"
    assert json.loads(file.read_text(encoding="utf-8")) == loaded.card
    assert "not a medical device" in loaded.card["intended_use"].lower()


@pytest.mark.parametrize(
    "card", ["[1]", '{"settings": 5}', "{", "5", pytest.param("[" * 100_000, id="deep")]
)
def test_a_card_that_is_none(exported, tmp_path, card):
    copy = tmp_path / "1"
    shutil.copytree(exported.version, copy)
    (copy / "assets.extra" / "model_card.json").write_text(card, encoding="utf-8")
    with pytest.raises(InputError, match="no model card can be read"):
        read_card(copy)


def test_weights_that_are_cut_off(exported, tmp_path):
    copy = tmp_path / "1"
    shutil.copytree(exported.version, copy)
    (file,) = copy.glob("variables/*.data*")
    file.write_bytes(file.read_bytes()[:100])
    for read in (read_weights, load_model):
        with pytest.raises(InputError, match="not a model of this package"):
            read(copy)


def test_the_sampling_signatures(exported, rng):
    loaded = load_model(exported.version)
    volume = tf.constant(rng.uniform(0, 5, (1, 8, 9, 10, 1)).astype(np.float32))
    grid = tf.constant(rng.uniform(0, 7, (1, 6, 5, 4, 3)).astype(np.float32))
    warped = loaded.signatures["warp"](volume=volume, grid=grid)["warped"]
    np.testing.assert_allclose(warped, ops.warp(volume, grid), atol=1e-5)
    labels = rng.integers(2**32 - 100, 2**32, (1, 8, 9, 10, 1))  # float32 does not tell them apart
    warped = loaded.signatures["warp_labels"](volume=tf.constant(labels), grid=grid)["warped"]
    at = np.floor(grid[0] + 0.5).astype(int)
    np.testing.assert_array_equal(warped[0], labels[0, at[..., 0], at[..., 1], at[..., 2]])


def test_two_exports_at_once_take_two_numbers(model, tmp_path, monkeypatch):
    base = tmp_path / "model"

    def slow(path, content):  # another export ends while this one writes
        monkeypatch.undo()
        export_model(model, base, {"which": "other"})
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    monkeypatch.setattr("tf_lungreg.export.writing.write_json", slow)
    monkeypatch.setattr("tf_lungreg.export.writing.list_versions", lambda _: [])
    assert export_model(model, base, {"which": "this"}) == base / "2"
    assert load_model(base / "1").card["which"] == "other"
    assert load_model(base / "2").card["which"] == "this"


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tf_lungreg.export.writing.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model(model, tmp_path / "model", {})
    assert list((tmp_path / "model").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(model, tmp_path, monkeypatch):
    def refuse(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "variables; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    with pytest.raises(InputError, match="model: the model cannot be written .*No space left"):
        export_model(model, tmp_path / "model", {})
    assert list((tmp_path / "model").iterdir()) == []


def test_no_model_there(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no SavedModel"):
        find_model(tmp_path)
    foreign = tf.Module()
    tf.saved_model.save(foreign, str(tmp_path / "foreign"))
    with pytest.raises(InputError, match="model_card"):
        load_model(tmp_path / "foreign")


def test_a_shared_model_stays_loaded_until_its_files_change(exported, tmp_path):
    base = tmp_path / "chest"
    shutil.copytree(exported.version, base / "1")
    first = shared_model(base)
    assert shared_model(base / "1") is first
    card = base / "1" / "assets.extra" / "model_card.json"
    card.write_text(card.read_text(encoding="utf-8").replace("small", "other"), encoding="utf-8")
    again = shared_model(base)
    assert again is not first and again.card["settings"]["preset"] == "other"
    assert shared_model(base) is again


def test_shared_models_are_few(exported, tmp_path):
    for number in (1, 2, 3):
        shutil.copytree(exported.version, tmp_path / str(number))
    models = [weakref.ref(shared_model(tmp_path / str(number))) for number in (1, 2, 3)]
    gc.collect()
    assert [model() is None for model in models] == [True, False, False]


def test_threads_share_one_model(exported, tmp_path):
    shutil.copytree(exported.version, tmp_path / "1")
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: shared_model(tmp_path), range(4)))
    assert all(model is models[0] for model in models)
