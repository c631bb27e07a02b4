"""The typed form of params.yaml: frozen, strict, one class per section."""

from .reading import Params, json_schema, parse_params, read_params
from .sources import (
    BundledSource,
    CbioportalSource,
    CohortParams,
    ExternalParams,
    FilesSource,
    GdcSource,
    H5adSource,
    LabelledSource,
    SegmentsSource,
    SheetSource,
    SimulatedSource,
    Source,
    XenaSource,
)
from .steps import (
    BaselineParams,
    BiomarkerParams,
    EvaluateParams,
    PreprocessParams,
    ReportParams,
    SplitParams,
    StabilityParams,
    TrainParams,
    ValidateParams,
)
from .values import CANCERS, CHANNELS, MAX_LOG2, Channel, Claim, Positive, Scale, Section

__all__ = [
    "CANCERS", "CHANNELS", "MAX_LOG2", "BaselineParams", "BiomarkerParams", "BundledSource",
    "CbioportalSource", "Channel", "Claim", "CohortParams", "EvaluateParams", "ExternalParams",
    "FilesSource", "GdcSource", "H5adSource", "LabelledSource", "Params", "Positive",
    "PreprocessParams", "ReportParams", "Scale", "Section", "SegmentsSource", "SheetSource",
    "SimulatedSource", "Source", "SplitParams", "StabilityParams", "TrainParams", "ValidateParams",
    "XenaSource", "json_schema", "parse_params", "read_params",
]  # fmt: skip
