"""Augmentation: nnU-Net's recipe on batches of prepared images, the brain masks and labels moved along.

Importing this needs torch; using it needs batchgeneratorsv2: ``pip install "uad-data[augmentation]"`` has both.
"""

from uad_data.augmentation.apply import augment, check_installed
from uad_data.augmentation.recipe import NNUNET, AugmentationRecipe

__all__ = ["NNUNET", "AugmentationRecipe", "augment", "check_installed"]
