import base64
import io
import re

import imageio.v3 as iio
import numpy as np
import pytest

from uad_models.clinical.scan_pictures import AXIAL, CORONAL, SAGITTAL, Painter, largest_slices, spread_slices

SPACING = (6.0, 1.0, 2.0)  # thick slices, oblong pixels
SHAPE = (12, 90, 40)


@pytest.fixture
def painter():
    brain = np.zeros(SHAPE, bool)
    brain[2:10, 15:75, 8:32] = True  # 48 x 60 x 48 mm
    image = np.where(brain, 100.0, 0).astype(np.float32)
    image[:, :, 25:32] *= 3  # the subject's right is bright
    labels = np.zeros(SHAPE, np.int32)
    labels[5:7, 60:70, 10:14] = 1  # anterior left
    labels[3, 20:24, 26:30] = 2
    scores = np.where(labels > 0, 2.0, 0.0)
    return Painter(image=image, scores=scores, brain=brain, labels=labels, spacing=SPACING, low=0.5, high=2.0)


def pixels(svg):
    (source,) = re.findall(r"base64,([^\"]+)", svg)
    return iio.imread(io.BytesIO(base64.b64decode(source))).astype(float)


@pytest.mark.parametrize(("view", "mm"), [(AXIAL, (80, 68)), (CORONAL, (72, 68)), (SAGITTAL, (72, 80))])
def test_a_millimetre_is_as_long_down_as_across(painter, view, mm):
    found = pixels(painter.draw(view, 5 if view is AXIAL else 20, pixels_per_mm=1.5)).shape[:2]
    # The margin is 10 mm on each side, in whole voxels: 12 mm along d.
    assert found == tuple(round(1.5 * length) for length in mm)


def test_the_subjects_right_is_on_the_left_and_anterior_at_the_top(painter):
    svg = painter.draw(AXIAL, 5, pixels_per_mm=1)
    picture = pixels(svg)
    rows, columns = picture.shape
    assert picture[rows // 2, : columns // 2].mean() > picture[rows // 2, columns // 2 :].mean() + 20
    assert re.findall(r"<text[^>]*>([A-Z])</text>", svg) == ["R", "L"]
    assert 'text-anchor="end">L<' in svg
    heat = pixels(painter.draw(AXIAL, 5, pixels_per_mm=1, overlay=True))
    y, x = np.argwhere(np.ptp(heat, axis=2) > 60).mean(axis=0)
    assert y < rows / 2
    assert x > columns / 2


def test_superior_is_at_the_top(painter):
    heat = pixels(painter.draw(CORONAL, 65, pixels_per_mm=1, overlay=True))
    assert np.argwhere(np.ptp(heat, axis=2) > 60).mean(axis=0)[0] == pytest.approx(heat.shape[0] / 2, abs=4)
    low = pixels(painter.draw(CORONAL, 22, pixels_per_mm=1, overlay=True))
    assert np.argwhere(np.ptp(low, axis=2) > 60).mean(axis=0)[0] > 0.6 * low.shape[0]
    assert ">A</text>" in painter.draw(SAGITTAL, 12, pixels_per_mm=1)


def test_outlines_follow_the_findings(painter):
    plain = painter.draw(AXIAL, 5, pixels_per_mm=2)
    assert "<path" not in plain
    svg = painter.draw(AXIAL, 5, pixels_per_mm=2, overlay=True, focus=1, label="z 3")
    everything, focus = re.findall(r'class="(outline[^"]*)" d="([^"]+)"', svg)
    assert (everything[0], focus[0]) == ("outline", "outline focus")
    assert everything[1] == focus[1]
    points = np.array(re.findall(r"([\d.]+) ([\d.]+)", focus[1]), float)
    # 10 voxels of 1 mm down and 4 of 2 mm across, at 2 pixels per mm; corners are cut by half a voxel.
    assert np.ptp(points, axis=0).tolist() == pytest.approx([16, 20], abs=0.1)
    assert ">z 3</text>" in svg
    assert 'class="outline focus"' not in painter.draw(AXIAL, 3, pixels_per_mm=2, overlay=True, focus=1)


def test_a_picture_has_one_view(painter):
    flat = {name: getattr(painter, name)[5:6] for name in ("image", "scores", "brain", "labels")}
    single = Painter(**flat, spacing=SPACING, low=0.5, high=2.0)
    assert single.views == [AXIAL]
    assert len(painter.views) == 3


def test_an_empty_brain_shows_the_whole_scan(painter):
    nothing = np.zeros(SHAPE, bool)
    whole = Painter(
        image=painter.image, scores=painter.scores, brain=nothing, labels=None, spacing=SPACING, low=0.5, high=2.0
    )
    assert pixels(whole.draw(AXIAL, 5, pixels_per_mm=1, overlay=True)).shape[:2] == (90, 80)


def test_slices_go_through_the_findings(painter):
    assert largest_slices(painter.labels, 2)[0] == 3
    d, h, w = largest_slices(painter.labels, 1)
    assert painter.labels[d, h, w] == 1


def test_slices_are_spread_over_the_brain_from_the_top(painter):
    assert spread_slices(painter.brain, 4) == [9, 7, 4, 2]
    assert spread_slices(painter.brain, 50) == [9, 8, 7, 6, 5, 4, 3, 2]
    assert spread_slices(np.zeros((3, 2, 2), bool), 50) == [2, 1, 0]
