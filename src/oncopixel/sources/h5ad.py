"""Cohorts in one AnnData file: a cohort of ours, or an ordinary AnnData."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from ..cohort.assembly import assemble
from ..cohort.contract import Cohort, Matrix
from ..cohort.phenotypes import refuse_phenotypes
from ..cohort.samples import SheetColumns, describe_samples
from ..cohort.scales import check_values
from ..cohort.sheets import refuse_repeats
from ..core.errors import ArtifactError, SourceError, one_line
from ..core.hdf5 import check_h5ad, memory_bytes
from ..core.params import CHANNELS, MAX_LOG2, H5adSource, Scale

LABEL_KEYS = ("classes", "label_rule")


def load_h5ad(source: H5adSource, folder: Path) -> Cohort:
    """The unlabelled cohort in an .h5ad file.

    Returns
    -------
    Cohort
        One of ours less its label. Of any other AnnData, the layer `expression`, else `X`, else
        `raw` is the expression, as log2(x + 1) where scanpy's `log1p` made it.

    Raises
    ------
    SourceError
        For what is not as declared.
    """
    path = folder / source.path
    try:
        return _load(_read(path), source, path)
    except MemoryError:
        raise SourceError(
            f"{path} needs more memory than this process has. Use a machine with more, or fewer "
            "genes."
        ) from None


def _load(data: AnnData, source: H5adSource, path: Path) -> Cohort:
    scale = _scale(data, source, path)
    own = source.patient_column is None and source.patients is None and _is_cohort(data)
    refuse_repeats(data.obs_names, str(path), "sample")
    notes: list[str] = []
    matrices = {
        channel: _matrix(path, data, f"layer {channel}", data.layers[channel])
        for channel in (CHANNELS if own else CHANNELS[1:])
        if channel in data.layers
    }
    if own:
        return _own(data, matrices, scale, path)
    columns = SheetColumns(source.patient_column, one_per_sample=source.patients is not None)
    return assemble(
        {"expression": _expression(path, data, scale, notes), **matrices},
        _plain_columns(data.obs),
        scale=scale,
        columns=columns,
        sheet_origin=f"{path} (obs)",
        origin=f"AnnData file {source.path}",
        notes=notes,
    )


def _own(data: AnnData, matrices: dict[str, Matrix], scale: Scale, path: Path) -> Cohort:
    """A cohort of ours as its source would have given it, before it was labelled."""
    for matrix in matrices.values():
        refuse_phenotypes(matrix.frame.columns, data.obs.columns, matrix.origin)
    for channel, matrix in matrices.items():
        check_values(matrix, channel, scale)
    sheet = _plain_columns(data.obs.drop(columns="label", errors="ignore"))
    data.obs, notes = describe_samples(sheet, SheetColumns(), f"{path} (obs)")
    for channel, matrix in matrices.items():
        data.layers[channel] = matrix.frame.to_numpy()
    del data.X, data.raw
    for key in LABEL_KEYS:
        data.uns.pop(key, None)
    earlier = [str(note) for note in np.ravel(data.uns.get("notes", []))]
    data.uns["notes"] = np.array([*earlier, *notes], dtype=object)
    return Cohort(data)


def _read(path: Path) -> AnnData:
    """The AnnData in `path`; HDF5 only, so nothing in the file is ever run."""
    if not path.exists():
        raise SourceError(
            f"{path} does not exist. File names of a source start at the `inputs` folder of its "
            "cohort."
        )
    try:
        check_h5ad(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old formats; repeated names are checked here
            return anndata.read_h5ad(path)
    except MemoryError:
        raise
    except Exception as error:  # h5py and anndata raise all kinds on damaged input
        raise SourceError(
            f"{path} is no readable .h5ad file ({type(error).__name__}: "
            f"{one_line(error)}). Copy it again, or write it with a current "
            "version of anndata."
        ) from error


def _scale(data: AnnData, source: H5adSource, path: Path) -> Scale:
    """The scale that the entry or the file states; `SourceError` when neither or both differ."""
    stored = data.uns.get("scale")
    scale: Any = source.scale or stored or ("log2" if "log1p" in data.uns else None)
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
    """Whether the data keep our contract, its types included."""
    try:
        Cohort(data)
    except ArtifactError:
        return False
    texts = data.var[["ensembl_id", "chromosome"]].map(lambda value: isinstance(value, str))
    return bool(
        pd.api.types.is_integer_dtype(data.var["start"])
        and texts.all(axis=None)
        and isinstance(data.uns["origin"], str)
    )


def _plain_columns(obs: pd.DataFrame) -> pd.DataFrame:
    """`obs` with values in place of categories."""
    categorical = obs.select_dtypes("category").columns
    return obs.astype(dict.fromkeys(categorical, object))


def _expression(path: Path, data: AnnData, scale: Scale, notes: list[str]) -> Matrix:
    """The expression, converted where `log1p` made it; notes tell which values are used."""
    raw = data.raw
    found = {
        "layer expression": data.layers.get("expression"),
        "X": data.X,
        "raw": None if raw is None else raw.X,
    }
    first, *others = [where for where, values in found.items() if values is not None] or [""]
    if not first:
        raise SourceError(
            f"{path} has neither a layer `expression` nor X nor raw: it holds no values."
        )
    further = [f"layer {name}" for name in data.layers if name not in CHANNELS] + others
    if further:
        notes.append(f"expression: {first} is used; there are also {', '.join(further)}")
    names = raw.var_names if first == "raw" and raw is not None else data.var_names
    matrix = _matrix(path, data, first, found[first], names)
    if "log1p" in data.uns:
        base = _base(data.uns["log1p"], path)
        other = data.X if first == "layer expression" else None
        _as_log2(matrix, base, scale, None if other is None else _dense(other), notes)
    return matrix


def _base(told: Any, path: Path) -> float:
    """The base of the logarithms that `uns["log1p"]` tells of; without one they are natural."""
    base = told.get("base") if isinstance(told, Mapping) else told
    try:
        number = math.e if base is None else float(np.ravel(base)[0])
    except (ValueError, TypeError, IndexError):
        number = math.nan
    if not 1 < number < math.inf:
        raise SourceError(
            f"{path}: uns['log1p'] tells of logarithms to base {base!r:.40}, which is none. Write "
            "{'base': 2} for log2(x + 1), {'base': None} for natural logarithms."
        )
    return number


def _as_log2(
    matrix: Matrix, base: float, scale: Scale, x: np.ndarray | None, notes: list[str]
) -> None:
    """Makes log2(x + 1) of log(x + 1) in place; `x` is AnnData's X where the matrix is another."""
    values = matrix.frame.to_numpy()
    known = values[np.isfinite(values)]
    factor = np.float32(math.log2(base))
    said = f"{matrix.origin}: uns['log1p'] says that the values are log(x + 1) to base {base:.4g}"
    whole = not (known % 1).any()
    if scale != "log2":
        if whole or known.max() > MAX_LOG2:
            return
        raise SourceError(
            f"{said}, params.yaml says `scale: {scale}`. Remove `scale` there, or give the values "
            "before the logarithm as layer `expression` and remove uns['log1p']."
        )
    if whole:
        raise SourceError(f"{said}, but they are whole numbers. Are they counts? Set `scale`.")
    if known.min() < 0:
        raise SourceError(
            f"{said}, but some are negative: were they scaled since? Give the values before that "
            "as layer `expression` and remove uns['log1p'], or remove X where `raw` holds them."
        )
    if x is not None:
        if x.shape == values.shape and np.allclose(x * factor, values, 1e-3, equal_nan=True):
            return
        if x.shape != values.shape or not np.allclose(x, values, 1e-3, equal_nan=True):
            raise SourceError(
                f"{said}, but X holds others: which of them that is about cannot be told. Remove "
                "uns['log1p'] if the layer holds log2(x + 1); else remove the layer."
            )
    if base != 2:
        values *= factor
        notes.append(
            f"expression: log(x + 1) to base {base:.4g} by uns['log1p'], converted to log2(x + 1)"
        )


def _matrix(
    path: Path, data: AnnData, where: str, values: Any, names: pd.Index | None = None
) -> Matrix:
    """Values as float32; `SourceError` for what are no numbers."""
    names = data.var_names if names is None else names
    kind = getattr(values, "dtype", np.dtype(object)).kind
    if kind not in "biuf":
        raise SourceError(f"{path} ({where}) does not hold numbers.")
    frame = pd.DataFrame(_dense(values), data.obs_names, names)
    if not np.isfinite(frame.to_numpy()).any():
        raise SourceError(f"{path} ({where}) holds no number.")
    return Matrix(f"{path} ({where})", frame)


def _dense(values: Any) -> np.ndarray:
    """A new array of float32; `MemoryError` for more than the machine has."""
    if 4 * math.prod(values.shape) > memory_bytes():
        raise MemoryError
    with np.errstate(over="ignore"):  # infinite values are for the checks
        if hasattr(values, "toarray"):
            return np.asarray(values.astype(np.float32).toarray())
        return np.array(values, dtype=np.float32)
