"""Deltas: what tuning changed is added to the published weights, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.inference.build import e5, use
from guardrail.inference.build.delta import Deltas, coded, factors, packaged

CHANCE = np.random.default_rng(7)
WEIGHT = CHANCE.normal(size=(6, 10)).astype(np.float32)


def named(arrays: Mapping[str, np.ndarray]) -> Deltas:
    return Deltas({f"w.{part}": array for part, array in arrays.items()})


def test_a_weight_without_a_change_stays_as_it_was_published() -> None:
    assert named(coded(WEIGHT)).added("v", WEIGHT) is WEIGHT


def test_a_whole_change_is_added_to_within_half_a_code() -> None:
    change = CHANCE.normal(size=WEIGHT.shape)
    found = named(coded(change)).added("w", WEIGHT) - WEIGHT
    assert (np.abs(found - change) <= np.abs(change).max(axis=1, keepdims=True) / 127 * 0.51 + 1e-6).all()


def test_a_product_of_two_is_added_to_a_hundredth_of_its_size() -> None:
    first, second = CHANCE.normal(size=(2, 10)), CHANCE.normal(size=(6, 2))
    found = named(factors(first, second)).added("w", WEIGHT) - WEIGHT
    assert np.abs(found - second @ first).max() < 0.02 * np.abs(second @ first).max()


def test_the_sums_of_a_product_are_exact_in_any_order() -> None:
    arrays = factors(CHANCE.normal(size=(16, 10)), CHANCE.normal(size=(6, 16)))
    turned = {**arrays, "in": arrays["in"][::-1], "out": arrays["out"][:, ::-1]}
    assert (named(arrays).added("w", WEIGHT) == named(turned).added("w", WEIGHT)).all()


def test_no_change_at_all_is_no_division_by_nothing() -> None:
    none = np.zeros_like(WEIGHT)
    assert (named(coded(none)).added("w", WEIGHT) == WEIGHT).all()


@pytest.mark.parametrize("shape", [(6, 11), (5, 10)])
def test_a_change_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="reinstall Guardrail"):
        named(coded(np.ones(shape))).added("w", WEIGHT)


@pytest.mark.parametrize(("name", "some"), [(e5.DELTA, ("l11.qkv", (1152, 384))), (use.DELTA, ("cnn_W", (512, 1280)))])
def test_the_packaged_changes_fit_the_published_networks(name: str, some: tuple[str, tuple[int, int]]) -> None:
    weight = np.zeros(some[1], np.float32)
    assert np.abs(packaged(name).added(some[0], weight)).max() > 0
