from dataclasses import replace

import pytest

from skwing import CascadeLandmarkRegressor, recipes
from skwing._training.automatic import CASCADE
from skwing._training.parameters import SETTINGS, stage_settings
from skwing._utils.checks import check_table
from skwing.networks import NETWORKS


def test_the_paper_recipe_is_what_the_regressor_takes():
    settings = recipes.paper(n_samples=3148, n_landmarks=68)
    regressor = CascadeLandmarkRegressor(**settings)
    first, second = stage_settings(check_table(SETTINGS, regressor), 2, 3148)
    # 120000 steps of 8 images; 3e-5 for a sum over 136 coordinates, a third of that for CNN-7.
    assert first.max_epochs * -(-3148 // 8) == pytest.approx(120_000, rel=0.01)
    assert first.learning_rate == pytest.approx(3e-5 * 136)
    assert second.learning_rate == pytest.approx(1e-5 * 136)
    assert (first.w, first.epsilon, second.w, second.epsilon) == (10, 2, 15, 3)
    assert regressor.average_mirrored is False
    assert first.augmentation.rotation == 30 and second.augmentation.rotation == 10


def test_the_best_recipe_is_the_default_for_longer():
    plain, longer = (
        stage_settings(check_table(SETTINGS, CascadeLandmarkRegressor(**recipe)), 2, 500)
        for recipe in ({}, recipes.best(n_samples=500))
    )
    for own, more in zip(plain, longer, strict=True):
        assert more == replace(own, max_epochs=2 * own.max_epochs)
    with pytest.raises(ValueError, match="n_samples must be an integer"):
        recipes.best(0)


def test_the_fast_recipe_has_a_third_of_the_weights_and_one_look():
    plain, fast = (CascadeLandmarkRegressor(**recipe) for recipe in ({}, recipes.fast()))
    sizes = [
        sum(p.numel() for name in names for p in NETWORKS[name](68).parameters())
        for names in (fast.networks, CASCADE)
    ]
    assert sizes[0] < 0.3 * sizes[1]
    assert plain.average_mirrored and not (fast.average_mirrored or fast.retry)
    changed = {key for key, value in plain.get_params().items() if fast.get_params()[key] != value}
    assert changed == {"networks", "average_mirrored", "retry"}


@pytest.mark.parametrize("wrong", [{"n_samples": 0}, {"n_landmarks": 0}])
def test_a_recipe_for_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be an integer"):
        recipes.paper(**{"n_samples": 10, "n_landmarks": 5, **wrong})
