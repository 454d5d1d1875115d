"""The built-in methods: one file each, one line here each."""

from uad_models.method import Method
from uad_models.methods.ae import AE
from uad_models.methods.denoising_unet import DenoisingUNet
from uad_models.methods.intensity import Intensity
from uad_models.methods.synthetic_unet import SyntheticUNet
from uad_models.methods.vae import VAE

METHODS: dict[str, type[Method]] = {
    "intensity": Intensity,
    "ae": AE,
    "vae": VAE,
    "denoising_unet": DenoisingUNet,
    "synthetic_unet": SyntheticUNet,
}
