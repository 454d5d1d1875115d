import numpy as np
import pytest

from uad_eval import InputError
from uad_eval.volume_agreement import volume_agreement


def test_case_worked_by_hand():
    # Differences 1, 2, 3: bias 2, standard deviation 1; t of 2 degrees of freedom is 4.303.
    found = volume_agreement([2, 4, 8], [1, 2, 5])
    assert found.bias == 2
    assert (found.low, found.high) == pytest.approx((2 - 1.96, 2 + 1.96))
    assert (found.bias_low, found.bias_high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)


def test_the_limits_hold_95_in_100_of_differences():
    rng = np.random.default_rng(0)
    true = rng.lognormal(2, 1, 4000)
    marked = np.maximum(true + 0.1 * rng.normal(1, 1, 4000), 0)
    found = volume_agreement(marked, true)
    share = ((marked - true > found.low) & (marked - true < found.high)).mean()
    assert share == pytest.approx(0.95, abs=0.01)
    assert found.bias_low < 0.1 < found.bias_high


def test_few_scans_and_empty_ones():
    assert np.isnan(volume_agreement([], [])[1:]).all()
    one = volume_agreement([3], [1])
    assert (one.scans, one.bias) == (1, 2)
    assert np.isnan(one[2:]).all()
    assert volume_agreement([0, 0], [0, 0])[1:] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(("marked", "true"), [([1], [1, 2]), ([-1], [1]), ([np.nan], [1])])
def test_bad_input_is_refused(marked, true):
    with pytest.raises(InputError, match="volumes: expected"):
        volume_agreement(marked, true)
