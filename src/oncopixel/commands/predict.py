"""`predict`: a trained model applied to new samples."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..artifacts import read_json, read_keras, sha256, write_csv
from ..cohort import Cohort
from ..errors import ArtifactError, SourceError, first_few
from ..params import Scale
from ..preprocess import (
    Preprocessor,
    features,
    match_report,
    missing_values,
    read_preprocessor,
    to_images,
    unknown_values,
)
from ..scales import refuse_relative
from ..sources.files import assemble
from ..sources.samples import SheetColumns, match_notes, match_samples
from ..sources.tables import Matrix, read_matrix, read_sheet

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
) -> None:
    """Writes a CSV with a row per sample: its class probabilities and the ensemble's spread.

    The spread is empty when the ensemble has one member.
    `samples` is a sheet with the columns for which the model adjusts expression, if it does.
    Raises `ArtifactError` when the model's files do not belong together, `SourceError` when the
    samples have fewer than the fraction `min_genes` of the model's genes, or lack such a column.
    """
    if not (folder / "model.json").is_file():
        raise ArtifactError(
            f"{folder} holds no model.json. Give the folder of a model, such as models/tcga-luad; "
            "`dvc repro` or `dvc pull` makes it."
        )
    contract = _read_contract(folder)
    pre = read_preprocessor(folder / "preprocessor.parquet")
    layers = {
        "copy_number": read_matrix(copy_number, orientation) if copy_number else None,
        "mutation": read_matrix(mutation, orientation) if mutation else None,
    }
    matrix = read_matrix(expression, orientation)
    sheet = read_sheet(samples) if samples else None
    origin = str(samples or expression)
    cohort = _unlabelled(matrix, scale or pre.scale, layers, sheet, origin, pre.genes["gene"])
    refuse_relative(cohort.layer("expression"), cohort.scale, str(expression))
    _check_covariates(pre, cohort, sheet)
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    match = match_report(pre, cohort)
    log.info("%d of the model's %d genes found", match.matched, match.total)
    if match.matched < min_genes * match.total:
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

    verdict = contract.get("verdict", "signal")
    if verdict != "signal":
        log.warning(
            "warning: the verdict on this model was `%s`: it did not tell the classes of held-out "
            "patients apart for certain",
            verdict,
        )

    probabilities = _member_probabilities(folder, to_images(pre, features(pre, cohort)))
    mean = probabilities.mean(axis=1)
    classes = [str(name) for name in contract["classes"]]
    table = pd.DataFrame({"sample": cohort.samples.index.astype(str)})
    for k, name in enumerate(classes):
        table[f"p_{name}"] = mean[:, k]
    if contract["threshold"] is not None:
        chosen = (mean[:, 1] >= contract["threshold"]).astype(int)
    else:
        chosen = mean.argmax(axis=1)
    table["predicted"] = np.array(classes)[chosen]
    if probabilities.shape[1] > 1:
        table["spread"] = probabilities[np.arange(len(table)), :, chosen].std(axis=1)
    else:
        table["spread"] = np.nan
    write_csv(out, table)
    log.info("%d samples written to %s", len(table), out)


def _read_contract(folder: Path) -> dict[str, Any]:
    """`model.json`, once the files beside it are those that it was written for."""
    contract: dict[str, Any] = read_json(folder / "model.json")
    try:
        digests = dict(contract["sha256"])
        complete = {"classes", "threshold"} <= contract.keys()
    except (KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        raise ArtifactError(f"{folder / 'model.json'} is no model contract. Run `dvc repro`.")
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist. Run `dvc checkout {path}` or `dvc repro`.")
        if sha256(path) != digest:
            raise ArtifactError(
                f"{path} is damaged or of another model than {folder / 'model.json'}. "
                "Run `dvc checkout` or `dvc repro`."
            )
    return contract


def _unlabelled(
    expression: Matrix,
    scale: Scale,
    layers: dict[str, Matrix | None],
    sheet: pd.DataFrame | None,
    sheet_origin: str,
    names: Iterable[str],
) -> Cohort:
    """The samples of the matrix, all of them, with what the sheet says of each.

    Genes have the `names` of the model.
    """
    samples = expression.frame.index
    if sheet is None:
        sheet = pd.DataFrame(index=samples)
    rows = match_samples(samples, sheet.index, by_patient=True)
    lacking = [name for name in samples if name not in rows]
    if lacking:
        raise SourceError(
            f"{sheet_origin} has no row for {len(lacking)} of {len(samples)} samples: "
            f"{first_few(lacking)}. Give every sample a row; leave a cell empty where its value is "
            "not known."
        )
    described = sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
    return assemble(
        expression,
        described.assign(patient=samples.astype(str)),
        scale=scale,
        columns=SheetColumns(),
        sheet_origin=sheet_origin,
        copy_number=layers["copy_number"],
        mutation=layers["mutation"],
        origin=expression.origin,
        notes=match_notes(rows, "sample sheet"),
        among=names,
    )


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


def _member_probabilities(folder: Path, images: np.ndarray) -> np.ndarray:
    """`(samples, members, classes)` probabilities of every member of the ensemble."""
    from scipy.special import softmax

    from ..train import predict_logits

    logits = predict_logits(read_keras(folder / "ensemble.keras"), images)
    return np.asarray(softmax(logits, axis=-1))
