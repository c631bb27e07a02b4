"""`python -m oncopixel`: the tree's own code, which is what `dvc.yaml` runs."""

from .cli import main

main()
