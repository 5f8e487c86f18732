"""How strongly a site is edited."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from utils.erasure.ridges import (
    FIRST_STAGE_FACTOR,
    FULL_KERNEL_FACTOR,
    LAST_STAGE_FACTOR,
    MOST_RIDGE,
    cross_fitted_auc,
    distance_of_auc,
    site_ridges,
)


def blobs(distance, n=4000, seed=0):
    labels = np.arange(n) % 2
    features = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    features[:, 1] += distance * torch.from_numpy(labels)
    return features, labels, np.arange(n) // 2


def test_two_normal_classes_have_the_auc_that_their_distance_says():
    for apart in (0.5, 1.0, 2.0):
        found = cross_fitted_auc(*blobs(apart))
        assert found == pytest.approx(norm.cdf(apart / 2**0.5), abs=0.03)
        assert distance_of_auc(norm.cdf(apart / 2**0.5)) == pytest.approx(apart)


def test_features_without_the_target_give_one_half_also_if_each_image_comes_twice():
    features, labels, _ = blobs(0.0, n=300)
    wide = torch.cat([features, torch.randn(300, 200, generator=torch.Generator().manual_seed(1))], 1)
    twice = torch.cat([wide, wide]), np.tile(labels, 2), np.tile(np.arange(300), 2)
    assert abs(cross_fitted_auc(*twice) - 0.5) < 0.08
    split = twice[0], twice[1], np.repeat([0, 1], 300)  # copies in both folds: memorised
    assert cross_fitted_auc(*split) > 0.9


def test_a_fold_without_a_class_gives_one_half():
    features, labels, _ = blobs(2.0, n=40)
    assert cross_fitted_auc(features, labels, labels) == 0.5


def test_a_site_that_tells_no_more_than_an_untrained_one_is_left_almost_alone():
    features, labels, groups = blobs(1.0)
    far, near = blobs(4.0)[0], blobs(0.2)[0]
    own = {"same": features, "all": far, "less": near}
    given = own, dict.fromkeys(own, features), labels[:, None], groups
    ridges = {site: of[0] for site, of in site_ridges(*given).items()}
    assert ridges["all"] < 0.12 < 0.5 < ridges["same"] <= MOST_RIDGE and ridges["less"] > 0.5
    assert site_ridges(*given, strength=4.0)["all"] == [pytest.approx(ridges["all"] / 4)]
    by_stage = site_ridges(*given, areas={"same": 64, "less": 16, "all": 4})
    factors = {"same": FIRST_STAGE_FACTOR, "less": 1.0, "all": LAST_STAGE_FACTOR}
    assert by_stage == {site: [pytest.approx(ridges[site] * factor)] for site, factor in factors.items()}
    assert site_ridges(*given, full_kernel=["all"])["all"] == [pytest.approx(ridges["all"] * FULL_KERNEL_FACTOR)]


def test_each_target_has_a_ridge_of_its_own():
    features, labels, groups = blobs(4.0)
    both = np.stack([labels, np.random.default_rng(0).permutation(labels)], 1)
    floor = blobs(1.0)[0]
    one, two = (site_ridges({"a": features}, {"a": floor}, table, groups)["a"] for table in (both[:, :1], both))
    assert two[0] == one[0] and two[1] > 5 * two[0]
