"""An entry of `cohorts`: where samples come from and what is to be predicted."""

import re
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from .steps import TrainChanges
from .values import (
    MAX_PIXELS,
    MAX_SIMULATED,
    Cancer,
    Channel,
    Claim,
    ClassName,
    Distinct,
    Positive,
    Scale,
    Section,
    Share,
)


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


_TAGS = Discriminator(lambda given: "(name)" if isinstance(given, str) else "(more)")
"""Of a union with a name: parts of a path in brackets are not shown."""
_Name = Annotated[str, Tag("(name)")]
_Names = Annotated[list[str], Field(min_length=1), Distinct]


class SegmentReading(Section):
    """How files of copy-number segments are read."""

    build: Literal["hg19", "hg38"] | None = None
    """Genome of the positions; without it the files must tell."""
    scale: Literal["log2", "ratio", "copies"] | None = None
    """log2(copies / 2), copies / 2 or copies; without it the name of the column must tell."""
    value_column: str | None = None
    min_markers: Annotated[int, Field(ge=0)] = 5
    """Segments of less markers are left out, where the file has their number."""


class SegmentFile(SegmentReading):
    """A file of segments, as the copy number of genes."""

    segments: str


class SegmentFiles(SegmentReading):
    """Files of segments below `inputs`."""

    segments: Annotated[_Name | Annotated[_Names, Tag("(more)")], _TAGS]
    """`*` in a name stands for any characters."""


CopyNumber = Annotated[_Name | Annotated[SegmentFile, Tag("(more)")], _TAGS]
"""A matrix by genes, or a file of segments; of a name alone its columns tell which."""


class FilesSource(SheetSource):
    """A cohort in files of your own: matrices and a sample sheet."""

    kind: Literal["files"]
    expression: str
    samples: str
    scale: Scale
    orientation: Literal["genes_by_samples", "samples_by_genes"] = "genes_by_samples"
    copy_number: Annotated[_Name | Annotated[SegmentFiles, Tag("(more)")], _TAGS] | None = None
    mutation: str | None = None


class SegmentsSource(SegmentFiles, SheetSource):
    """Copy-number segments of tumours, on disk or by URL: a cohort without expression."""

    kind: Literal["segments"]
    url: str | None = None
    """What the file names are appended to; without it the files are in `inputs`."""
    samples: str | None = None
    """The sample sheet; without it barcodes, and a column `project`, tell of the samples."""
    mutations: str | None = None
    """A list of mutations (MAF), for labels, and for the mutation channel of genes."""
    pixels: Literal["bins", "genes"] = "bins"
    bins: Annotated[Positive, Field(ge=23)] = 4096
    """Bins of nearly one length that the genome is cut into; 4096 fill an image of 64 x 64."""
    x_chromosome: bool = True
    """Without it pixels are of chromosomes 1 to 22: X tells a patient's sex."""
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    minutes: Positive = 720

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        if self.url and (not isinstance(self.segments, str) or "*" in self.segments):
            raise ValueError("with `url`, `segments` is the name of one file")
        return self


class H5adSource(PatientSource):
    """A cohort in one AnnData file that keeps the contract of `cohort/contract.py`."""

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
    projects: Annotated[list[str], Field(min_length=1), Distinct]
    """Such as `[TCGA-LUAD]`."""
    sample_types: list[str] | None = None
    """Codes of the samples to download, such as `["01", "11"]`; without it all but controls."""
    release: str | None = None
    """Data release that the server must have, such as `"45.0"`."""
    expression: Literal["counts", "tpm"] = "counts"
    """Column of the STAR files: unstranded counts, or TPM."""
    genes: Literal["protein_coding", "all"] = "protein_coding"
    copy_number: Literal["ascat3", "ascat2", "absolute", "masked_segments"] | None = "ascat3"
    """Workflow of the gene-level copies, or segments of arrays; null leaves the channel out."""
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
    copy_number: CopyNumber | None = None
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
    copy_number: CopyNumber | None = "data_cna.txt"
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
    | SegmentsSource
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
    classes: Annotated[list[ClassName], Distinct] | None = None
    """Keep these classes only, in this order."""
    sample_types: list[str] | None = None
    """Keep these TCGA sample type codes only, such as `["01"]`."""
    drop_unlabelled: bool = False

    @model_validator(mode="after")
    def _check_label(self) -> "LabelledSource":
        if not re.fullmatch(r"sample_type|column:.+|mutation:[^\s]+", self.label):
            named = re.fullmatch(r"\w+", self.label) and f" (did you mean column:{self.label}?)"
            raise ValueError(
                f"label {self.label!r} is not `sample_type`, `column:<name>` or "
                f"`mutation:<gene>`{named or ''}"
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
    channels: Annotated[list[Channel], Field(min_length=1), Distinct] = Field(
        default=["expression"]
    )
    image: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(default=[100, 100])
    """Height and width of a gene image, in pixels; it holds at most height x width genes."""
    claim: Claim = "associated"
    """What the marker list says of a gene; see `markers/discovery.py`."""
    cancer: Cancer | None = None
    """Code of the cancer in Bailey et al. 2018, such as LUAD, for the overlap with its drivers."""
    external: ExternalParams | None = None
    train: TrainChanges = TrainChanges()
    """What of the section `train` has another value for this cohort."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a gene image."""
        height, width = self.image
        return height, width

    @model_validator(mode="after")
    def _check(self) -> "CohortParams":
        if self.image[0] * self.image[1] > MAX_PIXELS:
            raise ValueError(f"image {self.image} has more than {MAX_PIXELS:,} pixels")
        if isinstance(self.source, SegmentsSource):
            _check_pixels(self.source, self.channels, self.image)
        if (
            self.label.startswith("mutation:")
            and "mutation" in self.channels
            and len(self.channels) == 1
        ):
            raise ValueError("a mutation label cannot be predicted from the mutation channel alone")
        return self


def _check_pixels(source: SegmentsSource, channels: list[Channel], image: list[int]) -> None:
    """ValueError for channels that segments do not have, and for more bins than pixels."""
    if "expression" in channels:
        raise ValueError("segments have no expression: set `channels: [copy_number]`")
    if source.pixels == "genes":
        return
    if "mutation" in channels:
        raise ValueError("bins have no mutations: set `pixels: genes`, or leave the channel out")
    if source.bins > image[0] * image[1]:
        raise ValueError(
            f"{source.bins} bins do not fit in an image of {image[0]} x {image[1]} pixels: set "
            f"`image` to [64, 64] for 4096 bins, or lower `bins`"
        )
