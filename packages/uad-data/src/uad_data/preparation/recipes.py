"""The recipes of the reference papers, and the default.

What a paper leaves open, or what cannot be had without downloads, is chosen here and said so:

- ``lambert2021`` (Lambert et al., unsupervised segmentation with a 3D VAE): rigid onto a 170 × 204 × 170 template at
  1 mm, N4, brain extraction, central crop to 160 × 192 × 75, intensities to [0, 1]. They used HD-BET; set
  ``brain_extraction.extractor`` to ``hd-bet`` where it is installed. N4 and extraction come before the registration
  here, because a stripped brain registers more surely. [0, 1] is a min–max over the brain's voxels.
- ``context_vae`` (BraTS 2019, stripped and registered at the source): about half of the slices around the centre, each
  scaled by its own min–max; 240 × 240 pixels.
- ``kascenas2022`` (as used on BraTS 2021): slices at 128 × 128, each sequence of each scan divided by the 99th
  percentile of its foreground. All slices with brain are kept.
- ``ct_thesis`` (context restoration on CT): 1 mm, brain extraction, rigid onto a 240 × 240 × 155 atlas (in-house; here
  the MNI template's brain, or your own by ``register.template``), slices with at least 10 brain pixels, [0, 1],
  128 × 128. The HU window is not printed; 0 to 80 HU, the usual brain window, is taken. They interpolated by nearest
  neighbour when registering; here linearly.
- ``brats``: files that are stripped, registered and at 1 mm already; only scaled.
"""

import difflib
from pathlib import Path

from uad_data.errors import InputError
from uad_data.preparation.recipe import Recipe, read_recipe
from uad_data.preparation.steps import BiasField, BrainExtraction, Coregister, Crop, Register, Reorient, Resample, Scale

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "default",
            (Reorient(), Coregister(), Resample(), BrainExtraction(), BiasField(), Register(), Scale()),
            {"scaling": "none"},
        ),
        Recipe(
            "lambert2021",
            (
                Reorient(),
                Coregister(),
                Resample(),
                BiasField(),
                BrainExtraction(),
                Register(shape=(170, 204, 170)),
                Crop(shape=(75, 192, 160)),
                Scale(rule="minmax"),
            ),
            {"size": [75, 192, 160], "scaling": "none", "framing": "grid"},
        ),
        Recipe(
            "context_vae",
            (Reorient(), BrainExtraction(extractor="stripped"), Scale(rule="minmax-slice")),
            {"size": [240, 240], "slices": "centre:75", "scaling": "none", "framing": "grid"},
        ),
        Recipe(
            "kascenas2022",
            (Reorient(), BrainExtraction(extractor="stripped"), Scale(rule="percentile:99")),
            {"size": [128, 128], "slices": "pixels:1", "scaling": "none", "framing": "grid"},
        ),
        Recipe(
            "ct_thesis",
            (
                Reorient(),
                Resample(),
                BrainExtraction(extractor="ct"),
                Register(shape=(155, 240, 240)),
                Scale(rule="window:0:80"),
            ),
            {
                "size": [128, 128],
                "modalities": ["ct"],
                "slices": "pixels:10",
                "scaling": "none",
                "framing": "grid",
            },
        ),
        Recipe("brats", (Reorient(), BrainExtraction(extractor="stripped"), Scale()), {"scaling": "none"}),
    )
}


def find_recipe(name: str) -> Recipe:
    """Give a recipe by name, or read one.

    Parameters
    ----------
    name : str
        A key of `RECIPES`, or a ``.json`` file.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        The name is unknown, or the file cannot be used.
    """
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).suffix == ".json":
        return read_recipe(name)
    near = difflib.get_close_matches(name.lower(), RECIPES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"recipe {name!r}: expected one of {', '.join(RECIPES)}, or a .json file{hint}")
