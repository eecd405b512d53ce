"""The curve of pass rate against compute: found again where it is known, and no more said than the data holds."""

import numpy as np
import pytest

from thinkwright.evaluation.scaling import MIN_POINTS, ScalingFit, fit_scaling


def noisy(fit: ScalingFit, compute: np.ndarray, noise: float, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [fit.at(c) + rng.normal(0, noise) for c in compute]


def curve(plateau: float, half: float, steepness: float = 1.0) -> ScalingFit:
    return ScalingFit(0.2, plateau, 0.0, 0.0, half, steepness, 0.0)


@pytest.mark.parametrize(("plateau", "half", "steepness"), [(0.8, 20.0, 1.5), (0.6, 10.0, 1.0), (0.95, 40.0, 2.0)])
def test_a_known_curve_is_found_again(plateau: float, half: float, steepness: float) -> None:
    compute, known = np.arange(1.0, 301.0), curve(plateau, half, steepness)
    found = [fit_scaling(compute.tolist(), noisy(known, compute, 0.02, seed)) for seed in range(20)]
    assert all(fit is not None for fit in found)
    fits = [fit for fit in found if fit is not None]
    assert max(abs(fit.plateau - plateau) for fit in fits) < 0.03
    assert sum(fit.half for fit in fits) / len(fits) == pytest.approx(half, rel=0.2)
    assert sum(fit.plateau_low <= plateau <= fit.plateau_high for fit in fits) >= 16  # of 95 % intervals


def test_half_of_a_run_foretells_the_whole() -> None:
    compute, known = np.arange(1.0, 201.0), curve(0.7, 30.0, 1.5)
    found = fit_scaling(compute.tolist(), noisy(known, compute, 0.02))
    assert found is not None
    assert found.at(400.0) == pytest.approx(known.at(400.0), abs=0.03)


def test_it_says_whether_more_will_help() -> None:
    compute = np.arange(1.0, 101.0)
    rising = fit_scaling(compute.tolist(), noisy(curve(0.9, 80.0, 1.5), compute, 0.01))
    flat = fit_scaling(compute.tolist(), noisy(curve(0.6, 3.0, 2.0), compute, 0.01))
    unclear = fit_scaling(compute.tolist(), noisy(curve(0.5, 300.0, 1.0), compute, 0.1))
    assert rising is not None
    assert flat is not None
    assert unclear is not None
    assert (rising.verdict(), flat.verdict()) == ("yes", "no")
    assert unclear.plateau_high - unclear.plateau_low > 0.2


def test_no_plateau_is_above_one_and_too_little_data_gives_no_fit() -> None:
    compute = np.arange(1.0, 101.0)
    found = fit_scaling(compute.tolist(), np.minimum(1.0, 0.2 + compute / 110).tolist())
    assert found is not None
    assert found.plateau <= found.plateau_high <= 1.0
    assert fit_scaling(compute[: MIN_POINTS - 1].tolist(), [0.5] * (MIN_POINTS - 1)) is None
    assert fit_scaling((compute + 100).tolist(), [0.5] * 100) is None


def test_no_plateau_of_a_falling_run_is_below_zero() -> None:
    compute = np.arange(1.0, 101.0)
    found = fit_scaling(compute.tolist(), (0.6 - compute / 200).tolist())
    assert found is not None
    assert 0.0 <= found.plateau_low <= found.plateau <= found.plateau_high <= 1.0
    assert found.at(100.0) == pytest.approx(0.1, abs=0.1)
    assert found.verdict() != "yes"


def test_a_run_that_learned_nothing_is_flat() -> None:
    compute = np.arange(1.0, 61.0)
    rng = np.random.default_rng(3)
    found = fit_scaling(compute.tolist(), (0.3 + rng.normal(0, 0.01, 60)).tolist())
    assert found is not None
    assert found.at(60.0) == pytest.approx(0.3, abs=0.02)
