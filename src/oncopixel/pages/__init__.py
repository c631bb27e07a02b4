"""What every HTML page of this package has in common.

In: numbers, mappings, frames. Out: texts, tables, and the style and scripts of a page.
"""
