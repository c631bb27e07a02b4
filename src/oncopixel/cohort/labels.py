"""What is predicted: which samples stay, and which class each of them is in."""

import json
import unicodedata
from numbers import Integral, Real

import numpy as np
import pandas as pd

from ..core.errors import LabelError, did_you_mean, first_few
from ..core.params import LabelledSource
from ..core.storage import take_rows
from .barcodes import NORMAL_CODES, TUMOUR_CODES, drop_samples, keep_samples
from .contract import OBS_COLUMNS, Cohort, missing, says_not_known
from .genes import reconcile

MAX_NUMERIC_CLASSES = 10
"""A numeric column with more distinct values than this is a measurement, not a class."""
MIN_COPIED = 0.9
"""Share of the patients with tumour and normal tissue labelled alike that shows a copied column."""


def label_cohort(cohort: Cohort, params: LabelledSource) -> Cohort:
    """The labelled cohort: `obs["label"]`, `uns["classes"]` and `uns["label_rule"]` are added.

    Returns
    -------
    Cohort
        Less the samples that `params` exclude, which `uns["notes"]` counts. A mutation label keeps
        sequenced tumours only, and the gene's own values become NaN, so that they cannot be learnt
        from. A column that describes patients labels their tumours only.

    Raises
    ------
    LabelError
        When the samples cannot be labelled as asked, also for one class only.
    """
    notes: list[str] = []
    samples = _keep_sample_types(cohort.samples, params.sample_types, notes)
    kind, _, name = params.label.partition(":")
    if kind == "sample_type":
        labels, rule = _sample_type_labels(samples)
    elif kind == "mutation":
        gene = reconcile([name], among=_sequenced_genes(cohort))[0][0]
        samples, labels, rule = _mutation_labels(cohort, samples, gene, name, notes)
    else:
        labels, rule = _column_labels(samples, name, params.classes)
        samples, labels = _tumours_only(cohort, samples, labels, name, notes)
    samples, labels = _drop_unlabelled(samples, labels, params, notes)
    samples, labels = _keep_classes(samples, labels, params.classes, notes)
    if kind == "column":
        _refuse_contradictions(samples, labels, params.label)
    classes = _class_order(labels, params)
    taken = keep_samples(cohort, samples, notes)
    data = taken.tables()
    data.obs["label"] = labels
    data.uns["classes"] = np.array(classes, dtype=object)
    data.uns["label_rule"] = rule
    for channel, values in taken.data.layers.items():
        data.layers[channel] = values
    if kind == "mutation" and "mutation" in data.layers and gene in data.var_names:
        masked = data.layers["mutation"]
        if taken is cohort:
            masked = take_rows(masked, np.arange(len(labels)))
        masked[:, data.var_names.get_loc(gene)] = np.nan
        data.layers["mutation"] = masked
    return Cohort(data)


def _keep_sample_types(
    samples: pd.DataFrame, wanted: list[str] | None, notes: list[str]
) -> pd.DataFrame:
    """The samples of the wanted sample type codes, or all when none are asked for."""
    if wanted is None:
        return samples
    found = samples["sample_type"].astype(str)
    keep = found.isin(wanted)
    if not keep.any():
        raise LabelError(
            f"no sample is of type {', '.join(wanted)}, which `sample_types` asks for. The cohort "
            f"has: {_counts(found)}."
        )
    return drop_samples(samples, keep, f"not of sample type {', '.join(wanted)}", notes)


def _sample_type_labels(samples: pd.DataFrame) -> tuple[pd.Series, str]:
    """`tumour` or `normal` by sample type code; None for other codes."""
    codes = samples["sample_type"].astype(str)
    labels = codes.map(
        dict.fromkeys(TUMOUR_CODES, "tumour") | dict.fromkeys(NORMAL_CODES, "normal")
    )
    if labels.isna().all():
        raise LabelError(
            "label `sample_type`: no sample has a TCGA sample type code (01-09 tumour, 10-19 "
            f"normal); there is: {_counts(codes)}. Name the column that holds it as "
            "`sample_type_column`, or use label `column:<name>`."
        )
    return labels.astype(object), "sample type code: 10-19 normal, 01-09 tumour"


def _mutation_labels(
    cohort: Cohort, samples: pd.DataFrame, gene: str, stated: str, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series, str]:
    """The sequenced tumours among `samples`, and whether `gene` is mutated in each of them."""
    label = f"label `mutation:{stated}`" + (f" ({stated} is {gene})" if gene != stated else "")
    if "mutation" not in {*cohort.channels, *cohort.data.obsm}:
        raise LabelError(
            f"{label}: this cohort has no mutation data, only "
            f"{', '.join(cohort.channels)}. Give its source a mutation matrix, or choose another "
            "label."
        )
    if gene not in (known := _sequenced_genes(cohort)):
        raise LabelError(f"{label}: the cohort has no gene {gene!r}{did_you_mean(gene, known)}.")
    codes = samples["sample_type"].astype(str)
    samples = drop_samples(
        samples, ~codes.isin(NORMAL_CODES), "normal tissue, which has no mutation label", notes
    )
    rows = cohort.samples.index.get_indexer(samples.index)
    if "mutation" in cohort.data.obsm:
        values = cohort.data.obsm["mutation"][gene].to_numpy()[rows]
    else:
        values = cohort.layer("mutation")[rows, cohort.genes.index.get_loc(gene)]
    if np.isnan(values).all():
        raise LabelError(
            f"{label}: {gene} was sequenced in no tumour (all its mutation values "
            "are missing). Choose a gene that the mutation matrix covers."
        )
    samples = drop_samples(samples, ~np.isnan(values), f"{gene} not sequenced", notes)
    values = values[~np.isnan(values)]
    labels = pd.Series(np.where(values > 0, "mutated", "wild-type"), samples.index, dtype=object)
    return samples, labels, f"mutation status of {gene}; its own mutation values are masked"


def _sequenced_genes(cohort: Cohort) -> pd.Index:
    """The genes by whose mutations samples can be labelled."""
    sequenced = cohort.data.obsm.get("mutation")
    return cohort.genes.index if sequenced is None else sequenced.columns


def _column_labels(
    samples: pd.DataFrame, name: str, classes: list[str] | None
) -> tuple[pd.Series, str]:
    """The values of a sample column as class names; None where there is no value."""
    if name not in samples:
        columns = [str(column) for column in samples.columns]
        raise LabelError(
            f"label `column:{name}`: the samples have no column "
            f"{name!r}{did_you_mean(name, columns)}. Columns: {', '.join(columns)}."
            + " TCGA barcodes do not tell the project: a sample sheet must."
            * (name == "project")
        )
    values = samples[name]
    labels = pd.Series([_class_name(value) for value in values.array], values.index, dtype=object)
    labels = labels.where(~missing(labels), None)
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and classes is None and labels.nunique() > MAX_NUMERIC_CLASSES:
        raise LabelError(
            f"label `column:{name}` is numeric ({labels.nunique()} values from {values.min():g} to "
            f"{values.max():g}), not classes. Add a column of groups to the sample sheet, such as "
            "low and high."
        )
    if not numeric:
        _refuse_unlikely_classes(labels.dropna(), name)
    return labels, f"column {name}"


def _class_name(value: object) -> str:
    """A cell as the name of a class: a number in its shortest form, "" where it is not finite."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(str(value))  # a float32 in its own digits
        return f"{number:.15g}" if np.isfinite(number) else ""
    return str(value).replace("\u00a0", " ").strip()


def _refuse_unlikely_classes(labels: pd.Series, name: str) -> None:
    """`LabelError` for an identifier, and for classes that differ by a slip of the keyboard."""
    classes = sorted(labels.unique())
    if len(classes) > max(MAX_NUMERIC_CLASSES, len(labels) / 2):
        raise LabelError(
            f"label `column:{name}` has {len(classes)} different values in {len(labels)} samples: "
            "an identifier or free text, not classes. Choose another column."
        )
    seen: dict[str, str] = {}
    for label in classes:
        if not label.isprintable():
            raise LabelError(
                f"label `column:{name}`: the class {label!r} of sample "
                f"{labels.index[labels == label][0]} holds a character that does not print. "
                "Write it anew in the sample sheet."
            )
        other = seen.setdefault(_spelling(label), label)
        if other != label:
            raise LabelError(
                f"label `column:{name}`: the classes {other!r} and {label!r} differ in case or "
                "spaces only, or are one number. Write them alike in the sample sheet."
            )


def _spelling(label: str) -> str:
    """What is the same for classes that a reader takes for one: `II` and `ii `, `1` and `1.0`."""
    text = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
    try:
        return text if "_" in text else f"{float(text):.15g}"
    except ValueError:
        return text


def _tumours_only(
    cohort: Cohort, samples: pd.DataFrame, labels: pd.Series, name: str, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series]:
    """No normal tissue where the column describes the patient, if there are tumours beside it."""
    codes = samples["sample_type"].astype(str)
    tumour, normal = codes.isin(TUMOUR_CODES), codes.isin(NORMAL_CODES)
    stated = name in map(str, cohort.data.uns.get("patient_columns", []))
    copied = name not in OBS_COLUMNS and _copied(samples["patient"], labels, tumour, normal)
    if not tumour.any() or not (stated or copied):
        return samples, labels
    reason = f"normal tissue; `{name}` describes the patient and labels tumours only"
    return drop_samples(samples, ~normal, reason, notes), labels[~normal]


def _copied(patients: pd.Series, labels: pd.Series, tumour: pd.Series, normal: pd.Series) -> bool:
    """Whether nearly all patients with labelled tumour and normal tissue have one label."""
    of_tumours, of_normals = (
        labels[part & labels.notna()].groupby(patients.astype(str)).agg(set)
        for part in (tumour, normal)
    )
    both = of_tumours.index.intersection(of_normals.index)
    same = [of_normals[patient] <= of_tumours[patient] for patient in both]
    return bool(same) and sum(same) >= MIN_COPIED * len(same)


def _drop_unlabelled(
    samples: pd.DataFrame, labels: pd.Series, params: LabelledSource, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series]:
    """Samples with a label; `LabelError` for the others unless `drop_unlabelled` is set."""
    lacking = labels.isna()
    if lacking.all():
        raise LabelError(f"label `{params.label}`: no sample has a value. Choose another label.")
    if lacking.any() and not params.drop_unlabelled:
        raise LabelError(
            f"label `{params.label}`: {lacking.sum()} of {len(labels)} samples have no label: "
            f"{first_few(labels.index[lacking])}. Fill them in (a cell of NA, None or the like "
            "counts as empty), or set `drop_unlabelled: true`."
        )
    return drop_samples(samples, ~lacking, "without a label", notes), labels[~lacking]


def _keep_classes(
    samples: pd.DataFrame, labels: pd.Series, classes: list[str] | None, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series]:
    """Samples of the wanted classes only; `LabelError` for a class that no sample has."""
    if classes is None:
        return samples, labels
    there = sorted(labels.unique())
    for name in classes:
        if name not in there:
            word = "; it counts as a missing value" if says_not_known(name) else ""
            raise LabelError(
                f"`classes` names {name!r}, which no sample has{word}{did_you_mean(name, there)}. "
                f"There are: {_counts(labels)}."
            )
    keep = labels.isin(classes)
    reason = f"of a class other than {', '.join(classes)}"
    return drop_samples(samples, keep, reason, notes), labels[keep]


def _refuse_contradictions(samples: pd.DataFrame, labels: pd.Series, rule: str) -> None:
    """`LabelError` when samples of one patient and sample type have different classes."""
    known = samples[["patient", "sample_type"]].astype(str).assign(label=labels)
    known = known.drop_duplicates()
    again = known.duplicated(["patient", "sample_type"])
    patients = sorted(set(known.loc[again, "patient"]))
    if patients:
        raise LabelError(
            f"label `{rule}`: {len(patients)} patients have samples of one sample type with "
            f"different classes: {first_few(patients)}. Correct the sample sheet, keep one sample "
            "per patient, or, if the classes are kinds of tissue, give their codes in "
            "`sample_type_column`."
        )


def _class_order(labels: pd.Series, params: LabelledSource) -> list[str]:
    """Class names in their final order; of two classes the positive one is last."""
    classes = _classes(labels, params)
    if len(classes) < 2:
        raise LabelError(
            f"label `{params.label}` leaves one class, {classes[0]!r} ({len(labels)} samples); it "
            "takes two to learn a difference. Check `classes` and `sample_types`, or choose "
            "another label."
        )
    if params.positive is None:
        if len(classes) == 2 and params.label.startswith("column:") and not params.classes:
            quoted = json.dumps(classes[1], ensure_ascii=False)  # YAML takes yes for a boolean
            raise LabelError(
                f"label `{params.label}` has two classes, {classes[0]!r} and {classes[1]!r}. Name "
                f"the one to detect, such as `positive: {quoted}`."
            )
        return classes
    if len(classes) > 2:
        raise LabelError(
            f"`positive: {params.positive}` needs two classes, and label `{params.label}` has "
            f"{len(classes)}: {', '.join(classes)}. Remove `positive`, or keep two of them with "
            "`classes`."
        )
    if params.positive not in classes:
        raise LabelError(
            f"`positive: {params.positive}` is no class of label `{params.label}`, which has "
            f"{classes[0]!r} and {classes[1]!r}."
        )
    return sorted(classes, key=lambda name: name == params.positive)


def _classes(labels: pd.Series, params: LabelledSource) -> list[str]:
    """The classes in the order of `params`, else wild type first, else numbers and text sorted."""
    if params.classes:
        return list(dict.fromkeys(params.classes))
    there = set(labels)
    if params.label.startswith("mutation:"):
        return [name for name in ("wild-type", "mutated") if name in there]
    return sorted(there, key=_number_then_text)


def _number_then_text(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return np.inf, name


def _counts(values: pd.Series) -> str:
    """`01 (517), 11 (59)`: values and how often each occurs, most frequent first."""
    counts = values.replace("", "unknown").value_counts()
    return first_few(f"{value} ({count})" for value, count in counts.items())
