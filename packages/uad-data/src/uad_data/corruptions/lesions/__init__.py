"""Made-up lesions, for methods that learn to find them: one file per kind, and a mix of them all.

Nothing here uses or imitates the phantom's own lesions, so that the phantom stays a test.
"""

from uad_data.corruptions.lesions.blur_noise import blur_noise
from uad_data.corruptions.lesions.cut_paste import cut_paste
from uad_data.corruptions.lesions.deformation import deformation
from uad_data.corruptions.lesions.draem_texture import draem_texture
from uad_data.corruptions.lesions.field_blobs import field_blobs
from uad_data.corruptions.lesions.foreign_interpolation import foreign_interpolation
from uad_data.corruptions.lesions.intensity_shift import intensity_shift
from uad_data.corruptions.lesions.lesion_mix import KINDS, MIXES, LesionMix, mix_lesions
from uad_data.corruptions.lesions.nsa import nsa
from uad_data.corruptions.lesions.sequences import SEQUENCES, SequencePrior

__all__ = [
    "KINDS",
    "MIXES",
    "SEQUENCES",
    "LesionMix",
    "SequencePrior",
    "blur_noise",
    "cut_paste",
    "deformation",
    "draem_texture",
    "field_blobs",
    "foreign_interpolation",
    "intensity_shift",
    "mix_lesions",
    "nsa",
]
