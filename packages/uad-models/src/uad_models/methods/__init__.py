"""The built-in methods: one file each, one line here each."""

from uad_models.method import Method
from uad_models.methods.aae import AAE
from uad_models.methods.ae import AE
from uad_models.methods.cevae import CEVAE
from uad_models.methods.collapse_robust_vae import CollapseRobustVAE
from uad_models.methods.context_restoration import ContextRestoration
from uad_models.methods.cvae import CVAE
from uad_models.methods.dae import DAE
from uad_models.methods.dcvae import DilatedCVAE
from uad_models.methods.denoising_unet import DenoisingUNet
from uad_models.methods.disyre import DISYRE
from uad_models.methods.draem import DRAEM
from uad_models.methods.ensemble import Ensemble
from uad_models.methods.intensity import Intensity
from uad_models.methods.multitask import Multitask
from uad_models.methods.restoration import Restoration
from uad_models.methods.synthetic_unet import SyntheticUNet
from uad_models.methods.vae import VAE
from uad_models.methods.vae_flow import VAEFlow
from uad_models.methods.vae_kl import VAEKL
from uad_models.methods.vae_pretrained import VAEPretrained
from uad_models.methods.vqvae import VQVAE
from uad_models.methods.vqvae_transformer import VQVAETransformer

METHODS: dict[str, type[Method]] = {
    "intensity": Intensity,
    "ae": AE,
    "vae": VAE,
    "collapse_robust_vae": CollapseRobustVAE,
    "dae": DAE,
    "cvae": CVAE,
    "dcvae": DilatedCVAE,
    "denoising_unet": DenoisingUNet,
    "synthetic_unet": SyntheticUNet,
    "draem": DRAEM,
    "disyre": DISYRE,
    "ensemble": Ensemble,
    "vae_kl": VAEKL,
    "cevae": CEVAE,
    "restoration": Restoration,
    "aae": AAE,
    "vae_flow": VAEFlow,
    "context_restoration": ContextRestoration,
    "vae_pretrained": VAEPretrained,
    "multitask": Multitask,
    "vqvae": VQVAE,
    "vqvae_transformer": VQVAETransformer,
}
