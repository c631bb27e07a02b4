"""What a marker list means: gene sets, drivers, confounders, other cohorts.

A ranking in; tables that interpret it out.
"""
