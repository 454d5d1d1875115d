"""A discriminator that judges patches: strided convolutions whose outputs each see a part of the image.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

Source: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017
(https://arxiv.org/abs/1611.07004), section 3.2.2; here two halvings, no normalisation.
"""

from torch import Tensor, nn

from uad_models.networks.encoder_decoder import CONVOLUTION


class PatchDiscriminator(nn.Module):
    """Image to a grid of judgements.

    Parameters
    ----------
    dims
        2 for slices, 3 for volumes.
    in_channels
        Channels of the images.
    channels
        Width of the first layer; the second has twice as many.
    """

    def __init__(self, *, dims: int, in_channels: int, channels: int = 32) -> None:
        super().__init__()
        convolution = CONVOLUTION[dims]
        self.layers = nn.Sequential(
            convolution(in_channels, channels, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            convolution(channels, 2 * channels, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            convolution(2 * channels, 1, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return judgements, not bounded; higher is more real.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        Tensor
            ``(b, 1, *s / 4)``.
        """
        return self.layers(x)
