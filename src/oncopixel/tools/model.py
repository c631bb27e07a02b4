"""The files of a model: its contract, `model.json`, and the preprocessor, checked together."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from scipy.special import softmax

from ..core.errors import ArtifactError
from ..core.params import SegmentReading
from ..core.storage import assert_file, read_json, remedy, sha256
from ..images.preprocessor import Preprocessor, first_problem, read_preprocessor

CONTRACT, ENSEMBLE, PREPROCESSOR = "model.json", "ensemble.keras", "preprocessor.parquet"
PANEL = "panel.json"


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
    min_markers: int = SegmentReading().min_markers
    """The fewest markers of a segment that counted in training."""
    sha256: Digests

    @model_validator(mode="after")
    def _check(self) -> "Contract":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class occurs twice")
        if (len(self.classes) == 2) != (self.threshold is not None):
            raise ValueError("a threshold belongs to two classes, and they need one")
        return self


class PanelFeature(BaseModel):
    """One feature of `panel.json`; its standardisation is for those who have no preprocessor."""

    model_config = ConfigDict(strict=True, extra="ignore")

    gene: str
    channel: str
    weights: list[FiniteFloat]


class PanelFile(BaseModel):
    """`panel.json`, as far as it is needed here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    features: list[PanelFeature]
    intercepts: list[FiniteFloat]
    classes: list[str]

    def predict_proba(self, pre: Preprocessor, values: np.ndarray) -> np.ndarray:
        """`(samples, classes)` of `(samples, genes, channels)` features of the preprocessor."""
        gene = pd.Index(pre.genes["gene"]).get_indexer([one.gene for one in self.features])
        channel = [pre.channels.index(one.channel) for one in self.features]
        weights = np.array([one.weights for one in self.features]).reshape(-1, len(self.classes))
        logits = values[:, gene, channel] @ weights + np.array(self.intercepts)
        found: np.ndarray = softmax(logits, axis=1)
        return found


def read_panel(folder: Path, pre: Preprocessor) -> PanelFile:
    """The panel beside a model; `ArtifactError` when there is none of this model."""
    place = folder / PANEL
    if not place.exists():
        raise ArtifactError(f"{folder} holds no {PANEL}. {remedy(place)}")
    try:
        panel = PanelFile.model_validate(read_json(place))
    except ValidationError as error:
        raise ArtifactError(
            f"{place} is no panel of this version ({first_problem(error)}). {remedy(place)}"
        ) from None
    genes, n_classes = set(pre.genes["gene"]), len(pre.classes)
    if (
        panel.classes != pre.classes
        or len(panel.intercepts) != n_classes
        or any(
            one.gene not in genes
            or one.channel not in pre.channels
            or len(one.weights) != n_classes
            for one in panel.features
        )
    ):
        raise ArtifactError(
            f"{place} is of another model than {folder / PREPROCESSOR}. Run `dvc repro`."
        )
    return panel


def read_model(folder: Path) -> tuple[Contract, Preprocessor]:
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
