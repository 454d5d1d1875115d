"""Measure on real scans the ranges that the phantom cohort draws from, and print them as a table.

Run ``UAD_REAL_DATA=/path/to/data python benchmarks/measure_real_ranges.py``. It reads ``soop`` (FLAIR, acute stroke),
``lgg/kaggle_3m`` (T1, FLAIR, T1ce; lower-grade glioma), ``ms/mni`` (FLAIR, T1, T2; multiple sclerosis) and ``ixi``
(T1, healthy). Every intensity is relative to a reference of the same image: white matter, the upper class of a
three-class Otsu threshold of T1 (``ms``, ``ixi``), or the median of tissue (``soop``: the brain without lesion and
fluid; ``lgg``: the tissue 6 to 20 pixels around the lesion).
"""

import os
from collections import defaultdict
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu

Table = defaultdict[tuple[str, str], list[float]]


def haar_noise(image: np.ndarray, tissue: np.ndarray) -> float:
    """Return the robust standard deviation of the diagonal Haar coefficients (last 2 axes) inside the tissue."""
    d = (image[..., :-1, :-1] - image[..., 1:, :-1] - image[..., :-1, 1:] + image[..., 1:, 1:]) / 2
    return float(1.4826 * np.median(np.abs(d[tissue[..., :-1, :-1]])))


def bias_amplitude(image: np.ndarray, tissue: np.ndarray, sigma: float) -> float:
    """95th over 5th percentile, minus one, of the image smoothed within the tissue."""
    weight = ndimage.gaussian_filter(tissue.astype(float), sigma)
    field = ndimage.gaussian_filter(np.where(tissue, image, 0.0), sigma) / np.maximum(weight, 1e-6)
    low, high = np.percentile(field[tissue], [5, 95])
    return float(high / low - 1)


def record_lesion(table: Table, name: str, image: np.ndarray, lesion: np.ndarray, reference: float) -> None:
    """Add the median, the spread and the texture of a lesion relative to the reference."""
    values = image[lesion] / reference
    table[name, "lesion / reference"].append(float(np.median(values)))
    table[name, "lesion: SD / reference"].append(float(values.std()))


def measure_soop(folder: Path, table: Table) -> None:
    for path in sorted((folder / "images").glob("*.png")):
        image, lesion = iio.imread(path).astype(float), iio.imread(folder / "masks" / path.name) > 0
        brain = ndimage.binary_fill_holes(image > 0)
        fluid = threshold_multiotsu(image[brain], 3)[0]
        healthy = brain & (image > fluid) & ~ndimage.binary_dilation(lesion, iterations=4)
        inner = healthy & ndimage.binary_erosion(brain, iterations=6)
        reference = float(np.median(image[healthy]))
        dark = float(np.percentile(image[brain & (image <= fluid)], 20))
        table["soop FLAIR", "fluid / reference"].append(dark / reference)
        table["soop FLAIR", "healthy p99 / reference"].append(float(np.percentile(image[healthy], 99)) / reference)
        table["soop FLAIR", "healthy SD / reference"].append(float(image[inner].std()) / reference)
        table["soop FLAIR", "noise SD / reference"].append(haar_noise(image, inner) / reference)
        table["soop FLAIR", "bias p95/p5 - 1"].append(bias_amplitude(image, inner, 18))
        table["soop FLAIR", "fluid: fraction of brain area"].append(float((image[brain] <= fluid).mean()))
        if lesion.sum() > 20:
            record_lesion(table, "soop FLAIR", image, lesion, reference)
            table["soop FLAIR", "lesion: fraction of brain area"].append(lesion.sum() / brain.sum())


def measure_lgg(folder: Path, table: Table) -> None:
    for patient in sorted(p for p in folder.iterdir() if p.is_dir()):
        masks = sorted(patient.glob("*_mask.tif"))
        lesions = np.stack([iio.imread(m) > 0 for m in masks])
        slices = np.stack([iio.imread(str(m).replace("_mask", "")) for m in masks]).astype(float)
        k = int(lesions.sum((1, 2)).argmax())
        lesion, distance = lesions[k], ndimage.distance_transform_edt(~lesions[k])
        ring = (distance > 6) & (distance <= 20) & (slices[k, ..., 1] > 20)
        flair = slices[k, ..., 1]
        for channel, name in ((1, "lgg FLAIR"), (0, "lgg T1"), (2, "lgg T1ce")):
            image = slices[k, ..., channel]
            if channel != 1 and np.array_equal(image, flair):
                continue
            reference = float(np.median(image[ring]))
            record_lesion(table, name, image, lesion, reference)
            table[name, "noise SD / reference"].append(haar_noise(image, ring) / reference)
        head = ndimage.binary_fill_holes(flair > 20)
        table["lgg FLAIR", "lesion: fraction of head area"].append(lesion.sum() / head.sum())
        table["lgg FLAIR", "lesion: fraction of slices"].append(float((lesions.sum((1, 2)) > 0).mean()))


def measure_ms(folder: Path, table: Table) -> None:
    for patient in sorted(folder.iterdir()):
        files = {p.name.split("_")[0]: p for p in patient.glob("*.nii.gz")}
        gold = nib.load(files.pop("GOLD")).get_fdata() > 0
        images = {name: nib.load(path).get_fdata() for name, path in sorted(files.items())}
        images = {name: image - np.median(image[:8]) for name, image in images.items()}  # air is not at zero here
        brain = ndimage.binary_fill_holes(ndimage.binary_opening(images["FLAIR"] > 0.1 * images["FLAIR"].max()))
        inner = ndimage.binary_erosion(brain, iterations=3)
        low, high = threshold_multiotsu(images["T1"][brain], 3)
        class_of = np.digitize(images["T1"], [low, high])
        fluid, grey, white = (ndimage.binary_erosion(inner & ~gold & (class_of == k)) for k in range(3))
        for name, image in images.items():
            reference, key = float(np.median(image[white])), f"ms {name}"
            table[key, "grey / white"].append(float(np.median(image[grey])) / reference)
            table[key, "fluid / white"].append(float(np.median(image[fluid])) / reference)
            table[key, "noise SD / white"].append(haar_noise(image, white) / reference)
            spread = 1.4826 * float(np.median(np.abs(image[white] - reference)))
            table[key, "white SD / white"].append(spread / reference)
            record_lesion(table, key, image, gold, reference)
        table["ms FLAIR", "lesion ml"].append(gold.sum() / 1000)
        sizes = np.bincount(ndimage.label(gold)[0].ravel())[1:] / 1000
        table["ms FLAIR", "lesions, > 0.01 ml"].append(float((sizes > 0.01).sum()))
        table["ms FLAIR", "median lesion ml, > 0.01 ml"].append(float(np.median(sizes[sizes > 0.01])))


def measure_ixi(folder: Path, table: Table) -> None:
    for path in sorted((folder / "dlmuse").glob("*.nii.gz")):
        brain = np.asarray(nib.load(path).dataobj) > 0
        image = nib.load(folder / "t1" / path.name.replace("_DLMUSE", "")).get_fdata()
        low, high = threshold_multiotsu(image[brain], 3)
        white, grey = brain & (image > high), brain & (image > low) & (image <= high)
        reference = float(np.median(image[white]))
        table["ixi T1", "grey / white"].append(float(np.median(image[grey])) / reference)
        table["ixi T1", "fluid / white"].append(float(np.percentile(image[brain & (image <= low)], 20)) / reference)
        table["ixi T1", "noise SD / white"].append(haar_noise(image, ndimage.binary_erosion(white)) / reference)
        table["ixi T1", "bias p95/p5 - 1"].append(bias_amplitude(image, white, 9))
        table["ixi T1", "brain ml"].append(brain.sum() * 0.008)


def main() -> None:
    root = os.environ.get("UAD_REAL_DATA")
    if not root:
        raise SystemExit("set UAD_REAL_DATA to the folder that holds soop, lgg, ms and ixi")
    table: Table = defaultdict(list)
    measure_soop(Path(root) / "soop", table)
    measure_lgg(Path(root) / "lgg" / "kaggle_3m", table)
    measure_ms(Path(root) / "ms" / "mni", table)
    measure_ixi(Path(root) / "ixi", table)
    print(f"{'scans':12s} {'quantity':34s} {'n':>4s} {'p10':>8s} {'p50':>8s} {'p90':>8s}")
    for (scans, quantity), values in sorted(table.items()):
        p10, p50, p90 = np.percentile(values, [10, 50, 90])
        print(f"{scans:12s} {quantity:34s} {len(values):4d} {p10:8.3f} {p50:8.3f} {p90:8.3f}")


if __name__ == "__main__":
    main()
