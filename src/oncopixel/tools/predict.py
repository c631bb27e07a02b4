"""`predict`: a trained model applied to new samples."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort
from ..core.errors import ArtifactError, SourceError, first_few
from ..core.params import Scale
from ..core.storage import read_keras, remedy, write_csv
from ..images.applicability import check_scale, distances, farthest
from ..images.covariates import missing_values, unknown_values
from ..images.preprocessing import features, match_report
from ..images.preprocessor import Preprocessor, to_images
from .model import CONTRACT, ENSEMBLE, Contract, read_model
from .new_samples import NewFiles, read_new

log = logging.getLogger(__name__)


def run(
    folder: Path,
    expression: Path,
    out: Path,
    *,
    scale: Scale | None,
    orientation: str,
    copy_number: Path | None,
    mutation: Path | None,
    min_genes: float,
    samples: Path | None = None,
    build: Literal["hg19", "hg38"] | None = None,
) -> None:
    """Writes a CSV with a row per sample: class probabilities, the ensemble's spread, `distance`.

    The spread is empty when the ensemble has one member; the distance, as of
    `applicability.distances`, without values of the model's first channel.

    Parameters
    ----------
    expression
        A matrix; or segments, for a model that reads no expression.
    samples
        A sheet with the columns for which the model adjusts expression, if it does.
    build
        Of the positions of segments, where the file does not tell it.
    min_genes
        The fraction of the model's genes that must be there.

    Raises
    ------
    ArtifactError
        The model's files do not belong together.
    SourceError
        The samples have too few of the model's genes, or lack a column that it adjusts for.
    """
    contract, pre = read_model(folder)
    files = NewFiles(expression, copy_number, mutation, samples, scale, orientation, build)
    cohort = read_new(files, pre, contract.min_markers)
    _check_covariates(pre, cohort, files.sheet)
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    _check_match(pre, cohort, expression, min_genes)
    for warning in check_scale(pre, cohort, str(expression)):
        log.warning("warning: %s: %s", expression, warning)

    if contract.verdict != "signal":
        log.warning(
            "warning: the verdict on this model was `%s`: it did not tell the classes of held-out "
            "patients apart for certain",
            contract.verdict,
        )
    values = features(pre, cohort)
    probabilities = _member_probabilities(folder, contract, pre, to_images(pre, values))
    away = distances(pre, cohort, values)
    beyond = int((away > farthest(pre)).sum())
    if beyond:
        log.warning(
            "warning: %d of %d samples lie clearly farther away than any training sample; see the "
            "column `distance`",
            beyond,
            len(away),
        )
    write_csv(out, _table(cohort, contract, probabilities, away))
    log.info("%d samples written to %s", len(away), out)


def _check_match(pre: Preprocessor, cohort: Cohort, expression: Path, min_genes: float) -> None:
    """Tells which genes and channels of the model are there; `SourceError` for too few."""
    match = match_report(pre, cohort)
    log.info("%d of the model's %d genes found", match.matched, match.total)
    if match.missing:
        log.warning(
            "warning: %d genes of the model are missing: taken as average: %s",
            len(match.missing),
            first_few(match.missing),
        )
    if not match.matched >= min_genes * match.total:
        raise SourceError(
            f"{expression} has {match.matched} of the model's {match.total} genes "
            f"({match.matched / match.total:.0%}), fewer than --min-genes {min_genes:.0%}: no "
            f"{first_few(match.missing)}. Gene keys must be HGNC symbols or Ensembl ids; "
            "is the orientation right?"
        )
    if match.absent_channels == list(pre.channels):
        raise SourceError(
            f"none of the model's channels ({', '.join(pre.channels)}) is given. Name their files "
            "with --copy-number and --mutation."
        )
    if match.absent_channels:
        log.warning("warning: no values of %s: taken as average", ", ".join(match.absent_channels))


def _table(
    cohort: Cohort, contract: Contract, probabilities: np.ndarray, away: np.ndarray
) -> pd.DataFrame:
    mean = probabilities.mean(axis=1)
    table = pd.DataFrame({"sample": cohort.samples.index.astype(str)})
    for k, name in enumerate(contract.classes):
        table[f"p_{name}"] = mean[:, k]
    if contract.threshold is not None:
        chosen = (mean[:, 1] >= contract.threshold).astype(int)
    else:
        chosen = mean.argmax(axis=1)
    table["predicted"] = np.array(contract.classes)[chosen]
    if probabilities.shape[1] > 1:
        table["spread"] = probabilities[np.arange(len(table)), :, chosen].std(axis=1)
    else:
        table["spread"] = np.nan
    table["distance"] = away
    return table


def _check_covariates(pre: Preprocessor, cohort: Cohort, sheet: pd.DataFrame | None) -> None:
    """`SourceError` for a column that the model adjusts for and nothing tells; logs what is odd."""
    for covariate in pre.covariates:
        name = covariate.column
        given = sheet is not None and name in sheet
        if not given and (name not in cohort.samples or missing_values(cohort.samples[name]).all()):
            raise SourceError(
                f"the model adjusts expression for `{name}`, which nothing tells of these samples. "
                f"Name a sample sheet (first column: sample ids) that has a column `{name}` with "
                "--samples; cells may be empty."
            )
        unknown = unknown_values(covariate, cohort.samples[name])
        if unknown.any():
            log.warning(
                "warning: `%s` of %d samples is missing or was not in training: taken as average",
                name,
                unknown.sum(),
            )


def _member_probabilities(
    folder: Path, contract: Contract, pre: Preprocessor, images: np.ndarray
) -> np.ndarray:
    """`(samples, members, classes)` probabilities of every member of the ensemble."""
    from scipy.special import softmax

    from ..networks.architectures import predict_logits

    network = read_keras(folder / ENSEMBLE)
    shapes = tuple(network.input_shape[1:]), tuple(network.output_shape[1:])
    expected = pre.shape, (contract.members, len(pre.classes))
    if shapes != expected:
        raise ArtifactError(
            f"{folder / ENSEMBLE} is of another model than {folder / CONTRACT}: its images and "
            f"logits are {shapes}, there {expected}. Run `dvc repro`, or take the model's whole "
            "folder anew."
        )
    found = np.asarray(softmax(predict_logits(network, images), axis=-1))
    if not np.isfinite(found).all():
        raise ArtifactError(
            f"{folder / ENSEMBLE} gives probabilities that are no numbers. "
            f"{remedy(folder / ENSEMBLE)}"
        )
    return found
