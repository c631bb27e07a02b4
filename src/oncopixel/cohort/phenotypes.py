"""Rows among the genes that are no genes: a patient's outcome, age or class give the label away."""

import re
from collections.abc import Iterable

from ..core.errors import SourceError, first_few
from . import genes

_UNIT = r"(in_?)?(days?|weeks?|months?|years?|yrs?)"
_END = r"(os|dss|dfs|dfi|pfs|pfi|rfs|efs|mfs|dmfs|css|ttp|fu)"
_PHENOTYPE = re.compile(
    "|".join(
        (
            rf"{_END}_?(\w*time|{_UNIT}|\w*stat(us|e)?|\w*event|cens\w*|ind(icator)?)?",
            rf"([ted]_|(time|event|status|{_UNIT})_?){_END}",
            r"(\w*_)?(age|stage|grade|sex|gender|race|ethnicity|status|event|outcome|response)",
            r"(\w*_)?(time|subtype|cluster|histology|diagnosis|recurrence|relapse|progression)",
            r"(\w*_)?(metastas[ie]s|purity|survival|treatment|therapy|smoker|smoking|batch|type|score)",
            r"(stage|grade|gender|sex|vital|pathologic|survival|(days|months|years|time)_to|age_at)_\w+",
            r"(smoking|follow_?up|censor|treatment|recurrence|progression|tumou?r|subtype)_\w+",
            rf"age_?({_UNIT}|group|cat\w*)|(overall|disease|progression)\w*survival\w*|survival{_UNIT}|vitalstat\w*",
            r"((clin|path)\w*_)?[cp]?_?[tnm](_?stage)?|tnm|ajcc\w*|follow_?up|responder|bmi|tmb",
            r"dead|alive|deceased|death|died|surv|stat|cens|censor(ed|ing)?|weight|height|msi",
            r"(risk_?)?(score|group|label|target|phenotype|condition|risk)s?|arm|class(es)?|y|ploidy",
            r"(patient|sample|case|subject)(_?(id|name|code|barcode|type))?|id|barcode",
        )
    )
)
"""Names of phenotypes in lower case, with `_` for what is no letter or digit."""


def refuse_phenotypes(keys: Iterable[str], columns: Iterable[str], origin: str) -> None:
    """Raises `SourceError` for keys that are no genes but columns or known phenotypes by name."""
    described = {_words(column).replace("_", "") for column in map(str, columns)} - {""}
    symbols = genes.table().index
    found = []
    for key in dict.fromkeys(map(str, keys)):
        name = re.split(r"\s*[|(]", key)[0].strip()  # TP53|7157, TP53 (7157)
        if name in symbols or genes.ENSEMBL_ID.fullmatch(name):
            continue
        words, other = _words(name), genes.other_name(name)
        later = other is not None and other[1] == genes.ROUTES[2]
        of_another_species = name.istitle() and name.upper() in symbols
        if _PHENOTYPE.fullmatch(words):
            if not (later or of_another_species):
                found.append(key)
        elif words.replace("_", "") in described and not other and name.upper() not in symbols:
            found.append(key)
    if found:
        raise SourceError(
            f"{origin}: {len(found)} of its genes are phenotypes by their names: "
            f"{first_few(map(repr, found))}. They would give the label away. Leave them out: what "
            "describes samples belongs into the sample sheet."
        )


def _words(name: str) -> str:
    """`os_time` for `OS.time`, `osTime`, `OS time` and `OS.time.x`, as R's `merge` has it."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return (
        re.sub(r"[\W_]+", "_", spaced).strip("_").casefold().removesuffix("_x").removesuffix("_y")
    )
