"""Data checks: facts of a cohort, expectations of them, and the page that shows both.

A `Cohort` in; findings and data docs out.
"""
