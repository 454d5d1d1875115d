"""What an augmentation does, how often and how strongly."""

from dataclasses import dataclass, fields

from uad_data.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AugmentationRecipe:
    """Probabilities and ranges; the defaults are nnU-Net's, in the order in which they are applied.

    Intensities count in units of the image's own brain: mean 0, standard deviation 1. Probabilities are per image;
    brightness, contrast, gamma, blur and low resolution then draw a value for each channel.

    Parameters
    ----------
    p_elastic : float
        Elastic deformation; nnU-Net leaves it off.
    elastic_scale : tuple of float
        Smoothness of the deformation, as a fraction of each side.
    elastic_shift : tuple of float
        Largest shift, as a fraction of the shortest side.
    p_rotation : float
        Rotation.
    rotation_2d, rotation_2d_oblong, rotation_3d : float
        Largest angle in degrees: in slices, in slices with sides that differ by more than a half, and about each axis
        of volumes. Volumes more than 3 times as wide as thick turn like slices, in their plane.
    p_scaling : float
        Change of size.
    scaling : tuple of float
        Factors; above 1 the brain gets smaller.
    p_noise : float
        Gaussian noise.
    noise_sd : tuple of float
        Its standard deviation.
    p_blur : float
        Gaussian blur, of half the channels.
    blur_sd : tuple of float
        Its standard deviation in pixels.
    p_brightness, p_contrast : float
        Multiplication of the intensities, and of their distance from the image's mean within its range.
    brightness, contrast : tuple of float
        Factors: half of them below 1, half above.
    p_low_resolution : float
        Shrink by nearest neighbour and enlarge linearly, half the channels.
    low_resolution : tuple of float
        Factors to shrink by.
    p_gamma_inverted, p_gamma : float
        Gamma correction of the negative image, and of the image; mean and standard deviation are kept.
    gamma : tuple of float
        Exponents: half of them below 1, half above.
    mirror : tuple of int or None
        Axes of space that are mirrored with probability 0.5 each, 0 the first; None is all of them.

    Raises
    ------
    InputError
        A probability outside [0, 1] or a range that falls.

    References
    ----------
    Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature
    Methods 2021; the numbers are those of ``nnUNetTrainer.get_training_transforms`` in nnU-Net 2.
    """

    p_elastic: float = 0.0
    elastic_scale: Range = (0.05, 0.2)
    elastic_shift: Range = (0.0, 0.05)
    p_rotation: float = 0.2
    rotation_2d: float = 180.0
    rotation_2d_oblong: float = 15.0
    rotation_3d: float = 30.0
    p_scaling: float = 0.2
    scaling: Range = (0.7, 1.4)
    p_noise: float = 0.1
    noise_sd: Range = (0.0, 0.1)
    p_blur: float = 0.2
    blur_sd: Range = (0.5, 1.0)
    p_brightness: float = 0.15
    brightness: Range = (0.75, 1.25)
    p_contrast: float = 0.15
    contrast: Range = (0.75, 1.25)
    p_low_resolution: float = 0.25
    low_resolution: Range = (0.5, 1.0)
    p_gamma_inverted: float = 0.1
    p_gamma: float = 0.3
    gamma: Range = (0.7, 1.5)
    mirror: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name.startswith("p_") and not 0 <= value <= 1:
                raise InputError(f"{each.name}: expected a probability from 0 to 1, got {value}")
            if each.type == Range and not 0 <= value[0] <= value[1]:
                raise InputError(f"{each.name}: expected a range (low, high) from 0 up, got {value}")


NNUNET = AugmentationRecipe()
