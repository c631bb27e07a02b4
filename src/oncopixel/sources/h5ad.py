"""Cohorts in one AnnData file: a cohort of ours, or an ordinary AnnData."""

import warnings
from pathlib import Path
from typing import Any, get_args

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from ..cohort import Cohort
from ..errors import ArtifactError, SourceError
from ..params import H5adSource, Scale
from .files import assemble, check_expression
from .phenotypes import refuse_phenotypes
from .samples import SheetColumns
from .tables import Matrix, refuse_repeats

LABEL_KEYS = ("classes", "label_rule")


def load_h5ad(source: H5adSource, folder: Path) -> Cohort:
    """The unlabelled cohort in an .h5ad file.

    A cohort of ours is taken as it is, less its label. Of any other AnnData, the layer
    `expression`, else `X` (dense or sparse), is the expression, `obs` is the sample sheet, and the
    layers `copy_number` and `mutation` are used where they are. Raises `SourceError` for what is
    not as declared.
    """
    path = folder / source.path
    data = _read(path)
    scale = _scale(data, source, path)
    if source.patient_column is None and source.patients is None and _is_cohort(data):
        cohort = _without_label(data)
        refuse_phenotypes(cohort.genes.index, cohort.samples.columns, str(path))
        check_expression(_matrix(path, data, "expression"), scale)
        return cohort
    refuse_repeats(data.obs_names, str(path), "sample")
    copy_number, mutation = (
        _matrix(path, data, channel) if channel in data.layers else None
        for channel in ("copy_number", "mutation")
    )
    return assemble(
        _matrix(path, data, "expression"),
        _plain_columns(data.obs),
        scale=scale,
        columns=SheetColumns(
            source.patient_column, one_per_sample=source.patients == "one_per_sample"
        ),
        sheet_origin=f"{path} (obs)",
        copy_number=copy_number,
        mutation=mutation,
        origin=f"AnnData file {source.path}",
    )


def _read(path: Path) -> AnnData:
    """The AnnData in `path`; HDF5 only, so nothing in the file is ever run."""
    if not path.exists():
        raise SourceError(
            f"{path} does not exist. File names of a source start at the `inputs` folder of its "
            "cohort."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # old formats and repeated names, which are checked here
            return anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise all kinds on damaged input
        raise SourceError(
            f"{path} is no readable .h5ad file ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Copy it again, or write it with a current "
            "version of anndata."
        ) from error


def _scale(data: AnnData, source: H5adSource, path: Path) -> Scale:
    """The scale that the entry or the file states; `SourceError` when neither or both differ."""
    stored = data.uns.get("scale")
    scale: Any = source.scale or stored
    if scale not in get_args(Scale):
        raise SourceError(
            f"{path} does not say the scale of its expression values"
            + (f" in known words ({scale!r})" if scale is not None else "")
            + f". Add `scale:` to the source: {', '.join(get_args(Scale))}."
        )
    if stored in get_args(Scale) and stored != scale:
        raise SourceError(
            f"{path} says that its scale is {stored}, params.yaml says {scale}. Remove `scale` "
            "there."
        )
    return scale  # type: ignore[no-any-return]


def _is_cohort(data: AnnData) -> bool:
    try:
        Cohort(data)
    except ArtifactError:
        return False
    return True


def _without_label(data: AnnData) -> Cohort:
    """The cohort as its source would have given it, before it was labelled."""
    data.obs = _plain_columns(data.obs.drop(columns="label", errors="ignore"))
    for key in LABEL_KEYS:
        data.uns.pop(key, None)
    return Cohort(data)


def _plain_columns(obs: pd.DataFrame) -> pd.DataFrame:
    """`obs` with text in place of categories."""
    categorical = obs.select_dtypes("category").columns
    return obs.astype(dict.fromkeys(categorical, object))


def _matrix(path: Path, data: AnnData, channel: str) -> Matrix:
    """One channel as float32; `SourceError` when it is not there."""
    values: Any = data.layers.get(channel)
    place = f"layer {channel}"
    if values is None and channel == "expression":
        values, place = data.X, "X"
    if values is None:
        raise SourceError(f"{path} has neither a layer `expression` nor X: it holds no values.")
    dense = values.toarray() if hasattr(values, "toarray") else values
    frame = pd.DataFrame(np.asarray(dense, dtype=np.float32), data.obs_names, data.var_names)
    if not np.isfinite(frame.to_numpy()).any():
        raise SourceError(f"{path} ({place}) holds no number.")
    return Matrix(f"{path} ({place})", frame)
