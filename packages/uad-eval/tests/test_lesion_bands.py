import numpy as np
import pytest

from uad_eval import InputError
from uad_eval.lesion_bands import ALL, band_labels, found_by_band, lesion_table
from uad_eval.lesionwise import count_lesions


@pytest.fixture
def items():
    """Two slices of a and one of b; the brain is a checkerboard of 9 and 11."""
    shape = (3, 20, 20)
    brain = np.ones(shape, bool)
    brain[:, 0] = False
    images = np.where(np.indices(shape).sum(axis=0) % 2, 9.0, 11.0) * brain
    truth, masks = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    truth[0, 3:5, 3:8] = 1
    images[0, 3:5, 3:8] = 20.0
    masks[0, 3, 3] = True  # a tenth of it
    truth[0, 12:14, 12:14] = 2
    images[0, 12:14, 12:14] = 10.0
    truth[2, 5:10, 5:9] = 1
    images[2, 5:10, 5:9] = 0.0
    masks[2, 5, 5] = True  # a twentieth
    return images, truth, brain, masks


def table(items, **changes):
    given = {"pathologies": ["ms", "ms", "cyst"], "voxel_ml": [0.1, 0.1, 1.0]} | changes
    return lesion_table(*items, ["a", "a", "b"], **given)


def test_each_lesion_is_measured(items):
    lesions = table(items)
    assert lesions["item"].to_list() == [0, 0, 2]
    assert lesions["pathology"].to_list() == ["ms", "ms", "cyst"]
    assert lesions["volume_ml"].to_list() == pytest.approx([1.0, 0.4, 20.0])
    inside = items[0][0][items[2][0] & (items[1][0] == 0)]
    spread = 1.4826 * np.median(np.abs(inside - np.median(inside)))
    ring = np.zeros((20, 20), bool)
    ring[1:8, 0:11] = True  # row 0 is no brain
    ring[3:5, 3:8] = False
    assert lesions["contrast"].iloc[0] == pytest.approx((20.0 - np.median(items[0][0][ring])) / spread)
    assert lesions["contrast"].iloc[2] < 0
    assert lesions["marked"].to_list() == pytest.approx([0.1, 0.0, 0.05])
    assert lesions["found"].to_list() == [True, False, False]


def test_found_as_lesionwise_counts_it():
    rng = np.random.default_rng(0)
    truth = rng.random((6, 24, 24)) > 0.8
    masks = rng.random(truth.shape) > 0.9
    brain = np.ones(truth.shape, bool)
    lesions = lesion_table(
        rng.random(truth.shape), truth, brain, masks, list("abcdef"), pathologies=["x"] * 6, voxel_ml=[1.0] * 6
    )
    counted = [count_lesions(mask, lesion) for mask, lesion in zip(masks, truth, strict=True)]
    assert lesions.groupby("item")["found"].agg(["size", "sum"]).to_numpy().tolist() == [
        [int(each.lesions[0]), int(each.found[0])] for each in counted
    ]


def test_a_slice_that_is_all_lesion_has_no_contrast(items):
    items[1][1] = 1
    lesions = table(items)
    assert np.isnan(lesions.loc[lesions["item"] == 1, "contrast"]).all()
    bands = found_by_band(lesions).set_index(["size", "contrast"])
    total = bands.loc[(ALL, ALL)]
    assert total["lesions"] == len(lesions)
    assert bands.drop(index=ALL, level="contrast").loc[ALL]["lesions"].sum() == len(lesions) - 1


def test_shares_by_band(items):
    bands = found_by_band(table(items), volume_edges=(1.0,), contrast_edges=(0.0,)).set_index(["size", "contrast"])
    assert bands.loc[("≥ 1 ml", ALL), "value"] == 0.5
    assert bands.loc[("< 1 ml", ALL), ["lesions", "value"]].to_list() == [1, 0]
    total = bands.loc[(ALL, ALL)]
    assert (total["lesions"], total["people"], total["value"]) == (3, 2, pytest.approx(1 / 3))
    assert (total["low"], total["high"]) == (0.0, 0.5)  # two people: a found one of two, b none of one
    assert np.isnan(bands.loc[("< 1 ml", ALL), "low"])
    assert ("< 1 ml", "< 0 SD") not in bands.index


def test_labels():
    assert band_labels((-0.5, 1.0), " SD") == ["< −0.5 SD", "−0.5 to 1 SD", "≥ 1 SD"]


def test_no_lesion(items):
    images, truth, brain, masks = items
    lesions = table((images, truth * 0, brain, masks))
    assert lesions.empty
    assert found_by_band(lesions).empty


def test_what_does_not_fit(items):
    images, truth, brain, masks = items
    with pytest.raises(InputError, match="masks: expected the shape"):
        table((images, truth, brain, masks[:, 1:]))
    with pytest.raises(InputError, match="expected 3 entries, one per item"):
        table(items, voxel_ml=[1.0])
