"""From a cohort to gene images: splits, folds, preprocessing, adjustment and layout.

A `Cohort` in; `(samples, height, width, channels)` float32 and who is held out, out.
"""
