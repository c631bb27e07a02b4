"""oncopixel: cancer biomarkers from gene images, reproducibly."""

__version__ = "0.1.0"
