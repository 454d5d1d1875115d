"""The pipelines that come with the package.

``poster2023``: S. Kuznetsov, supervised by I. J. Simpson, "Self-supervised lesion segmentation", poster, University of
Sussex. The poster names residual, binary thresholding and morphological operations, in this order, and gives no sizes
and no threshold. Chosen here, for slices of about 128 x 128 pixels that the brain fills (1.5 mm a pixel):

- residual: absolute, because lesions can be darker than healthy tissue too;
- median 5: the smallest window that removes lines two pixels wide, such as sulci that a reconstruction has blurred;
- brain erosion 2 voxels: what such a median leaves of the bright rim, while most of the cortex stays;
- threshold: at 2 % false positives on healthy validation voxels, because the poster's claim is to need no labels;
  lesions fill a few percent of a brain, so that a higher rate would leave more false voxels than true ones;
- opening and closing 1 voxel: the smallest there is, as the median has smoothed already;
- small objects below 10 voxels: the one published size at hand, that of Lambert et al.

``lambert2021``: B. Lambert et al., "Leveraging 3D information in unsupervised brain MRI segmentation", ISBI 2021,
section 3. Difference to the reconstruction, the best of 15 thresholds by Dice on labelled scans, a slightly eroded
brain mask, regions below 10 voxels dropped. Deviations: "slightly" is 2 voxels here; regions are dropped by connected
components, where the paper says "a median filter"; the Dice that chooses the threshold pools all voxels, and the brain
is eroded before that choice rather than after it, so that the voxels that are lost anyway do not sway it.
"""

from uad_postproc.errors import InputError
from uad_postproc.pipeline import Pipeline, nearest
from uad_postproc.steps import (
    LAMBERT2021_GRID,
    BestDice,
    BrainErosion,
    Closing,
    HealthyQuantile,
    MedianFilter,
    Opening,
    Residual,
    SmallObjectRemoval,
)

PIPELINES: dict[str, Pipeline] = {
    made.name: made
    for made in (
        Pipeline(
            "poster2023",
            (
                Residual(),
                MedianFilter(size=5),
                BrainErosion(radius=2),
                HealthyQuantile(false_positive_rate=0.02),
                Opening(radius=1),
                Closing(radius=1),
                SmallObjectRemoval(min_voxels=10),
            ),
            "Median, eroded brain, threshold from healthy scans, opening and closing, no small objects",
        ),
        Pipeline(
            "lambert2021",
            (
                Residual(),
                BrainErosion(radius=2),
                BestDice(grid=LAMBERT2021_GRID),
                SmallObjectRemoval(min_voxels=10),
            ),
            "Eroded brain, best of 15 thresholds in [0, 0.15] by Dice, no small objects",
        ),
    )
}


def list_pipelines() -> list[str]:
    """Return the names of all pipelines.

    Returns
    -------
    list of str
        Names that `pipeline` takes.
    """
    return list(PIPELINES)


def pipeline(name: str) -> Pipeline:
    """Return a pipeline by name, not yet fitted.

    Parameters
    ----------
    name : str
        One of `list_pipelines`.

    Returns
    -------
    Pipeline
        Ready to be fitted, or given a threshold.

    Raises
    ------
    InputError
        When there is no such pipeline; the message gives the nearest names.
    """
    if name not in PIPELINES:
        raise InputError(f"unknown pipeline {name!r}; {nearest(name, list_pipelines())}")
    return PIPELINES[name]
