"""What turns a cohort into images: fitted once, stored with the model, checked when read."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from ..core.errors import ArtifactError, one_line
from ..core.params import Channel, Positive, PreprocessParams, Scale, Section
from ..core.storage import read_parquet, write_parquet
from .covariates import Covariate
from .layout import Genome, find_chromosomes

LOCAL: tuple[Channel, ...] = ("copy_number",)
"""Channels whose values go together along the genome."""


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """What turns a cohort into images, fitted once and reusable.

    `genes` has a row per pixel gene, in genomic order: `gene`, `ensembl_id`, `chromosome`, `start`,
    `row`, `col`, of bins `end`, `band`, `genes` and `drivers`, and for each channel
    `<channel>_center` and `<channel>_scale` (infinite where the gene was never measured in
    training, so that it stays 0). With covariates, `adjust_<i>` is the effect of term i on log2
    expression, and center and scale are of what remains without it.
    `distances`: quantiles, from the least to the greatest and evenly spaced, of the training
    samples' mean absolute standardised value of the first channel.
    """

    genes: pd.DataFrame
    channels: list[str]
    image: tuple[int, int]
    scale: Scale
    classes: list[str]
    params: PreprocessParams
    covariates: list[Covariate] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return (*self.image, len(self.channels))

    @property
    def genome(self) -> Genome | None:
        """What of the image has neighbours along the genome; None when no channel has."""
        local = tuple(i for i, name in enumerate(self.channels) if name in LOCAL)
        chromosomes = find_chromosomes(self.genes, self.image) if local else ()
        return Genome(local, chromosomes) if chromosomes else None


def to_images(pre: Preprocessor, features: np.ndarray) -> np.ndarray:
    """`(samples, height, width, channels)` float32 images; pixels without a gene are 0."""
    images = np.zeros((len(features), *pre.shape), dtype=np.float32)
    images[:, pre.genes["row"].to_numpy(), pre.genes["col"].to_numpy()] = features
    return images


def to_features(pre: Preprocessor, images: np.ndarray) -> np.ndarray:
    """`(samples, genes, channels)` values of the genes' pixels: the inverse of `to_images`."""
    taken: np.ndarray = images[:, pre.genes["row"].to_numpy(), pre.genes["col"].to_numpy()]
    return taken


def write_preprocessor(path: Path, pre: Preprocessor) -> None:
    """The preprocessor as one Parquet file: the gene table, the rest as its metadata."""
    metadata = {
        "kind": "preprocessor",
        "channels": pre.channels,
        "image": list(pre.image),
        "scale": pre.scale,
        "classes": pre.classes,
        "params": pre.params.model_dump(),
        "covariates": [asdict(covariate) for covariate in pre.covariates],
        "distances": pre.distances,
    }
    write_parquet(path, pre.genes, metadata)


class _Stored(Section):
    """The metadata of a stored preprocessor."""

    kind: Literal["preprocessor"]
    channels: Annotated[list[Channel], Field(min_length=1)]
    image: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    scale: Scale
    classes: list[str]
    params: PreprocessParams
    covariates: list[dict[str, Any]]
    distances: Annotated[list[FiniteFloat], Field(min_length=1)]


def read_preprocessor(path: Path) -> Preprocessor:
    """The preprocessor that `write_preprocessor` stored, exactly; `ArtifactError` when unusable."""
    genes, metadata = read_parquet(path)
    try:
        stored = dict(_Stored.model_validate(metadata))
        stored["image"] = tuple(stored["image"])
        stored["covariates"] = [_COVARIATE.validate_python(c) for c in stored["covariates"]]
        pre = Preprocessor(genes, **{key: stored[key] for key in stored if key != "kind"})
        _check_table(pre)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else first_problem(error)
        raise ArtifactError(
            f"{path} is not a preprocessor of this version ({reason}). "
            "Run `dvc repro`, or take the preprocessor that was stored with the model."
        ) from None
    return pre


_COVARIATE = TypeAdapter(Covariate)


def first_problem(error: Exception) -> str:
    """What is wrong, in one line; of a failed validation the first key that is."""
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, detail['loc'])) or 'all of it'}: {detail['msg']}"
    return one_line(error)


def _check_table(pre: Preprocessor) -> None:
    """Nothing, or ValueError or KeyError when the gene table is not one that `fit` makes."""
    height, width = pre.image
    rows, columns = pre.genes["row"], pre.genes["col"]
    for column in ("row", "col"):
        if not pd.api.types.is_integer_dtype(pre.genes[column]):
            raise ValueError(f"`{column}` holds what is no whole number")
    if pre.genes["gene"].map(type).ne(str).any() or pre.genes["ensembl_id"].map(type).ne(str).any():
        raise ValueError("a gene's name is no text")
    if len(set(pre.channels)) < len(pre.channels):
        raise ValueError("a channel occurs twice")
    if not np.isfinite(pre.params.clip):
        raise ValueError("`clip` is no finite number")
    if not (rows.between(0, height - 1) & columns.between(0, width - 1)).all():
        raise ValueError(f"a gene lies outside the image of {height} x {width} pixels")
    if pre.genes[["row", "col"]].duplicated().any() or pre.genes["gene"].duplicated().any():
        raise ValueError("a gene or a pixel occurs twice")
    for channel in pre.channels:
        if not np.isfinite(pre.genes[f"{channel}_center"].to_numpy(dtype=float)).all():
            raise ValueError(f"`{channel}_center` holds a value that is no number")
        if not (pre.genes[f"{channel}_scale"].to_numpy(dtype=float) > 0).all():
            raise ValueError(f"`{channel}_scale` holds a value that is not positive")
    for covariate in pre.covariates:
        if not np.isfinite([*covariate.center, *covariate.scale]).all():
            raise ValueError(f"what it knows of `{covariate.column}` is no number")
    if "expression" in pre.channels:
        if [covariate.column for covariate in pre.covariates] != pre.params.adjust:
            raise ValueError("what it adjusts for is not what its parameters say")
        if not np.isfinite(effects_of(pre)).all():
            raise ValueError("an effect of `preprocess.adjust` is no number")


def effects_of(pre: Preprocessor) -> np.ndarray:
    """`(terms, genes)` float32 effect of each term on log2 expression."""
    n_terms = sum(len(covariate.center) for covariate in pre.covariates)
    stored = pre.genes[[f"adjust_{i}" for i in range(n_terms)]]
    return np.asarray(stored.to_numpy(dtype=np.float32).T)
