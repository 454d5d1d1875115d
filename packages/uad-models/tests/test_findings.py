import numpy as np
import pytest

from uad_data.preparation.way_back import WayBack
from uad_models.clinical.findings import COLUMNS, Midline, find_midline, find_warnings, list_findings

# Voxels of 2 x 3 x 4 mm (right, anterior, superior), the first one's centre at (-10, -20, -30) mm.
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, -30], [0, 0, 0, 1]])
SHAPE = (8, 9, 11)
PLANE = Midline(np.array([1.0, 0, 0]), 0.0, "x = 0")


def way_back(movement=None):
    return WayBack(SHAPE, AFFINE, SHAPE, AFFINE, np.eye(4) if movement is None else movement)


def test_figures_match_a_mask_made_by_hand():
    mask, scores = np.zeros(SHAPE, bool), np.zeros(SHAPE)
    mask[1, 2, 1:3] = True  # two voxels at x = -8 and -6
    mask[4:6, 5:7, 8:10] = True  # eight at x = 6 and 8
    mask[7, 8, 5] = True  # one at x = 0
    scores[4, 5, 8], scores[mask] = 0, 0.5
    scores[5, 6, 9] = 4.5
    table, labels = list_findings(mask, scores, AFFINE, PLANE)
    assert tuple(table.columns) == COLUMNS
    assert table["voxels"].tolist() == [8, 2, 1]
    assert table["volume_ml"].tolist() == pytest.approx([0.192, 0.048, 0.024])
    assert table[["x_mm", "y_mm", "z_mm"]].to_numpy().tolist() == [[7, -3.5, -12], [-7, -14, -26], [0, 4, -2]]
    assert table["side"].tolist() == ["right", "left", "midline"]
    assert table["midline_mm"].tolist() == [7, -7, 0]
    assert table["peak_score"].tolist() == [4.5, 0.5, 0.5]
    assert table["mean_score"].tolist() == pytest.approx([1.0, 0.5, 0.5])
    assert [np.count_nonzero(labels == number) for number in (1, 2, 3)] == [8, 2, 1]
    assert labels[5, 6, 9] == 1
    assert labels[1, 2, 1] == 2


def test_voxels_that_share_a_corner_are_one_finding():
    mask = np.zeros(SHAPE, bool)
    mask[1, 1, 1] = mask[2, 2, 2] = mask[4, 4, 4] = True
    assert list_findings(mask, mask * 1.0, AFFINE, PLANE)[0]["voxels"].tolist() == [2, 1]


def test_an_empty_mask_has_no_finding():
    table, labels = list_findings(np.zeros(SHAPE, bool), np.zeros(SHAPE), AFFINE, PLANE)
    assert tuple(table.columns) == COLUMNS
    assert table.empty
    assert not labels.any()


def test_pictures_have_no_millimetres():
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    (row,) = list_findings(mask, mask * 1.0, AFFINE, PLANE, in_mm=False)[0].to_dict(orient="records")
    assert (row["voxels"], row["side"]) == (1, "left")
    assert np.isnan([row[name] for name in ("volume_ml", "x_mm", "y_mm", "z_mm", "midline_mm")]).all()


def test_sides_are_told_in_the_templates_space():
    # What is at x = 40 in the scanner lies at x = 0 in the template: a head that lay far to one side.
    movement = np.eye(4)
    movement[0, 3] = 40
    brain = np.ones(SHAPE, bool)
    plane = find_midline(brain, AFFINE, way_back(movement), template="mni152")
    assert plane.distance(np.array([[40.0, 0, 0], [30, 5, 5], [52, -9, 9]])).tolist() == [0, -10, 12]
    assert "template mni152" in plane.told


def test_a_tilted_head_is_judged_by_its_own_plane():
    angle = np.radians(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    plane = find_midline(np.ones(SHAPE, bool), AFFINE, way_back(turn), template="mni152")
    behind = turn[:3, :3] @ [0.0, -80, 0]  # on the head's mid-plane, yet far to the right in the scanner
    assert behind[0] == pytest.approx(40)
    assert plane.distance(behind[None])[0] == pytest.approx(0)


@pytest.mark.parametrize("template", [None, "own.nii.gz"])
def test_without_a_known_template_the_brains_middle_decides(template):
    brain = np.zeros(SHAPE, bool)
    brain[:, :, 6:11] = True  # x from 2 to 10
    plane = find_midline(brain, AFFINE, way_back(), template=template)
    assert plane.distance(np.array([[6.0, 50, 50], [0, 0, 0]])).tolist() == [0, -6]
    assert plane.told.startswith("the plane through the middle of this brain")
    assert ("template" in plane.told) == bool(template)


@pytest.mark.parametrize(
    ("quality", "above", "says"),
    [
        ({"brain_ml": 300.0}, 0.1, "measures 300 ml"),
        ({"brain_ml": 2900.0}, None, "measures 2900 ml"),
        ({"dice_to_template": 0.5}, None, "Dice of only 0.50"),
        ({"coverage": 0.9, "touches_border": True}, None, "covers only 90% of the brain"),
        ({"coverage": None, "touches_border": True}, None, "reaches the edge of the scan"),
        ({}, 0.4, "40% of the brain that was judged is above the threshold"),
    ],
)
def test_odd_scans_are_told(quality, above, says):
    (text,) = find_warnings(quality, above)
    assert says in text


def test_a_plain_scan_gets_no_warning():
    quality = {"brain_ml": 1300.0, "dice_to_template": 0.95, "coverage": 1.0, "touches_border": False, "snr": 20.0}
    assert find_warnings(quality, 0.03) == []
    assert find_warnings({"brain_ml": None}, None) == []
    assert find_warnings(quality, 0.03, judged=0.8) == []


def test_a_scan_of_which_much_was_not_judged_gets_a_warning():
    (text,) = find_warnings({}, 0.03, judged=0.79)
    assert "Only 79% of the brain was judged" in text
