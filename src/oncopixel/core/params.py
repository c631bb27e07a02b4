"""The typed form of params.yaml: frozen, strict, one class per section.

A key that no class knows is an error that names the nearest key it does know, so a typing
error never becomes a silently ignored parameter.
"""

import posixpath
import re
import reprlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from .errors import ParamsError, did_you_mean, first_few
from .yaml_files import read_yaml

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

SHOWN = 20
"""Faults of a file that are told at a time."""
MAX_PIXELS = 2**18
"""Of an image: 512 x 512, and there are some 60,000 genes."""
MAX_SIMULATED = 250_000_000
"""Samples times genes: 1 GB per channel, the size of all of TCGA."""


def _distinct(items: list[str]) -> list[str]:
    repeated = [item for item, count in Counter(items).items() if count > 1]
    if repeated:
        raise ValueError(f"{first_few(map(repr, repeated))} is named twice")
    return items


def _cancer(code: str) -> str:
    if code not in CANCERS:
        raise ValueError(
            f"{code!r} is no cancer of Bailey et al. 2018{did_you_mean(code, CANCERS)}. These are: "
            f"{', '.join(CANCERS)}"
        )
    return code


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


class Section(BaseModel):
    """A part of params.yaml."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class PatientSource(Section):
    """A source whose samples are of patients that a column names, or each of one of their own."""

    patient_column: str | None = None
    patients: Literal["one_per_sample"] | None = None
    """`one_per_sample`: every sample is of another person."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patients and self.patient_column:
            raise ValueError("`patients` and `patient_column` exclude each other: remove one")
        return self


class SheetSource(PatientSource):
    """A source with a sample sheet whose columns may have names of their own."""

    batch_column: str | None = None
    site_column: str | None = None
    sample_type_column: str | None = None


class BundledSource(Section):
    """A cohort that ships with the project; its folder holds what `SHA256SUMS` lists."""

    kind: Literal["bundled"]


class FilesSource(SheetSource):
    """A cohort in files of your own: matrices and a sample sheet."""

    kind: Literal["files"]
    expression: str
    samples: str
    scale: Scale
    orientation: Literal["genes_by_samples", "samples_by_genes"] = "genes_by_samples"
    copy_number: str | None = None
    mutation: str | None = None


class H5adSource(PatientSource):
    """A cohort in one AnnData file that keeps the contract of `cohort.py`."""

    kind: Literal["h5ad"]
    path: str
    scale: Scale | None = None


class SimulatedSource(Section):
    """A cohort made from a seed, with planted biomarkers whose truth is known."""

    kind: Literal["simulated"]
    seed: Annotated[int, Field(ge=0)] = 1
    n_samples: Annotated[Positive, Field(ge=20)] = 500
    n_genes: Annotated[Positive, Field(ge=100)] = 2_500
    n_modules: Positive = 40
    """Co-expression modules."""
    n_batches: Positive = 5
    n_subtypes: Positive = 2
    positive_fraction: Share = 0.4
    normal_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of samples that are normal tissue of a patient whose tumour is there too."""
    n_markers: Annotated[int, Field(ge=0)] = 75
    """Planted marker genes, spread over the three channels; 0 makes the null cohort."""
    effect: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Median absolute log2 fold change of an expression marker in a pure tumour."""
    penetrance: Share = 0.35
    """Share of cases in which an expression marker is on; events on DNA are rarer in proportion."""
    nonlinear: bool = False
    """Adds markers that no single gene reveals: module XOR, and loss together with mutation."""
    nonlinear_share: Share = 0.6
    """Share of tumours whose class the non-linear markers tell; they say nothing in the rest."""
    moving_modules: Annotated[int, Field(ge=0, le=8)] = 0
    """Further modules whose mean activity differs between the classes; none of them is planted."""
    moving_shift: Annotated[float, Field(gt=0, le=10)] = 1.0
    """How much more active they are in the tumours of cases, in standard deviations."""
    patients: Positive = 1
    """Seed of the patients: another one gives other samples of the same biology."""
    platform: Literal["rnaseq", "array"] = "rnaseq"

    @model_validator(mode="after")
    def _check(self) -> "SimulatedSource":
        if self.n_markers > self.n_genes // 5:
            raise ValueError(
                f"n_markers {self.n_markers} is more than a fifth of n_genes {self.n_genes}"
            )
        if self.nonlinear and 0 < self.n_markers < 10:
            raise ValueError("nonlinear needs at least 10 n_markers (or 0, for the null cohort)")
        if self.n_samples * self.n_genes > MAX_SIMULATED:
            raise ValueError(
                f"{self.n_samples} samples of {self.n_genes} genes are more than {MAX_SIMULATED:,} "
                "values: lower n_samples or n_genes"
            )
        return self


class GdcSource(Section):
    """Open projects of the NCI Genomic Data Commons, file by file, over its API."""

    kind: Literal["gdc"]
    projects: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
    """Such as `[TCGA-LUAD]`."""
    sample_types: list[str] | None = None
    """Codes of the samples to download, such as `["01", "11"]`; without it all but controls."""
    release: str | None = None
    """Data release that the server must have, such as `"45.0"`."""
    expression: Literal["counts", "tpm"] = "counts"
    """Column of the STAR files: unstranded counts, or TPM."""
    genes: Literal["protein_coding", "all"] = "protein_coding"
    copy_number: Literal["ascat3", "ascat2", "absolute"] | None = "ascat3"
    """Workflow of the gene-level copies; null leaves the channel out."""
    mutation: Literal["binary", "impact"] | None = "binary"
    """`impact`: HIGH counts 1, MODERATE 2/3, LOW 1/3; null leaves the channel out."""
    server: str = "https://api.gdc.cancer.gov"
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    minutes: Positive = 720
    """Bound on the whole download, retries included."""


class XenaSource(SheetSource):
    """A cohort of a UCSC Xena hub, by URL or in files that were downloaded from one."""

    kind: Literal["xena"]
    hub: str | None = None
    """What the file names are appended to, such as `https://tcga.xenahubs.net/download`."""
    expression: str
    samples: str
    """The clinical matrix."""
    scale: Scale = "log2"
    copy_number: str | None = None
    mutation: str | None = None
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    minutes: Positive = 720


class CbioportalSource(Section):
    """A study folder of the cBioPortal, by URL or on disk."""

    kind: Literal["cbioportal"]
    url: str | None = None
    """The study folder's address; without it the files are in `inputs`."""
    expression: str = "data_mrna_seq_v2_rsem.txt"
    samples: str = "data_clinical_sample.txt"
    patients: str | None = "data_clinical_patient.txt"
    scale: Scale = "rsem"
    copy_number: str | None = "data_cna.txt"
    mutation: str | None = "data_mutations.txt"
    sequenced: str | None = "case_lists/cases_sequenced.txt"
    """Case list of the samples that were sequenced; those without a mutation are wild type."""
    batch_column: str | None = None
    site_column: str | None = None
    sample_type_column: str | None = None
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    minutes: Positive = 720


Source = Annotated[
    BundledSource
    | FilesSource
    | H5adSource
    | SimulatedSource
    | GdcSource
    | XenaSource
    | CbioportalSource,
    Field(discriminator="kind"),
]


class LabelledSource(Section):
    """Where samples come from, and what class each of them is in."""

    source: Source
    label: str
    """`sample_type`, `column:<name>` or `mutation:<gene>`."""
    positive: ClassName | None = None
    """The positive class of a two-class label."""
    classes: Annotated[list[ClassName], AfterValidator(_distinct)] | None = None
    """Keep these classes only, in this order."""
    sample_types: list[str] | None = None
    """Keep these TCGA sample type codes only, such as `["01"]`."""
    drop_unlabelled: bool = False

    @model_validator(mode="after")
    def _check_label(self) -> "LabelledSource":
        if not re.fullmatch(r"sample_type|column:.+|mutation:[^\s]+", self.label):
            raise ValueError(
                f"label {self.label!r} is not `sample_type`, `column:<name>` or `mutation:<gene>`"
            )
        return self


class ExternalParams(LabelledSource):
    """An independent cohort of the same classes, by which the model and its markers are tested.

    Its files lie below the `inputs` folder of the cohort that it is for.
    """

    align: Literal["zscore", "ranks"] = "zscore"
    """How its expression is put on the training cohort's scale, without its labels."""


class CohortParams(LabelledSource):
    """One entry of `cohorts`: where the samples come from and what is to be predicted."""

    inputs: str
    """The folder of the source's files, below the project's root; DVC watches it."""
    channels: Annotated[list[Channel], Field(min_length=1), AfterValidator(_distinct)] = [
        "expression"
    ]
    image: Annotated[list[Positive], Field(min_length=2, max_length=2)] = [100, 100]
    """Height and width of a gene image, in pixels; it holds at most height x width genes."""
    claim: Claim = "associated"
    """What the marker list says of a gene; see `discoveries`."""
    cancer: Annotated[str, AfterValidator(_cancer)] | None = None
    """Code of the cancer in Bailey et al. 2018, such as LUAD, for the overlap with its drivers."""
    external: ExternalParams | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a gene image."""
        height, width = self.image
        return height, width

    @model_validator(mode="after")
    def _check(self) -> "CohortParams":
        if self.image[0] * self.image[1] > MAX_PIXELS:
            raise ValueError(f"image {self.image} has more than {MAX_PIXELS:,} pixels")
        if (
            self.label.startswith("mutation:")
            and "mutation" in self.channels
            and len(self.channels) == 1
        ):
            raise ValueError("a mutation label cannot be predicted from the mutation channel alone")
        return self


class ValidateParams(Section):
    """Limits of the data checks."""

    min_samples: Positive
    min_class_size: Positive
    max_missing_fraction: Fraction
    """Per channel, over all samples and genes."""
    max_missing_difference: Fraction
    """Per channel, between classes: a channel missing in one class gives the label away."""
    max_constant_gene_fraction: Fraction
    library_size_sd: Annotated[float, Field(gt=0)]
    """Robust SDs from the median beyond which a sample's log2 library size is an outlier."""
    zero_fraction_sd: Annotated[float, Field(gt=0)]
    max_outlier_fraction: Fraction
    max_batch_label_association: Fraction
    """Bias-corrected Cramér's V between batch and label above which a warning is given."""


class SplitParams(Section):
    """Which patients are tested, and which fold each other patient is in."""

    test_fraction: Share
    folds: Annotated[Positive, Field(ge=2)]
    repeats: Positive
    group_by: Literal["patient", "site"]
    seed: Seed


class PreprocessParams(Section):
    """From raw values to gene images; everything fitted sees training patients only."""

    normalise: Literal["auto", "none", "cpm", "upper_quartile"]
    """`auto`: counts per million for counts, nothing for values that are normalised already."""
    min_expressed_fraction: Fraction
    """Share of training samples in which a gene must be expressed (> 1, normalised)."""
    genes: Literal["top_variance", "all"]
    clip: Annotated[float, Field(gt=0, le=1000)]
    """Standardised values are clipped to ± this many standard deviations."""
    mutation_encoding: Literal["binary", "scaled"]
    layout: Literal["genomic", "random"]
    seed: Seed
    adjust: Annotated[list[str], AfterValidator(_distinct)] = []
    """Columns of the samples whose effect on expression is removed, such as `[purity, batch]`."""


class BaselineParams(Section):
    """The linear and tree models that stand beside every CNN score."""

    models: Annotated[
        list[
            Literal[
                "logistic_l1",
                "logistic_l1_adjusted",
                "logistic_l2",
                "elastic_net",
                "random_forest",
                "gradient_boosting",
            ]
        ],
        Field(min_length=1),
        AfterValidator(_distinct),
    ]
    inner_folds: Annotated[Positive, Field(ge=2)]
    seed: Seed


class TrainParams(Section):
    """The CNN and how it is fitted."""

    model: Literal["hybrid", "patch", "paper"]
    members: Positive
    """Ensemble members of the final model, each from its own seed."""
    cv_members: Positive
    """Ensemble members per cross-validation fold."""
    epochs: Positive
    patience: Positive
    batch_size: Positive
    optimizer: Literal["adam", "adamw", "sgd"]
    """`weight_decay` is for adamw and sgd, whose momentum is 0.9."""
    learning_rate: Annotated[float, Field(gt=0, le=1000)]
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    l1: Annotated[float, Field(ge=0, le=1000)]
    l2: Annotated[float, Field(ge=0, le=1000)]
    """Penalties on kernels; the linear path of a warm-started `hybrid` chooses its own."""
    mixup: Annotated[float, Field(ge=0, le=1000)]
    """Alpha of the Beta distribution of mixup; 0 turns it off."""
    class_weights: bool
    warm_start: bool
    """`hybrid`: solve the linear path exactly and train the CNN beside it."""
    validation_fraction: Share
    mixed_precision: bool
    threads: Annotated[Positive, Field(le=1024)]
    """Intra-op threads; results depend on it, so it is tracked."""
    seed: Seed


class EvaluateParams(Section):
    """Intervals, permutation test and calibration."""

    bootstrap: Annotated[Positive, Field(ge=100)]
    permutations: Annotated[Positive, Field(ge=99)]
    """Of the labels, for the p-value of the AUC, which is never below 1 / (1 + this)."""
    calibration_bins: Annotated[Positive, Field(ge=2)]
    seed: Seed


class BiomarkerParams(Section):
    """Attribution and ranking."""

    steps: Annotated[Positive, Field(ge=8)]
    """Most points on the integrated-gradients path; fewer are used where they are enough."""
    tolerance: Share
    """Relative completeness error up to which an attribution is exact enough."""
    top: Positive
    """Length of the gene ranking whose precision is reported."""
    q: Share
    """False-discovery rate of the marker list."""
    draws: Positive
    """Draws of decoys; the results of several are merged by e-values."""
    repeat_draws: Positive
    """Draws of decoys for each resample and permutation."""
    decoys: Annotated[Positive, Field(le=100)]
    """Decoys per candidate and draw."""
    permutations: Positive
    """Of the labels, for the p-value of the list, which is never below 1 / (1 + this)."""
    seed: Seed


class StabilityParams(Section):
    """Subsamples of the development patients on which every method is fitted anew."""

    resamples: Annotated[Positive, Field(ge=2)]
    fraction: Share
    """Of the patients that a subsample keeps, of each class alike."""
    seed: Seed


class ReportParams(Section):
    """How runs are compared."""

    tolerance: Fraction
    """Difference in a score that counts as none: a run whose scores are all within it reproduces
    another, and a change is better or worse only when its whole interval lies beyond it."""


class Params(Section):
    """The whole of params.yaml."""

    cohorts: Annotated[dict[str, CohortParams], Field(min_length=1)]
    validation: ValidateParams
    split: SplitParams
    preprocess: PreprocessParams
    baselines: BaselineParams
    train: TrainParams
    evaluate: EvaluateParams
    stability: StabilityParams
    biomarkers: BiomarkerParams
    report: ReportParams

    @model_validator(mode="after")
    def _check(self) -> "Params":
        for name in self.cohorts:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{,99}", name):
                raise ValueError(
                    f"cohort name {name!r:.120}: use letters, digits, - and _ only, at most 100"
                )
            for other, entry in self.cohorts.items():
                for results in (PurePosixPath(kind, name) for kind in RESULTS):
                    if results.is_relative_to(posixpath.normpath(entry.inputs)):
                        raise ValueError(
                            f"`inputs: {entry.inputs}` of cohort {other!r} holds {results}, where "
                            f"cohort {name!r} gets its results. Choose another folder, such as "
                            f"data/sources/{other}, or another name."
                        )
        return self

    def cohort(self, name: str) -> CohortParams:
        """The entry of one cohort; `ParamsError` with the nearest name when there is none."""
        if name not in self.cohorts:
            raise ParamsError(
                f"params.yaml has no cohort {name!r}{did_you_mean(name, self.cohorts)}. "
                f"It has: {', '.join(self.cohorts)}."
            )
        return self.cohorts[name]


def read_params(path: Path) -> Params:
    """The checked parameters in `path`; `ParamsError` names every key that is wrong."""
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ParamsError(
            f"{path} holds no parameters. It must be a mapping with the sections {_names(Params)}."
        )
    return parse_params(raw, str(path))


def parse_params(raw: dict[str, Any], origin: str = "params") -> Params:
    """The checked parameters in a mapping; `ParamsError` as in `read_params`."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise ParamsError(f"{origin}: " + "; ".join(lines[:SHOWN] + more)) from None


def _explain(detail: Any) -> str:
    """One pydantic error as a sentence: which key, what is wrong, what would be right."""
    place = [str(part) for part in detail["loc"]]
    kinds = {
        get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Source)[0])
    }
    shown = ".".join(
        part for i, part in enumerate(place) if not (part in kinds and place[i - 1] == "source")
    )
    if place[-1:] == ["[key]"]:
        return f"`{shown.removesuffix('.[key]')}` must be a text: put it in quotes"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        return f"unknown key `{shown}`{did_you_mean(place[-1], known)}"
    if detail["type"] == "missing":
        return f"`{shown}` is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"`{shown}`: {message}" if shown else message
    given = "" if isinstance(detail["input"], dict) else f" (it is {reprlib.repr(detail['input'])})"
    return f"`{shown}`: {message[0].lower()}{message[1:]}{given}"


def _known_keys(place: list[str]) -> list[str]:
    """The keys that are valid at a place of params.yaml, given as pydantic names it."""
    model: Any = Params
    for part in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
            if type(None) in get_args(model):
                model = get_args(model)[0]
        elif getattr(model, "__origin__", None) is dict:
            model = get_args(model)[1]
        else:
            options = [
                m for m in get_args(model) if isinstance(m, type) and issubclass(m, BaseModel)
            ]
            model = next(
                (m for m in options if get_args(m.model_fields["kind"].annotation)[0] == part), None
            )
    if getattr(model, "__origin__", None) is dict or model is None:
        return []
    return list(model.model_fields)


def _names(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)
