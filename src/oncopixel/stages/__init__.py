"""One module per stage of `dvc.yaml`, named like it.

Files of a cohort in; files of the next stage out.
"""
