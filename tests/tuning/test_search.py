"""The search itself: results, resumption, trials that fail, and what each tuner tries."""

import csv
import threading

import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.files import locked
from tf_lungreg.tuning import read_best, space, tune
from tf_lungreg.tuning.settings import await_search, open_search
from tf_lungreg.tuning.space import score


def read_trials(out):
    with open(out / "trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_search_leaves_table_best_and_report(make_search, measured, tmp_path):
    rows = tune(make_search(also=("similarity",), trials=12), tmp_path)
    trials = read_trials(tmp_path)
    assert [row["trial"] for row in trials] == [str(n) for n in range(12)]
    for row, settings in zip(trials, measured):
        assert 1e-7 <= float(row["alpha"]) <= 1e-1 and 1e-6 <= float(row["beta"]) <= 1e-1
        assert float(row["alpha"]) == settings.alpha and row["similarity"] == settings.similarity
        folded = settings.beta <= 1e-4
        assert row["status"] == ("penalised" if folded else "completed")
        expected = float(row["val_dice"]) - (0.09 if folded else 0)  # 0.9 % above the bound
        assert float(row["score"]) == pytest.approx(expected, abs=2e-6)
    assert len({row["status"] for row in trials}) == 2 < len({row["alpha"] for row in trials})
    best = max(rows, key=lambda row: row["score"])
    assert read_best(tmp_path) == {name: best[name] for name in ("alpha", "beta", "similarity")}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1 and f"{best['alpha']:.3g}" in page


def test_an_interrupted_search_goes_on_as_if_it_had_not_stopped(
    make_search, measured, tmp_path, monkeypatch
):
    tune(make_search(), tmp_path / "whole")
    tried, fit = [], space.RegistrationHyperModel.fit

    def interrupting(self, hp, *arguments):
        tried.append(hp.values["alpha"])
        if len(tried) in (1, 3):  # in the first trial, and in the second
            raise KeyboardInterrupt
        return fit(self, hp, *arguments)

    monkeypatch.setattr(space.RegistrationHyperModel, "fit", interrupting)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(make_search(), tmp_path / "parts")
    assert len(read_trials(tmp_path / "parts")) == 1  # of those that ended
    tune(make_search(), tmp_path / "parts")
    assert len(tried) == 5 and tried[0] == tried[1] and tried[2] == tried[3]
    assert read_trials(tmp_path / "parts") == read_trials(tmp_path / "whole")

    tune(make_search(trials=4), tmp_path / "parts")  # more of the same
    assert len(tried) == 6 and len(read_trials(tmp_path / "parts")) == 4


def test_another_search_in_the_same_folder_is_refused_unless_asked(make_search, measured, tmp_path):
    tune(make_search(), tmp_path / "a")
    with pytest.raises(InputError, match="another seed.*--overwrite"):
        tune(make_search({"seed": 1}), tmp_path / "a")
    with pytest.raises(InputError, match="another max_folds"):
        tune(make_search(max_folds=0.5), tmp_path / "a")
    tune(make_search({"seed": 1}, trials=1), tmp_path / "a", overwrite=True)
    assert len(read_trials(tmp_path / "a")) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="no search"):
            tune(make_search(), tmp_path / "mine", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_worker_waits_for_the_chief_s_search(make_search, tmp_path):
    for there in (None, make_search({"seed": 1})):
        if there:
            open_search(tmp_path, there, overwrite=False)
        with pytest.raises(InputError, match="the chief has begun no search"):
            await_search(tmp_path, make_search(), seconds=0.01)
    opening = threading.Timer(0.2, open_search, (tmp_path, make_search(), False))
    opening.start()
    await_search(tmp_path, make_search(), seconds=60)
    assert not opening.is_alive()


def fail_in(trials, monkeypatch):
    fit = space.RegistrationHyperModel.fit

    def failing(self, hp, model, data, folder):
        if folder.name in trials:
            raise ValueError("this one\nis hopeless")
        return fit(self, hp, model, data, folder)

    monkeypatch.setattr(space.RegistrationHyperModel, "fit", failing)


def test_a_trial_that_fails_stands_in_the_table(make_search, measured, tmp_path, monkeypatch):
    fail_in(["trial_1"], monkeypatch)
    tune(make_search(), tmp_path)
    trials = read_trials(tmp_path)
    assert [row["status"] == "failed" for row in trials] == [False, True, False]
    assert trials[1]["message"] == "is hopeless" and trials[1]["val_dice"] == "n/a"
    assert "is hopeless" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_search_in_which_everything_fails_gives_up(
    make_search, measured, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO", "tf_lungreg")
    fail_in([f"trial_{n}" for n in range(9)], monkeypatch)
    with pytest.raises(InputError, match="3 trials in a row failed.*hopeless"):
        tune(make_search(trials=9), tmp_path / "nine")
    assert [row["status"] for row in read_trials(tmp_path / "nine")] == ["failed"] * 3
    assert not (tmp_path / "nine" / "best.json").exists()
    assert "trial 1 (2 of 9)" in caplog.text
    with pytest.raises(InputError, match="no trial ended well.*hopeless"):
        tune(make_search(trials=2), tmp_path / "two")


def test_hyperband_goes_on_with_what_did_well(make_search, measured, tmp_path):
    tune(make_search({"epochs": 3}, tuner="hyperband", trials=6), tmp_path)
    trials = read_trials(tmp_path)
    assert [row["epochs"] for row in trials[:4]] == ["1", "1", "1", "3"]
    best = max(trials[:3], key=lambda row: float(row["score"]))
    assert (trials[3]["alpha"], trials[3]["beta"]) == (best["alpha"], best["beta"])
    for name in ("best.npz", "last.npz"):  # the checkpoints of the short one were taken over
        assert (tmp_path / "search" / "trial_3" / name).read_text() == "1 3 "


def test_a_grid_covers_both_axes_from_end_to_end(make_search, measured, tmp_path):
    tune(make_search(tuner="grid", trials=9), tmp_path)
    found = {(settings.alpha, settings.beta) for settings in measured}
    alphas, betas = (1e-7, 1e-4, 1e-1), (1e-6, 3.16228e-4, 1e-1)
    assert found == {(a, b) for a in alphas for b in betas} and len(measured) == 9
    with pytest.raises(InputError, match="at least 4, not 3"):
        tune(make_search(tuner="grid", trials=3), tmp_path / "few")


def test_a_bayesian_search_finds_the_peak(make_search, measured, tmp_path):
    tune(make_search(tuner="bayesian", trials=10), tmp_path)
    best = read_best(tmp_path)
    assert 1e-5 < best["alpha"] < 1e-3 and 1e-4 < best["beta"] < 1e-2


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"tuner": "guess"}, "bayesian, hyperband, random, grid"),
        ({"also": ("gamma",)}, "learning-rate, similarity"),
        ({"trials": 0}, "trials"),
        ({"max_folds": float("nan")}, "max_folds"),
        ({"training": {"affine": False}}, "alpha and beta"),
    ],
)
def test_settings_that_cannot_be_searched_are_named(make_search, tmp_path, settings, word):
    with pytest.raises(InputError, match=word):
        tune(make_search(**settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_score_is_dice_until_the_bound_and_falls_beyond_it():
    assert score(0.8, 0.001, 0.001) == 0.8
    assert score(0.8, 0.011, 0.001) == pytest.approx(0.7)
    assert score(0.8, 0.9, 0.001) == pytest.approx(-0.2)


def test_two_searches_do_not_share_a_folder(make_search, measured, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(InputError, match="another process is writing"):
        tune(make_search(), tmp_path / "out")
    assert not (tmp_path / "out" / "settings.json").exists()
