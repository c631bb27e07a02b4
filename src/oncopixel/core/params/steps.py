"""The sections of the stages."""

from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from .values import (
    Distinct,
    Dropout,
    Filters,
    Fraction,
    LearningRate,
    Optimizer,
    Penalty,
    Positive,
    Section,
    Seed,
    Share,
)


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
    adjust: Annotated[list[str], Distinct] = Field(default=[])
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
        Distinct,
    ]
    panel_sizes: Annotated[list[Positive], Field(min_length=1), Distinct]
    """Numbers of features of the small linear scores."""
    inner_folds: Annotated[Positive, Field(ge=2)]
    seed: Seed


class TrainParams(Section):
    """The network and how it is fitted."""

    model: Literal["hybrid", "paper"]
    """`hybrid`: a linear path, and convolutions along the genome where they add to it; `paper`."""
    members: Positive
    """Ensemble members of the final model, each from its own seed."""
    cv_members: Positive
    """Ensemble members per cross-validation fold."""
    convolve: Literal["chromosomes", "image", "both"]
    """What `hybrid` convolves along: each chromosome; the image, on which chromosomes are folded;
    or each in turn, member by member."""
    filters: Filters
    """Of each convolution of `hybrid`; so many convolutions there are."""
    kernel: Positive
    """Pixels along a chromosome that a convolution reads at once; 3 x 3 on the image."""
    pool: Positive
    """Of so many neighbours along a chromosome the largest value is kept after each convolution;
    of 2 x 2 on the image."""
    units: Positive
    """Of the dense layer after the convolutions."""
    epochs: Positive
    patience: Positive
    batch_size: Positive
    optimizer: Optimizer
    """`weight_decay` is for adamw and sgd, whose momentum is 0.9."""
    learning_rate: LearningRate
    schedule: Literal["constant", "cosine"]
    """`cosine`: the learning rate falls to 0 along half a cosine, over `epochs`."""
    weight_decay: Penalty
    dropout: Dropout
    mixup: Penalty
    """Alpha of the Beta distribution of mixup; 0 turns it off."""
    purity: Dropout
    """Copy number of a training image is multiplied by 1 - `purity` to 1 + `purity`, at random."""
    label_smoothing: Dropout
    """Share of each training target that goes to all classes alike."""
    class_weights: bool
    validation_fraction: Share
    mixed_precision: bool
    threads: Annotated[Positive, Field(le=1024)]
    """Intra-op threads; results depend on it, so it is tracked."""
    seed: Seed


class Changes(Section):
    """Some parameters of a section; it holds, compares and dumps those that were given."""

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if key in self.model_fields_set}


def _optional(field: FieldInfo) -> FieldInfo:
    """The field as it is, but that it need not be given."""
    found = copy(field)
    found.default_factory = lambda: None
    return found


if TYPE_CHECKING:
    TrainChanges = Changes
else:
    TrainChanges = create_model(
        "TrainChanges",
        __base__=Changes,
        __doc__="Parameters of `train` that have another value for one cohort.",
        **{name: (of.annotation, _optional(of)) for name, of in TrainParams.model_fields.items()},
    )


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
    test: Literal["moderated_t", "rank"]
    """Of `associated`; `rank` for small or heavy-tailed groups. Events have an exact test."""
    minimum_effect: Annotated[float, Field(ge=0)]
    """log2 fold change of expression that an `associated` gene is to exceed; moderated t only."""
    covariates: Annotated[list[str], Distinct] = Field(default=[])
    """Columns of the samples that are held fixed, beside those of `preprocess.adjust`."""
    permutations: Annotated[Positive, Field(ge=19)]
    """Of the labels, for the p-value of the list, which is never below 1 / (1 + this)."""
    seed: Seed

    @model_validator(mode="after")
    def _ranks_have_no_size(self) -> Self:
        if self.minimum_effect and self.test == "rank":
            raise ValueError(
                "`minimum_effect` is of `test: moderated_t`; ranks have no fold change"
            )
        return self


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
