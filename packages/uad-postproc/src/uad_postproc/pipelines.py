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

``context_vae``: A. Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational
autoencoder", University of Bonn, section 5.3. The reconstruction is min-max normalised to match the input; residual; a
Gaussian mixture with a neighbourhood-based weight, three components, of which the tumour is the smallest; binary
closing; small groups of pixels removed. Deviations and choices: the mixture is fitted inside the brain only, so that
"background" is what a residual near 0 makes, not the air; the brightest component is the tumour's, not the smallest,
see `uad_postproc.steps.GaussianMixture`; the form and weight of the neighbourhood, the radius of the
closing (1 voxel) and the least size (10 voxels, as Lambert et al.) are not in the paper; the residual is absolute.
Nothing is fitted on validation data: ``FixedThreshold(0.5)`` stands on the probability of the tumour's component. Where
only a map is at hand, without image and reconstruction, the map is taken as the residual and nothing is normalised.

``kascenas2022``: A. Kascenas, N. Pugeault, A. Q. O'Neil, "Denoising autoencoders for unsupervised anomaly detection in
brain MRI", MIDL 2022, as used by J. Holzschuh et al., "Combining anomaly detection and supervised learning for medical
image segmentation", MIDL 2023, which describes slices of 128 x 128 and says that its figures come from the former's
implementation. By that public code: the absolute residual, averaged over modalities; a brain mask eroded by a 5 x 5
window; a 5 x 5 median of slices; the best of 1000 thresholds by Dice; 3D components of at most 20 voxels removed. A
radius of 2.83 voxels is that window in 2D. Deviations: the code chooses the threshold on the scans it reports on
(written with ceilings, the best case), here it is fitted on validation scans, from 200 quantiles of the scores; a
component is removed within an item, so of slices in 2D; the code keeps a voxel if 24 of the 25 in the window are brain.

``thesis_ct``: the thesis on context restoration and multi-task learning for CT, sections 5.4, 6.2.1 and 6.3.2: the
difference of reconstruction and input is thresholded and binarised, and nothing else is done. Deviations: the thesis
does not say how the threshold is chosen; here at 2 % false positives on healthy validation voxels, because it trains on
healthy scans alone. Its score of slices, which mixes a classifier's output in, is a matter of the method.

``smoothed``: no paper's; what this project's own figures on people are best with (docs/synthetic.md). The geometric
mean of Gaussian means of 2 and 6 voxels over the brain in the place of a median: what is faint but wide adds up, what
is thin goes. Nothing is taken off at the brain's edge, where infarcts reach. Threshold at 2 % false positives on
healthy validation voxels, small objects below 10 voxels.

``pinaya2022``: W. Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with transformers",
Medical Image Analysis 2022, as one of the models in the poster, which thresholds all of them and applies morphological
operations. The residual is part of the method here, weighted by where codes were unlikely, enlarged and smoothed: the
map is taken as it comes, even if the context has image and reconstruction, and is neither smoothed again nor eroded at
the brain's edge. Chosen as for ``poster2023``: 2 % false positives on healthy voxels, opening and closing of 1 voxel.
"""

from uad_postproc.errors import InputError
from uad_postproc.pipeline import Pipeline, nearest
from uad_postproc.steps import (
    LAMBERT2021_GRID,
    BestDice,
    BrainErosion,
    Closing,
    FixedThreshold,
    GaussianMixture,
    GaussianScales,
    HealthyQuantile,
    MedianFilter,
    MinMaxResidual,
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
        Pipeline(
            "context_vae",
            (
                MinMaxResidual(),
                GaussianMixture(),
                FixedThreshold(0.5),
                Closing(radius=1),
                SmallObjectRemoval(min_voxels=10),
            ),
            "Range matched, brightest of three Gaussians with neighbours, closing, no small objects",
        ),
        Pipeline(
            "kascenas2022",
            (
                Residual(),
                BrainErosion(radius=2.83),
                MedianFilter(size=5),
                BestDice(),
                SmallObjectRemoval(min_voxels=21),
            ),
            "Eroded brain, median, best threshold by Dice, no small objects",
        ),
        Pipeline(
            "thesis_ct",
            (Residual(), HealthyQuantile(false_positive_rate=0.02)),
            "The residual and a threshold from healthy scans, nothing else",
        ),
        Pipeline(
            "smoothed",
            (
                Residual(),
                GaussianScales(radii=(2.0, 6.0)),
                HealthyQuantile(false_positive_rate=0.02),
                SmallObjectRemoval(min_voxels=10),
            ),
            "Two Gaussian scales, whole brain, threshold from healthy scans, no small objects",
        ),
        Pipeline(
            "pinaya2022",
            (HealthyQuantile(false_positive_rate=0.02), Opening(radius=1), Closing(radius=1)),
            "The map as the method made it, threshold from healthy scans, opening and closing",
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
