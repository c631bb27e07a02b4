"""What every room uses: errors, parameters, and files that are written whole or not at all.

params.yaml in; checked parameters, paths and stored files out.
"""
