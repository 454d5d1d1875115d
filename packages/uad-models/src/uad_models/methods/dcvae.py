"""dCVAE: the context variational autoencoder with dilated convolutions.

Paper: Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder"
(University of Bonn, BraTS 2019): Table 2, right; Table 3, "dCVAE". Objective and corruption are those of
`uad_models.methods.cvae`, where they are described.

The table, as kernel, stride, dilation, channels: 6, 1, 1, 8; 5, 2, 2, 16; 6, 1, 2, 16; 5, 3, 2, 16; two heads of
3, 1, 1, 16; the decoder is the encoder transposed.

What had to be chosen
---------------------
- Padding, which the table does not give: ``dilation · (kernel − 1) // 2`` on both sides, 2, 4, 5 and 4. The first
  layer, of an even kernel without dilation, then shortens the image by one voxel, which the second makes up for:
  240 → 239 → 120 → 120 → 40. Transposed, the same sizes come back: 40 → 120 → 120 → 239 → 240, with an output padding
  of 2 where the stride is 3.
- Sides must be even. The stride of 3 leaves something over for sides that are no multiple of 6, such as 128
  (128 → 127 → 64 → 64 → 22), and the output padding of its mirror is chosen to give it back.
- Preset ``quick`` is that of `uad_models.methods.cvae` with kernels of 3 and a dilation of 2 after the first layer: the
  paper's kernels at full resolution are too slow for it.
- The code is hardly shorter than the image: 16 · 40 · 40 numbers for 240 · 240 pixels.
"""

from typing import ClassVar

from uad_models.method import Preset
from uad_models.methods.cvae import CVAE, SUM_OF_SQUARES


class DilatedCVAE(CVAE):
    """Context variational autoencoder whose stack is the paper's dilated one.

    Parameters
    ----------
    config
        See `uad_models.methods.cvae.CVAEConfig`.
    """

    name = "dcvae"
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={
                "channels": (16, 32, 64),
                "kernels": (4, 3, 3),
                "dilations": (1, 2, 2),
                "latent_dim": 8,
            },
            train={"steps": 300, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (8, 16, 16, 16),
                "kernels": (6, 5, 6, 5),
                "strides": (1, 2, 1, 3),
                "dilations": (1, 2, 2, 2),
                "latent": "spatial",
                "latent_dim": 16,
                "code_kernel": 3,
                "reconstruction_loss": "l2",
                "predict_scale": False,
                "fixed_scale": SUM_OF_SQUARES,
            },
            train={"steps": 30000, "batch_size": 16, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }
