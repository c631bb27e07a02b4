"""`predict`: a trained model applied to new samples."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..cohort.assembly import assemble
from ..cohort.contract import Cohort, Matrix
from ..cohort.samples import SheetColumns, match_notes, match_samples
from ..cohort.scales import refuse_relative
from ..core.errors import ArtifactError, SourceError, first_few
from ..core.params import Scale
from ..core.storage import assert_file, read_json, read_keras, remedy, sha256, write_csv
from ..images.applicability import check_scale, distances, farthest
from ..images.covariates import missing_values, unknown_values
from ..images.preprocessing import features, match_report
from ..images.preprocessor import Preprocessor, first_problem, read_preprocessor, to_images
from ..sources.tables import read_matrix, read_sheet
from ..sources.variants import read_list

log = logging.getLogger(__name__)

CONTRACT, ENSEMBLE, PREPROCESSOR = "model.json", "ensemble.keras", "preprocessor.parquet"


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
    """Writes a CSV with a row per sample: class probabilities, the ensemble's spread, `distance`.

    The spread is empty when the ensemble has one member; the distance, as of
    `applicability.distances`, without values of the model's first channel.

    Parameters
    ----------
    samples
        A sheet with the columns for which the model adjusts expression, if it does.
    min_genes
        The fraction of the model's genes that must be there.

    Raises
    ------
    ArtifactError
        The model's files do not belong together.
    SourceError
        The samples have too few of the model's genes, or lack a column that it adjusts for.
    """
    contract, pre = _read_model(folder)
    notes: list[str] = []
    layers = {
        "copy_number": read_matrix(copy_number, orientation) if copy_number else None,
        "mutation": (read_list(mutation, notes) or read_matrix(mutation, orientation))
        if mutation
        else None,
    }
    matrix = read_matrix(expression, orientation)
    sheet = read_sheet(samples) if samples else None
    origin = str(samples or expression)
    cohort = _unlabelled(matrix, scale or pre.scale, layers, sheet, origin, pre.genes["gene"])
    refuse_relative(cohort.layer("expression"), cohort.scale, str(expression))
    _check_covariates(pre, cohort, sheet)
    for note in (*notes, *cohort.data.uns["notes"]):
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
    cohort: Cohort, contract: "Contract", probabilities: np.ndarray, away: np.ndarray
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


class Digests(BaseModel):
    """SHA-256 of the files that make a model, by their names."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ensemble: Annotated[str, Field(alias=ENSEMBLE, pattern="^[0-9a-f]{64}$")]
    preprocessor: Annotated[str, Field(alias=PREPROCESSOR, pattern="^[0-9a-f]{64}$")]


class Contract(BaseModel):
    """What `evaluate` says of a model in `model.json`, as far as it is needed here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    classes: Annotated[list[str], Field(min_length=2)]
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None
    verdict: str
    channels: list[str]
    scale: str
    image: list[int]
    genes: int
    members: int
    sha256: Digests

    @model_validator(mode="after")
    def _check(self) -> "Contract":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class occurs twice")
        if (len(self.classes) == 2) != (self.threshold is not None):
            raise ValueError("a threshold belongs to two classes, and they need one")
        return self


def _read_model(folder: Path) -> tuple[Contract, Preprocessor]:
    """What `model.json` says, and the preprocessor; `ArtifactError` unless they belong together."""
    if not (folder / CONTRACT).exists():
        raise ArtifactError(
            f"{folder} holds no {CONTRACT}. Give the folder of a model, such as models/luad-keap1; "
            "`dvc repro` or `dvc pull` makes it."
        )
    contract = _read_contract(folder)
    pre = read_preprocessor(folder / PREPROCESSOR)
    _check_contract(folder, contract, pre)
    return contract, pre


def _read_contract(folder: Path) -> Contract:
    """`model.json`, once the files beside it are those that it was written for."""
    place = folder / CONTRACT
    try:
        contract = Contract.model_validate(read_json(place))
    except ValidationError as error:
        raise ArtifactError(
            f"{place} is no model contract of this version ({first_problem(error)}). "
            f"{remedy(place)}"
        ) from None
    digests = contract.sha256
    for name, digest in ((ENSEMBLE, digests.ensemble), (PREPROCESSOR, digests.preprocessor)):
        assert_file(folder / name)
        if sha256(folder / name) != digest:
            raise ArtifactError(
                f"{folder / name} is damaged or of another model than {place}. "
                f"{remedy(folder / name)}"
            )
    return contract


def _check_contract(folder: Path, contract: Contract, pre: Preprocessor) -> None:
    """`ArtifactError` when `model.json` describes another model than the preprocessor's."""
    for name, said, found in (
        ("classes", contract.classes, pre.classes),
        ("channels", contract.channels, pre.channels),
        ("scale", contract.scale, pre.scale),
        ("image", contract.image, list(pre.image)),
        ("genes", contract.genes, len(pre.genes)),
    ):
        if said != found:
            raise ArtifactError(
                f"{folder / CONTRACT} is of another model than {folder / PREPROCESSOR}: its "
                f"`{name}` is {said}, there {found}. Run `dvc repro`, or take the model's whole "
                "folder anew."
            )


def _unlabelled(
    expression: Matrix,
    scale: Scale,
    layers: dict[str, Matrix | None],
    sheet: pd.DataFrame | None,
    sheet_origin: str,
    names: Iterable[str],
) -> Cohort:
    """All samples of the matrix, with what the sheet says of each, by the genes' `names`."""
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
    further = {channel: matrix for channel, matrix in layers.items() if matrix is not None}
    return assemble(
        {"expression": expression, **further},
        described.assign(patient=samples.astype(str)),
        scale=scale,
        columns=SheetColumns(),
        sheet_origin=sheet_origin,
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
