"""The whole of params.yaml, read and checked.

A key that no class knows is an error that names the nearest key it does know, so a typing
error never becomes a silently ignored parameter.
"""

import json
import posixpath
import re
import reprlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from ..errors import ParamsError, did_you_mean
from ..yaml_files import read_yaml
from .sources import CohortParams, Source
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
from .tune import TuneParams
from .values import RESULTS, Section

SHOWN = 20
"""Faults of a file that are told at a time."""


class Params(Section):
    """The whole of params.yaml."""

    cohorts: Annotated[dict[str, CohortParams], Field(min_length=1)]
    validation: ValidateParams
    split: SplitParams
    preprocess: PreprocessParams
    baselines: BaselineParams
    train: TrainParams
    tune: TuneParams
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

    def of(self, name: str) -> "Params":
        """The parameters of one cohort's run: `train` with what its entry says of it."""
        train = self.train.model_copy(update=self.cohort(name).train.model_dump())
        return self.model_copy(update={"train": train})


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
    where = [str(part) for part in detail["loc"]]
    kinds = {
        get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Source)[0])
    }
    shown = ".".join(
        part
        for i, part in enumerate(where)
        if not (part in kinds and where[i - 1] == "source") and not part.startswith("(")
    )
    if where[-1:] == ["[key]"]:
        return f"`{shown.removesuffix('.[key]')}` must be a text: put it in quotes"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(where[:-1])
        return f"unknown key `{shown}`{did_you_mean(where[-1], known)}"
    if detail["type"] == "missing":
        return f"`{shown}` is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"`{shown}`: {message}" if shown else message
    given = "" if isinstance(detail["input"], dict) else f" (it is {reprlib.repr(detail['input'])})"
    return f"`{shown}`: {message[0].lower()}{message[1:]}{given}"


def _known_keys(where: list[str]) -> list[str]:
    """The keys that are valid at `where` in params.yaml, given as pydantic names it."""
    model: Any = Params
    for part in where:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
            if type(None) in get_args(model):
                model = get_args(model)[0]
        elif getattr(model, "__origin__", None) is dict:
            model = get_args(model)[1]
        else:
            model = next((m for m in _models(model) if _tag(m) in ("", part)), None)
    if getattr(model, "__origin__", None) is dict or model is None:
        return []
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models among the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _tag(model: type[BaseModel]) -> str:
    """The kind of a source; "" for another model."""
    field = model.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field else ""


def _names(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def json_schema() -> str:
    """The JSON Schema of params.yaml, as `params.schema.json` holds it for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Params.model_json_schema(), indent=1, ensure_ascii=False) + "\n"
