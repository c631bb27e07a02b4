"""The kinds of value that parameters have, and their bounds."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..errors import did_you_mean, first_few

CHANNELS = ("expression", "copy_number", "mutation")
"""Image channels, in the order in which they stand in every image."""

RESULTS = ("data", "models", "reports")
"""Folders in which every cohort has one of its own for its results."""

Channel = Literal["expression", "copy_number", "mutation"]
Claim = Literal["beyond", "associated"]
"""What a listed gene has shown: information beyond its surroundings, or association alone."""
Scale = Literal["counts", "rsem", "tpm", "fpkm", "log2"]
"""Scale of expression: raw counts; normalised but not logged (rsem, tpm, fpkm); log2(x+1)."""
MAX_LOG2 = 50.0
"""log2(x+1) cannot come near it: no sequencer gives 2^50 reads. What never reaches it is logged."""

CANCERS = (
    "ACC", "BLCA", "BRCA", "CESC", "CHOL", "COADREAD", "DLBC", "ESCA", "GBM", "HNSC", "KICH",
    "KIRC", "KIRP", "LAML", "LGG", "LIHC", "LUAD", "LUSC", "MESO", "OV", "PAAD", "PANCAN", "PCPG",
    "PRAD", "SARC", "SKCM", "STAD", "TGCT", "THCA", "THYM", "UCEC", "UCS", "UVM",
)  # fmt: skip
"""Those of Bailey et al. 2018 (Cell 173:371), as `data/drivers.csv` names them."""

MAX_PIXELS = 2**18
"""Of an image: 512 x 512, and there are some 60,000 genes."""
MAX_SIMULATED = 250_000_000
"""Samples times genes: 1 GB per channel, the size of all of TCGA."""


def _distinct(items: list[Any]) -> list[Any]:
    repeated = [item for item, count in Counter(map(repr, items)).items() if count > 1]
    if repeated:
        raise ValueError(f"{first_few(repeated)} is named twice")
    return items


def _cancer(code: str) -> str:
    if code not in CANCERS:
        raise ValueError(
            f"{code!r} is no cancer of Bailey et al. 2018{did_you_mean(code, CANCERS)}. These are: "
            f"{', '.join(CANCERS)}"
        )
    return code


Distinct = AfterValidator(_distinct)
Cancer = Annotated[str, AfterValidator(_cancer), Field(json_schema_extra={"enum": [*CANCERS]})]
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _as_name(name: object) -> object:
    if isinstance(name, bool | float):
        raise ValueError(f"YAML takes this for {name}: put it in quotes, as the sheet writes it")
    return str(name) if isinstance(name, int) else name


ClassName = Annotated[str, BeforeValidator(_as_name)]
"""YAML takes 0 and 1 for numbers."""
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Filters = Annotated[list[Positive], Field(min_length=1, max_length=8)]
Optimizer = Literal["adam", "adamw", "sgd"]
LearningRate = Annotated[float, Field(gt=0, le=1000)]
Penalty = Annotated[float, Field(ge=0, le=1000)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of params.yaml."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
