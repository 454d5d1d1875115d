"""Random shapes: squares and circles of random intensity and size over the middle of the brain.

Paper: Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder"
(BraTS 2019), section 5.1: "random shapes of different intensity of colour and different sizes were added to the image.
Types of shapes used are squares and circles, colour randomly chosen in range from 0 to 1, sizes are random from 15 to
40 pixels, there can be one or multiple shapes on a single image. Position is determined randomly by normal distribution
in order to make a cluster of shapes around the center."

Deviations: the paper's images have 240x240 pixels, and neither the number of shapes nor the spread of their positions
is stated: 1 to 4, and 0.15 of the image's side. Shapes are cut at the edge of the brain. Every channel has its own
intensity. In volumes the shapes are cubes and balls.
"""

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Corrupted
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import home, integers, normal, uniform
from uad_data.corruptions.shapes import Shapes, paint


@corruption
def random_shapes(
    image: Tensor,
    brain: Tensor,
    *,
    count: tuple[int, int] = (1, 4),
    sides: tuple[int, int] = (15, 40),
    intensity: tuple[float, float] = (0.0, 1.0),
    spread: float = 0.15,
    generator: torch.Generator | None = None,
) -> Corrupted:
    """Paint squares and circles (in volumes cubes and balls) over the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; scaled to about 0 to 1.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    count : (int, int)
        Fewest and most shapes per image.
    sides : (int, int)
        Smallest and largest side or diameter, in voxels.
    intensity : (float, float)
        Range of intensities, in the unit of the image.
    spread : float
        Standard deviation of the shapes' centres around the image's centre, as a share of each side of the image.
    generator : torch.Generator, optional
        Source of the shapes.

    Returns
    -------
    Corrupted
        The image, and which voxels are painted over.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, c, size = len(image), image.shape[1], image.shape[2:]
    # Where the generator is: how much there is to paint is read without waiting for the images.
    n, most, device = len(size), count[1], home(generator)
    side = integers(*sides, (b, most), generator, device)
    extent = torch.tensor(size, dtype=torch.float32, device=device)
    centre = (extent - 1) / 2 + spread * extent * normal((b, most, n), generator, device)
    shapes = Shapes(
        start=(centre - (side[..., None] - 1) / 2).round().long(),
        side=side,
        is_round=integers(0, 1, (b, most), generator, device).bool(),
        value=uniform(*intensity, (b, most, c), generator, device),
        present=torch.arange(most, device=device) < integers(*count, (b, 1), generator, device),
    )
    return paint(image, brain, shapes, largest=sides[1])
