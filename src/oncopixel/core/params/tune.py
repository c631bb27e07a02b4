"""The section `tune`: where better values of `train` are searched."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, model_validator

from .values import (
    Distinct,
    Dropout,
    Filters,
    LearningRate,
    Optimizer,
    Penalty,
    Positive,
    Section,
    Seed,
)

Value = TypeVar("Value")


def _ascending(ends: list[Any]) -> list[Any]:
    if ends[0] >= ends[1]:
        raise ValueError(f"{ends} is no range: give the lower end first")
    return ends


ListOf = Annotated[list[Value], Field(min_length=1), Distinct]
Range = Annotated[list[Value], Field(min_length=2, max_length=2), AfterValidator(_ascending)]


class Choices(Section):
    """Parameters of `train` with the values to choose among."""

    filters: ListOf[Filters] | None = None
    kernel: ListOf[Positive] | None = None
    pool: ListOf[Positive] | None = None
    units: ListOf[Positive] | None = None
    batch_size: ListOf[Positive] | None = None
    optimizer: ListOf[Optimizer] | None = None
    learning_rate: ListOf[LearningRate] | None = None
    weight_decay: ListOf[Penalty] | None = None
    dropout: ListOf[Dropout] | None = None
    mixup: ListOf[Penalty] | None = None
    purity: ListOf[Dropout] | None = None


class Ranges(Section):
    """Parameters of `train` with the lowest and the highest value to try."""

    kernel: Range[Positive] | None = None
    pool: Range[Positive] | None = None
    units: Range[Positive] | None = None
    batch_size: Range[Positive] | None = None
    learning_rate: Range[LearningRate] | None = None
    weight_decay: Range[Penalty] | None = None
    dropout: Range[Dropout] | None = None
    mixup: Range[Penalty] | None = None
    purity: Range[Dropout] | None = None


class TuneParams(Section):
    """What `oncopixel tune` searches; no stage reads it."""

    folds: Annotated[Positive, Field(ge=2)]
    """Of the development patients, drawn anew: a trial is scored by its held-out log loss."""
    choices: Choices = Choices()
    uniform: Ranges = Ranges()
    log_uniform: Ranges = Ranges()
    """Ranges in which every order of magnitude is as likely as another."""
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> "TuneParams":
        parts = (self.choices, self.uniform, self.log_uniform)
        names = [name for part in parts for name in part.model_dump(exclude_none=True)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands in two of choices, uniform and log_uniform")
        for name, (low, _) in self.log_uniform.model_dump(exclude_none=True).items():
            if low <= 0:
                raise ValueError(f"log_uniform.{name} must begin above 0")
        return self
