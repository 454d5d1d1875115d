import argparse
import json
import re
import shutil
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.templates import Template, load_template
from uad_data.preparation.way_back import WayBack
from uad_data.quality import Limits, measure, write_quality
from uad_data.quality.command import add_arguments

SPACING = 5.0
SUBJECTS = ("good-1", "good-2", "good-3", "shifted", "tiny", "cut")


@lru_cache(maxsize=1)
def the_template() -> Template:
    """Resample the template once."""
    return load_template("mni152", spacing=SPACING)


def a_brain(subject: str, template: np.ndarray) -> np.ndarray:
    """Give the mask of one made-up person."""
    if subject == "good-2":
        return ndimage.binary_erosion(template)
    if subject == "shifted":
        return np.roll(template, (4, 6), axis=(0, 1))
    brain = template.copy()
    if subject == "tiny":
        brain[:12] = brain[18:] = False
    if subject == "cut":
        brain[24:] = False
    return brain


def prepared_scan(folder: Path, subject: str) -> dict:
    """Write one scan's folder as the preparation leaves it, and give its row of the table."""
    template = the_template()
    shape = template.brain.shape
    brain = a_brain(subject, template.brain)
    seed = SUBJECTS.index(subject)
    image = np.where(brain, np.random.default_rng(seed).normal(100, 8 + seed, shape), 0).astype(np.float32)
    native = (24, *shape[1:]) if subject == "cut" else shape
    way_back = WayBack(native, template.affine, shape, template.affine, np.eye(4))
    quality = measure(image, brain, spacing=(SPACING,) * 3, template_brain=template.brain, way_back=way_back)
    (folder / subject).mkdir(parents=True)
    for name, array in (("t1", image), ("brain", brain.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), template.affine), folder / subject / f"{name}.nii.gz")
    record = {"format": 1, "subject": subject, "session": "", "modalities": ["t1"], "template": "mni152", "steps": []}
    record |= {"recipe": {"name": "lambert2021"}, "versions": {"uad-data": "9.8.7"}, "quality": quality}
    (folder / subject / "prepare.json").write_text(json.dumps(record | way_back.to_dict()))
    row = {"subject": subject, "session": "", "split": "", "pathology": "healthy", "lesion": ""}
    return (
        row
        | {"image_t1": f"{subject}/t1.nii.gz", "brain": f"{subject}/brain.nii.gz"}
        | {"sidecar": f"{subject}/prepare.json"}
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scans: three good ones, one shifted, one with most of its brain lost, one cut at the top."""
    folder = tmp_path_factory.mktemp("built")
    rows = [prepared_scan(folder, subject) for subject in SUBJECTS]
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return folder


@pytest.fixture
def prepared(built: Path, tmp_path: Path) -> Path:
    """A copy to work on, whose name is not plain in HTML."""
    return shutil.copytree(built, tmp_path / "cohort <a>")


def cards(page: str) -> dict[str, str]:
    """Give the page's cards by the scan's name, in their order."""
    found = re.findall(r"<article.*?</article>", page, flags=re.DOTALL)
    return {re.search('data-name="(.*?)"', card)[1]: card for card in found}


def test_bad_scans_are_flagged_for_what_is_wrong_and_good_ones_are_not(prepared: Path) -> None:
    table = write_quality(prepared, progress=False).set_index("subject")
    assert list(table.index[table["flagged"]]) == ["shifted", "tiny", "cut"]
    assert "dice_to_template" in table["odd"]["shifted"]
    assert table["odd"]["tiny"].split() == ["dice_to_template", "brain_ml"]
    assert {"coverage", "touches_border"} <= set(table["odd"]["cut"].split())
    read = pd.read_csv(prepared / "quality.csv", keep_default_na=False)
    assert list(read["flags"]) == list(table["flags"])


def test_the_page_shows_every_scan_worst_first_and_needs_nothing_else(prepared: Path) -> None:
    write_quality(prepared, progress=False)
    page = (prepared / "quality.html").read_text(encoding="utf-8")
    found = cards(page)
    assert set(list(found)[:3]) == {"tiny", "shifted", "cut"}
    assert len(found) == 6
    dices = [float(re.search('data-dice="(.*?)"', card)[1]) for card in found.values()]
    assert dices[:3] == sorted(dices[:3])
    assert dices[3:] == sorted(dices[3:])
    for name, card in found.items():
        assert ('class="flags"' in card) == (name in ("tiny", "shifted", "cut"))
        assert card.count("data:image/jpeg;base64,") == 1
        assert 'class="outline brain" d="M' in card
        assert '<use href="#t' in card
    # The outline of the template is the same in all scans but the one whose picture is wider.
    assert page.count('<path id="t') == 2
    assert "recipe lambert2021 · template mni152 · uad-data 9.8.7" in page
    assert not re.search(r"https?://|<link|<script src|@import", page)
    assert "<a>" not in page
    assert "cohort &lt;a&gt;" in page
    assert str(prepared) not in page
    assert "failed" in page
    assert "Failed: not prepared" not in page


def test_scans_that_failed_are_named_with_their_error(prepared: Path) -> None:
    error = "p9/t1.nii.gz: expected <three> dimensions, found 4"
    pd.DataFrame([{"subject": "p9", "session": "2", "error": error}]).to_csv(prepared / "failed.csv", index=False)
    write_quality(prepared, progress=False)
    page = (prepared / "quality.html").read_text(encoding="utf-8")
    assert "<b>p9 2</b>: p9/t1.nii.gz: expected &lt;three&gt; dimensions, found 4" in page
    assert '<div class="tile bad"><b>1</b>failed</div>' in page
    (prepared / "failed.csv").write_text("subject\np9\n")
    with pytest.raises(InputError, match=r"failed.csv: expected the columns subject, session, error"):
        write_quality(prepared, progress=False)


def test_a_scan_that_cannot_be_read_is_a_card_too(prepared: Path) -> None:
    image = prepared / "good-1" / "t1.nii.gz"
    image.write_bytes(image.read_bytes()[:200])
    table = write_quality(prepared, progress=False).set_index("subject")
    assert table.loc["good-1", "flags"] == "The scan cannot be read"
    card = cards((prepared / "quality.html").read_text(encoding="utf-8"))["good-1"]
    assert "expected a whole NIfTI file" in card
    assert "<svg" not in card


def without(prepared: Path, **gone: object) -> None:
    """Change every scan's record."""
    for subject in SUBJECTS:
        path = prepared / subject / "prepare.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | gone))


def test_scans_without_measures_or_template_are_still_shown(prepared: Path) -> None:
    without(prepared, template=None, quality={})
    table = write_quality(prepared, progress=False)
    page = (prepared / "quality.html").read_text(encoding="utf-8")
    assert not table["flagged"].any()
    assert len(cards(page)) == 6
    assert 'data-dice=""' in page
    assert "no template" in page
    assert "template’s brain" not in page
    assert 'class="strip"' not in page


def test_the_page_is_the_same_for_any_number_of_workers(prepared: Path, tmp_path: Path) -> None:
    without(prepared, template=None)  # each process would load it
    write_quality(prepared, tmp_path / "one.html", progress=False)
    write_quality(prepared, tmp_path / "two.html", workers=2, progress=False)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert (tmp_path / "two.csv").is_file()
    assert not (prepared / "quality.html").exists()


def test_a_page_of_five_hundred_scans_stays_small(prepared: Path) -> None:
    write_quality(prepared, progress=False)
    page = (prepared / "quality.html").read_text(encoding="utf-8")
    # Noise at 5 mm, drawn at 1 mm, is harder to compress than a brain.
    assert 500 * max(map(len, cards(page).values())) < 15e6


@pytest.mark.parametrize(
    ("wrong", "message"), [({"out": "page.pdf"}, "ends in .html"), ({"workers": 0}, "workers: expected 1 or more")]
)
def test_wrong_options_are_refused(prepared: Path, wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_quality(prepared, **wrong)


def test_the_command_says_what_to_look_at(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    out = tmp_path / "site.html"
    arguments = parser.parse_args([str(prepared), "--out", str(out), "--brain-ml", "100", "2200", "--dice", "0.1"])
    arguments.run(arguments)
    printed = capsys.readouterr().out
    assert f"{out}: 6 scans, 3 flagged; the table is {tmp_path / 'site.csv'}" in printed
    assert "  cut: Only 86" in printed
    assert "below 0.8" not in printed
    assert "below 700 ml" not in printed
    assert parser.parse_args(["x"]).brain_ml == Limits().brain_ml
