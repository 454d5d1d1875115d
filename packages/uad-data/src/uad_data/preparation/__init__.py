"""From raw scanner files to prepared scans, by a recipe of steps, and back.

``recipe`` puts ``steps`` in order and ``recipes`` names those of the papers; ``one_scan`` takes one person through a
recipe, ``cohort`` all of them; ``way_back`` takes maps and masks home. Behind the steps stand ``registration``,
``bias_field``, ``templates`` and `uad_data.brain_extraction`.
"""
