import base64
import bz2
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from uad_eval import InputError
from uad_eval.figure_html import figure_html, pixel_table
from uad_eval.plots.style import Picture, png


@pytest.fixture
def figure():
    picture = Picture(figsize=(1, 1))
    picture.subplots()
    return picture


def saved(html):
    file, kind, content = re.search(r'download="([^"]+)" href="data:([^;]+);base64,([^"]+)"', html).groups()
    return file, kind, base64.b64decode(content)


def test_the_link_holds_the_table_and_the_picture_is_inside(figure):
    data = pd.DataFrame({"method": ["a<b", "c"], "value": [0.123456, np.nan]})
    html = figure_html(figure, data, name="by-method")
    file, kind, content = saved(html)
    assert (file, kind) == ("by-method.csv", "text/csv")
    read = pd.read_csv(io.BytesIO(content))
    assert list(read["method"]) == ["a<b", "c"]
    assert read["value"][0] == pytest.approx(0.1235)
    assert 'alt="by method"' in html
    assert "2 rows" in html
    picture = base64.b64decode(re.search(r"image/webp;base64,([^\"]+)", html)[1])
    drawn = Image.open(io.BytesIO(png(figure))).convert("RGB")
    np.testing.assert_array_equal(Image.open(io.BytesIO(picture)).convert("RGB"), drawn)
    assert "http" not in html
    assert "<script" not in html


def test_a_long_table_is_compressed_and_the_same_each_time(figure):
    data = pd.DataFrame({"value": np.arange(40_000) / 7})
    file, kind, content = saved(figure_html(figure, data, name="long"))
    assert (file, kind) == ("long.csv.bz2", "application/x-bzip2")
    assert len(pd.read_csv(io.BytesIO(bz2.decompress(content)))) == 40_000
    assert content == saved(figure_html(figure, data, name="long"))[2]


def test_pixels_of_the_brain_are_listed(figure):
    brain = np.zeros((2, 3, 4), bool)
    brain[0, 1, 2] = brain[1, 2, 3] = True
    scan = np.arange(24.0).reshape(2, 3, 4)
    table = pixel_table({"scan": scan, "lesion": brain & (scan > 12)}, brain=brain, titles=["tumour\nsub-1", "b"])
    assert table.to_dict("list") == {
        "case": ["tumour, sub-1", "b"],
        "row": [1, 2],
        "column": [2, 3],
        "scan": [6.0, 23.0],
        "lesion": [0, 1],
    }
    assert list(pixel_table({}, brain=brain)["case"]) == [0, 1]
    assert list(pixel_table({"map": scan / 97}, brain=brain)["map"]) == [0.0619, 0.2371]
    with pytest.raises(InputError, match="map: expected the shape of the brain"):
        pixel_table({"map": scan[:1]}, brain=brain)
