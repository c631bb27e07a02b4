"""The cohort: samples x genes in up to three channels, as AnnData that keeps a contract.

- `obs`: one row per sample, index the sample id (unique strings); columns `patient` (string),
  `sample_type` (TCGA code such as "01", or ""), `site` and `batch` (strings, "" when unknown), any
  columns of the sample sheet, and, once labelled, `label`.
- `var`: one row per gene, index the gene symbol (unique strings); columns `ensembl_id`,
  `chromosome` (strings, "" when unknown) and `start` (int64, -1 when unknown). Of a cohort of
  segments the pixels may be bins of the genome, see `genome.bins`: then also `end`, `band`, `genes`
  and `drivers`.
- `layers`: `(samples, genes)` float32, one of these at least. `expression` on the scale that
  `uns["scale"]` names (`log2` where there is none);
  `copy_number` as log2(copies / 2) or GISTIC levels; `mutation` 0 or 1, or in between where
  variants are weighted by their impact. NaN is "not measured"; a channel that was never measured
  is absent.
- `obsm`: until it is labelled `mutation`, a frame of `(samples, genes)` as in the layer of that
  name, of a cohort whose own genes are not those that were sequenced.
- `uns`: `scale`, `origin` (a sentence), `notes` (what was dropped or merged, and how many), and,
  once labelled, `classes` (ordered; for two classes the positive one is last) and `label_rule`;
  for sheets of patients `patient_columns`, the columns that describe them rather than samples;
  for cohorts with segments `min_markers`, of which a segment that counts has as many;
  for simulated cohorts `truth`, the planted markers; for cohorts of GDC files `joined`, what
  became of each file; for cohorts put together from matrices `losses`, the shares of samples and
  genes that found no partner.
"""

import string
import unicodedata
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from anndata import AnnData

from ..core.errors import ArtifactError
from ..core.params import CHANNELS, Scale
from ..core.storage import read_h5ad, take_rows, write_h5ad

OBS_COLUMNS = ("patient", "sample_type", "site", "batch")
VAR_COLUMNS = ("ensembl_id", "chromosome", "start")
BIN_COLUMNS = ("end", "band", "genes", "drivers")
"""What `var` has more where the pixels are bins."""
NOT_KNOWN = frozenset(
    f"{start}{word}"
    for start in ("not ", "un", "not yet ")
    for word in (
        *("available", "applicable", "reported", "evaluated", "evaluable", "determined", "known"),
        *("assessed", "assessable", "collected", "allowed to collect", "done", "performed"),
        *("provided", "recorded", "specified", "stated", "tested"),
    )
) | {
    *("", "na", "n/a", "n.a.", "n.a", "#n/a", "nan", "-nan", "null", "nil", "none"),
    *("missing", "no data", "unk", "discrepancy", "no information", "data not available"),
    *("#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!"),
    *("na character", "na real", "na integer", "pending", "tbd", "to be determined"),
    *("unbekannt", "nicht bekannt", "nicht verfügbar", "keine angabe", "k. a.", "onbekend"),
    *("inconnu", "inconnue", "non connu", "non disponible", "non renseigné", "manquant"),
    *("desconocido", "desconocida", "no disponible", "sin datos", "desconhecido", "desconhecida"),
    *("sconosciuto", "sconosciuta", "non disponibile", "non noto", "não informado", "ignorado"),
    *("okänd", "ukendt", "ukjent", "未知", "不详", "缺失", "不明"),
}
"""What stands for a value that is not known: words of TCGA, the GDC, R, Python, spreadsheets.

In whatever case, with `_` or nothing for blanks, and with or without brackets or quotes around, as
in `<NA>` and `[Not Available]`; dots, dashes and question marks alone say the same."""
_SQUEEZED = frozenset(unicodedata.normalize("NFC", "".join(word.split())) for word in NOT_KNOWN)
_AROUND = "'\"[](){}<>" + string.whitespace


@dataclass(frozen=True)
class Matrix:
    """Measured values, `(samples, genes)` float32, NaN where missing, and where they come from."""

    origin: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Cohort:
    """Samples of one study, checked against the contract above when made."""

    data: AnnData

    def __post_init__(self) -> None:
        problem = _broken_contract(self.data)
        if problem:
            raise ArtifactError(f"not a cohort: {problem}")

    @property
    def samples(self) -> pd.DataFrame:
        """`obs`: one row per sample."""
        return self.data.obs

    @property
    def genes(self) -> pd.DataFrame:
        """`var`: one row per gene."""
        return self.data.var

    @property
    def patients(self) -> np.ndarray:
        """`(samples,)` patient of each sample, strings."""
        return np.asarray(self.data.obs["patient"], dtype=str)

    @property
    def channels(self) -> list[str]:
        """Channels that were measured, in image order."""
        return [channel for channel in CHANNELS if channel in self.data.layers]

    @property
    def scale(self) -> Scale:
        """Scale of the expression values."""
        return cast(Scale, str(self.data.uns["scale"]))

    @property
    def classes(self) -> list[str]:
        """Class names in order; for two classes the positive one is last."""
        if "classes" not in self.data.uns:
            raise ArtifactError("this cohort has no label yet. Run `oncopixel ingest` first.")
        return [str(name) for name in self.data.uns["classes"]]

    @property
    def y(self) -> np.ndarray:
        """`(samples,)` int32 index into `classes`."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array(
            [index[label] for label in self.data.obs["label"].astype(str)], dtype=np.int32
        )

    @property
    def truth(self) -> pd.DataFrame | None:
        """Planted markers of a simulated cohort (gene, channel, kind, effect), else None."""
        truth = self.data.uns.get("truth")
        return None if truth is None else pd.DataFrame(truth)

    @property
    def min_markers(self) -> int | None:
        """The fewest markers of a segment that counted; None of a cohort without segments."""
        stored = self.data.uns.get("min_markers")
        return None if stored is None else int(stored)

    @property
    def losses(self) -> dict[str, float]:
        """Shares of samples and genes that found no partner when matrices were put together."""
        stored = self.data.uns.get("losses")
        if not isinstance(stored, Mapping):
            return {}
        return {str(k): float(v) for k, v in stored.items() if isinstance(v, float)}

    def layer(self, channel: str) -> np.ndarray:
        """`(samples, genes)` float32 values of one channel; NaN is not measured."""
        return np.asarray(self.data.layers[channel], dtype=np.float32)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Cohort":
        """The cohort of these samples only, given by position or by a mask."""
        at = np.arange(len(self.data.obs))[np.asarray(rows)]
        taken = self.tables()[at].copy()
        for channel, values in self.data.layers.items():
            taken.layers[channel] = take_rows(values, at)
        for name, frame in self.data.obsm.items():
            taken.obsm[name] = frame.iloc[at]
        return Cohort(taken)

    def tables(self) -> AnnData:
        """A copy of everything but the layers, which may be larger than the memory, and `obsm`."""
        data = self.data
        return AnnData(obs=data.obs.copy(), var=data.var.copy(), uns=deepcopy(dict(data.uns)))


def build_cohort(
    expression: pd.DataFrame,
    samples: pd.DataFrame,
    genes: pd.DataFrame,
    *,
    scale: Scale,
    origin: str,
    notes: Sequence[str] = (),
    copy_number: pd.DataFrame | None = None,
    mutation: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
    losses: Mapping[str, float] | None = None,
) -> Cohort:
    """The unlabelled cohort of the samples and genes of `expression`; NaN what others lack."""
    frames = zip(CHANNELS, (expression, copy_number, mutation), strict=True)
    layers = {
        channel: frame.reindex(index=expression.index, columns=expression.columns).to_numpy(
            dtype=np.float32
        )
        for channel, frame in frames
        if frame is not None
    }
    cohort = cohort_of_layers(
        layers,
        samples.loc[expression.index],
        genes.loc[expression.columns],
        scale=scale,
        origin=origin,
        notes=notes,
    )
    if truth is not None:
        cohort.data.uns["truth"] = truth.reset_index(drop=True)
    if losses is not None:
        cohort.data.uns["losses"] = dict(losses)
    return cohort


def cohort_of_layers(
    layers: dict[str, np.ndarray],
    samples: pd.DataFrame,
    genes: pd.DataFrame,
    *,
    scale: Scale,
    origin: str,
    notes: Sequence[str] = (),
) -> Cohort:
    """An unlabelled cohort of `(samples, genes)` float32 layers by channel, not copied."""
    obs = samples.copy()
    for column in dict.fromkeys([*OBS_COLUMNS, *obs.columns]):
        if column not in obs:
            obs[column] = ""
        elif column in OBS_COLUMNS or not pd.api.types.is_numeric_dtype(obs[column]):
            obs[column] = obs[column].fillna("").astype(str)
    obs.index = obs.index.astype(str)
    obs.index.name = "sample"
    more = BIN_COLUMNS if set(BIN_COLUMNS) <= set(genes) else ()
    var = genes[[*VAR_COLUMNS, *more]].copy()
    var.index = var.index.astype(str)
    var.index.name = "gene"
    data = AnnData(obs=obs, var=var, layers=layers)
    data.uns["scale"] = scale
    data.uns["origin"] = origin
    data.uns["notes"] = np.array(list(notes), dtype=object)
    return Cohort(data)


def missing(values: pd.Series) -> np.ndarray:
    """`(samples,)` bool: where a value is null, or text that says that it is not known."""
    told = [isinstance(value, str) and says_not_known(value) for value in values]
    return np.asarray(values.isna().to_numpy(dtype=bool) | np.array(told, dtype=bool))


@lru_cache(1 << 16)
def says_not_known(text: str) -> bool:
    """Whether the text is one of `NOT_KNOWN`, or dots, dashes and question marks only."""
    plain = unicodedata.normalize("NFC", text.replace("_", " ").strip(_AROUND).casefold())
    words = "".join(plain.split())
    return words in _SQUEEZED or not words.strip(".?-\u2010\u2011\u2012\u2013\u2014\u2212")


def write_cohort(path: Path, cohort: Cohort) -> None:
    """The cohort as .h5ad; the same cohort always gives the same bytes."""
    write_h5ad(path, cohort.data)


def read_cohort(path: Path) -> Cohort:
    """The cohort that `write_cohort` stored; `ArtifactError` when damaged or no cohort."""
    data = read_h5ad(path)
    problem = _broken_contract(data)
    if problem:
        raise ArtifactError(f"{path} is not a cohort: {problem}")
    return Cohort(data)


def _broken_contract(data: AnnData) -> str | None:
    """The first thing in which `data` is no cohort, or None."""
    lacking = [f"obs column `{c}`" for c in OBS_COLUMNS if c not in data.obs]
    lacking += [f"var column `{c}`" for c in VAR_COLUMNS if c not in data.var]
    lacking += [f"uns entry `{k}`" for k in ("scale", "origin") if k not in data.uns]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    if not len(data.layers):
        return f"it has no layer; layers are {', '.join(CHANNELS)}"
    unknown = sorted(set(data.layers) - set(CHANNELS))
    if unknown:
        return f"unknown layer `{unknown[0]}`; layers are {', '.join(CHANNELS)}"
    for axis, index in (("sample", data.obs_names), ("gene", data.var_names)):
        if not index.is_unique:
            return f"{axis} {index[index.duplicated()][0]!r} occurs more than once"
    return None
