"""oncopixel: cancer biomarkers from gene images, reproducibly."""
