from tf_lungreg.models import PRESETS


def test_the_preset_paper_has_the_papers_settings():
    preset = PRESETS["paper"]  # paper, Sections 2.3 and 2.4
    assert preset.shape == (64, 192, 192)
    assert preset.spacing == (2.5 * 1.5, 2.14 * 1.5, 2.14 * 1.5)
    assert (preset.alpha, preset.beta, preset.gamma) == (1e-6, 1e-6, 0)
    assert (preset.learning_rate, preset.lr_patience, preset.stop_patience) == (1e-3, 50, 100)
    assert (preset.batch, preset.steps) == (2, 100)
