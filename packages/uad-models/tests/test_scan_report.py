import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from uad_data.preparation.way_back import WayBack
from uad_models.clinical.findings import find_midline, list_findings
from uad_models.clinical.scan_input import Files
from uad_models.clinical.scan_report import write_report
from uad_models.clinical.scan_result import ScanResult
from uad_models.clinical.verdict import Verdict
from uad_models.run_folder import RunConfig
from uad_postproc.pipelines import pipeline

SHAPE = (14, 60, 50)
AFFINE = np.diag([3.0, 3.0, 9.0, 1.0])


class Balance(HTMLParser):
    """Follows the tags of a page."""

    single = ("meta", "image", "line", "rect", "path")

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.single:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture
def result(tmp_path):
    """Four findings in a box that stands for a brain."""
    random = np.random.default_rng(0)
    brain = np.zeros(SHAPE, bool)
    brain[1:13, 5:55, 5:45] = True
    scores = np.where(brain, random.gamma(2, 0.2, SHAPE), 0).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    for number, place in enumerate((8, 20, 32, 44)):
        mask[3 : 9 - number, place : place + 6, 8:12] = True
    scores[mask] = 3.0
    way_back = WayBack(SHAPE, AFFINE, SHAPE, AFFINE, np.eye(4))
    midline = find_midline(brain, AFFINE, way_back, template="mni152")
    findings, labels = list_findings(mask, scores, AFFINE, midline)
    steps = pipeline("poster2023")
    verdict = Verdict(
        pipeline=steps.with_threshold(1.5),
        false_positive_rate=0.02,
        people=7,
        items=260,
        healthy_mean=0.012,
        healthy_median=0.01,
        healthy_high=0.03,
        key={},
    )
    return ScanResult(
        files=Files(images={"flair": "/data/case<7>/flair.nii.gz"}, subject="case<7>", session="b"),
        run=tmp_path / "ae-1",
        config=RunConfig("ae", {}, {}, {"size": [64, 64]}, "digest", {"train": 900, "val": 260}, "quick", 3),
        verdict=verdict,
        own_threshold=None,
        pipeline=verdict.pipeline,
        threshold=1.5,
        judged=brain,
        share_judged=1.0,
        image=np.where(brain, 100, 0).astype(np.float32) + random.normal(size=SHAPE).astype(np.float32),
        brain=brain,
        affine=AFFINE,
        scores=scores,
        mask=mask,
        labels=labels,
        findings=findings,
        smoothed=scores[brain],
        marked=0.0456,
        midline=midline,
        template="mni152",
        prepared="no",
        quality={"brain_ml": 1234.0, "dice_to_template": 0.91, "snr": 22.0, "coverage": 1.0, "contrast": None},
        warnings=[],
    )


def page(result, tmp_path):
    write_report(result, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def text_of(html):
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S).split())


def test_the_page_is_whole_small_and_needs_nothing_else(result, tmp_path):
    html = page(result, tmp_path)
    assert len(html) < 3_000_000
    tags = Balance()
    tags.feed(html)
    assert (tags.open, tags.wrong) == ([], [])
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import|<script", html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_it_says_what_was_found_and_how(result, tmp_path):
    text = text_of(page(result, tmp_path))
    total = float(result.findings["volume_ml"].sum())
    for words in (
        "case&lt;7&gt; b",
        "case&lt;7&gt;/flair.nii.gz",
        f"4 findings, {total:.1f} ml in total",
        "4.56% of the brain is marked",
        "260 slices without lesion of 7 people of the run's validation set: in the mean 1.20% of a brain was marked, "
        "in half of the scans at most 1.00%, in 95 % of them at most 3.00%",
        "Not a medical device",
        "ae, preset quick, seed 3, images of 64 × 64",
        "ae-1, trained on 900 healthy items",
        "none: the scan as it was",
        "1.5, fitted on 260 slices without lesion of 7 people",
        "validation set, in which it marks 1.20% of a brain in the mean; no lesion was used",
        "poster2023: Residual, MedianFilter, BrainErosion",
        "1234 ml",
        "0.91",
        "3 × 3 × 9 mm",
        "the mid-plane of the template mni152",
        "the subject's right is on the left of the picture",
        "uad-models ",
    ):
        assert words in text, words
    assert "Look at this scan" not in text
    assert "not judged" not in text


def test_it_says_what_was_not_judged(result, tmp_path):
    judged = result.brain.copy()
    judged[10:] = False
    partly = replace(result, judged=judged, share_judged=0.75)
    html = page(partly, tmp_path)
    text = text_of(html)
    assert "4.56% of the judged brain is marked" in text
    assert (
        "25.0% of the brain was not judged: slices that the run's rule (fraction:0.25) kept from training, small"
        in text
    )
    assert "of the judged brain is above the threshold" in text
    assert html.count(", not judged</text>") == 3
    rule = replace(result.config, arrays={"size": [64, 64], "slices": "centre:9"})
    text = text_of(page(replace(partly, config=rule, share_judged=0.9999), tmp_path))
    assert (
        "Less than 0.1% of the brain was not judged: slices that the run's rule (centre:9) kept from training. " in text
    )


def test_the_three_largest_findings_have_pictures_from_three_sides(result, tmp_path):
    html = page(result, tmp_path)
    sections = re.findall(r"<h2>Finding (\d): right, [^<]+</h2>(.*?)</section>", html, re.S)
    assert [number for number, _ in sections] == ["1", "2", "3"]
    # One scale for all planes: 140, 140 and 170 mm wide, with the margin.
    assert html.count('style="--columns: 144fr 144fr 174fr"') == 3
    for _, body in sections:
        labels = re.findall(r'aria-label="(\w+) slice', body)
        assert labels == ["axial", "axial", "coronal", "coronal", "sagittal", "sagittal"]
        assert body.count('class="outline focus"') == 3
        assert body.count(">R</text>") == body.count(">L</text>") == 4
    montage = re.search(r"Map over 12 axial slices(.*?)</section>", html, re.S)[1]
    assert montage.count("<image") == 12
    assert re.findall(r">z (\d+)</text>", montage)[:2] == ["108", "99"]
    # Four findings in the table, with their place in millimetres.
    assert len(re.findall(r"<tr><td>", html)) == 4


def test_the_histogram_shows_the_threshold(result, tmp_path):
    html = page(result, tmp_path)
    assert html.count('class="limit"') == 2
    assert "threshold 1.5" in html
    above = (result.smoothed > 1.5).mean()
    assert f"{above:.2%} of the brain is above the threshold, 2.00% in healthy brains." in html


def test_a_stack_of_pictures_is_shown_from_above_only(result, tmp_path):
    files = Files(images={"flair": "case/slice_*.png"}, subject="case")
    html = page(replace(result, files=files), tmp_path)
    assert 'aria-label="axial' in html
    assert 'aria-label="coronal' not in html
    assert "4 findings</b>" in html
    assert ">slice 13</text>" in html


def test_warnings_come_before_the_findings(result, tmp_path):
    html = page(replace(result, warnings=["The brain measures <300> ml."]), tmp_path)
    assert html.index("The brain measures &lt;300&gt; ml.") < html.index("Finding 1")


def test_no_finding(result, tmp_path):
    empty = np.zeros(SHAPE, bool)
    findings, labels = list_findings(empty, result.scores, AFFINE, result.midline)
    html = page(replace(result, mask=empty, labels=labels, findings=findings, marked=0.0), tmp_path)
    assert "No finding" in html
    assert "Finding 1" not in html
    assert "Map over 12 axial slices" in html


def test_without_a_threshold_nothing_is_decided(result, tmp_path):
    nothing = dict.fromkeys(
        ("verdict", "pipeline", "threshold", "mask", "labels", "findings", "smoothed", "marked"), None
    )
    html = page(replace(result, **nothing), tmp_path)
    assert "No threshold: map only" in html
    assert 'class="limit"' not in html
    assert 'class="outline' not in html
    assert "Values of the map" in html


def test_a_threshold_of_ones_own_is_said_to_be_so(result, tmp_path):
    text = text_of(page(replace(result, own_threshold=1.5), tmp_path))
    assert "1.5, given by the user" in text
    assert "For comparison" not in text
    assert "in healthy brains" not in text


def test_a_long_list_is_folded(result, tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[1:13:2, 5:55:4, 5:45:4] = True
    findings, labels = list_findings(mask, result.scores, AFFINE, result.midline)
    html = page(replace(result, mask=mask, labels=labels, findings=findings), tmp_path)
    assert len(findings) > 100
    assert "<summary>92 smaller ones</summary>" in html
    assert f"{len(findings) - 100} still smaller ones stand in lesions.csv" in html


def test_a_recipe_is_named(result, tmp_path):
    recipe = {"name": "default", "steps": [{"step": "reorient"}, {"step": "register"}]}
    config = replace(result.config, recipe=recipe)
    assert "default (reorient, register), by this prediction" in page(
        replace(result, config=config, prepared="now"), tmp_path
    )
    assert "default (reorient, register), before" in page(replace(result, config=config, prepared="before"), tmp_path)


def test_a_map_that_is_0_everywhere_can_be_reported(result, tmp_path):
    blank = np.zeros(SHAPE, np.float32)
    html = page(replace(result, scores=blank, smoothed=blank[result.brain]), tmp_path)
    assert "Values of the map" not in html
