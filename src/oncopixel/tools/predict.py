"""`predict`: a trained model applied to new samples."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..cohort.contract import Cohort
from ..core.errors import ArtifactError, SourceError, first_few
from ..core.params import Scale
from ..core.storage import remedy, write_csv
from ..images.applicability import check_scale, distances, farthest
from ..images.covariates import missing_values, unknown_values
from ..images.preprocessing import features, match_report
from ..images.preprocessor import Preprocessor, to_images
from ..networks.saved import Ensemble, mean_probabilities, predict_logits, read_ensemble
from .explain import explain_samples
from .model import CONTRACT, ENSEMBLE, Contract, PanelFile, read_model, read_panel
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
    panel: bool = False,
    explain: Path | None = None,
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
    panel
        Whether the small linear score is given, too. Where its features are there, but too few of
        the model's genes, it is given alone.
    explain
        A CSV of what moved each sample's score, see `explain.explain_samples`.

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
    small = read_panel(folder, pre) if panel else None
    enough = _check_match(pre, cohort, expression, min_genes, small)
    for warning in check_scale(pre, cohort, str(expression)) if enough else ():
        log.warning("warning: %s: %s", expression, warning)

    if contract.verdict != "signal":
        log.warning(
            "warning: the verdict on this model was `%s`: it did not tell the classes of held-out "
            "patients apart for certain",
            contract.verdict,
        )
    values = features(pre, cohort)
    if enough:
        network = _read_network(folder, contract, pre)
        logits = _finite_logits(folder, network, to_images(pre, values))
    else:
        logits = np.full((len(values), 1, len(contract.classes)), np.nan)
    away = distances(pre, cohort, values) if enough else np.full(len(values), np.nan)
    beyond = int((away > farthest(pre)).sum())
    if beyond:
        log.warning(
            "warning: %d of %d samples lie clearly farther away than any training sample; see the "
            "column `distance`",
            beyond,
            len(away),
        )
    mean = mean_probabilities(logits)
    table = _table(cohort, contract, mean, logits, away)
    if small:
        columns = [f"panel_{name}" for name in contract.classes]
        table[columns] = small.predict_proba(pre, values)
    if explain and enough:
        why, error = explain_samples(network, pre, values, cohort.samples.index, mean)
        log.info("contributions add up to each score but for %.2g of it at most", error)
        write_csv(explain, why)
    elif explain:
        log.warning("warning: %s is not written: it is about the network", explain)
    write_csv(out, table)
    log.info("%d samples written to %s", len(away), out)


def _check_match(
    pre: Preprocessor, cohort: Cohort, expression: Path, min_genes: float, panel: PanelFile | None
) -> bool:
    """Tells which genes and channels of the model are there.

    Returns
    -------
    Whether the network can be asked, not just the panel.

    Raises
    ------
    SourceError
        Too few are there.
    """
    match = match_report(pre, cohort)
    if panel and match.matched < min_genes * match.total:
        lacking = sorted({one.gene for one in panel.features} & set(match.missing))
        if lacking:
            raise SourceError(
                f"{expression} has no {first_few(lacking)}, which the panel needs, and only "
                f"{match.matched} of the network's {match.total} genes."
            )
        log.warning("warning: too few genes for the network, which is not asked: only the panel is")
        return False
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
    return True


def _table(
    cohort: Cohort, contract: Contract, mean: np.ndarray, logits: np.ndarray, away: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame({"sample": cohort.samples.index.astype(str)})
    for k, name in enumerate(contract.classes):
        table[f"p_{name}"] = mean[:, k]
    if contract.threshold is not None:
        chosen = (mean[:, 1] >= contract.threshold).astype(int)
    else:
        chosen = mean.argmax(axis=1)
    table["predicted"] = np.where(np.isnan(mean[:, 0]), "", np.array(contract.classes)[chosen])
    if logits.shape[1] > 1:
        members = softmax(logits, axis=-1)
        table["spread"] = members[np.arange(len(table)), :, chosen].std(axis=1)
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


def _read_network(folder: Path, contract: Contract, pre: Preprocessor) -> Ensemble:
    """The ensemble; `ArtifactError` when it is another model's."""
    network = read_ensemble(folder / ENSEMBLE)
    shapes = tuple(network.input_shape[1:]), tuple(network.output_shape[1:])
    expected = pre.shape, (contract.members, len(pre.classes))
    if shapes != expected:
        raise ArtifactError(
            f"{folder / ENSEMBLE} is of another model than {folder / CONTRACT}: its images and "
            f"logits are {shapes}, there {expected}. Run `dvc repro`, or take the model's whole "
            "folder anew."
        )
    return network


def _finite_logits(folder: Path, network: Ensemble, images: np.ndarray) -> np.ndarray:
    """`(samples, members, classes)`; `ArtifactError` where one is no number."""
    found = predict_logits(network, images)
    if not np.isfinite(found).all():
        raise ArtifactError(
            f"{folder / ENSEMBLE} gives logits that are no numbers. {remedy(folder / ENSEMBLE)}"
        )
    return found
