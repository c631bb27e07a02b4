"""Gene keys as files have them: with a number beside the name, changed by R, or made a date.

- `TP53|7157` (TCGA), `TP53 (7157)` (DepMap), `ENSG00000141510.12_TP53`, `gene:ENSG00000141510`: the
  Ensembl id counts, else the one gene that is named, else what stands before bar or bracket.
- R writes `HLA.A` for `HLA-A`, `X5S_rRNA` for `5S_rRNA` and `TP53.1` for a second `TP53`.
- Spreadsheets make dates of names: SEPT2 becomes `2-Sep` (Ziemann et al. 2016, Genome Biol 17:177).
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ..core.errors import SourceError, first_few
from .genes import ENSEMBL_ID, all_names, gene_of

NO_GENE = re.compile(
    r"[\s?.-]*|nan|n/?a|#n/a|null|none|N_(unmapped|multimapping|noFeature|ambiguous)|__\w+",
    re.IGNORECASE,
)
"""Keys that name no gene: empty, `?` as TCGA writes it, and the counters of STAR and HTSeq."""

_AROUND = " \t\r\n\v\f\u00a0\u200b\ufeff'\"`"
_SEPARATOR = re.compile(r"[|;:,/()\[\]\s]+|__?")
_BESIDE = re.compile(r"(.*?)\s*(?:\|.*|[(\[][^()\[\]]*[)\]]|\.\.(?:\d+|nan|ENSG\d+)\.)")
"""A name, and in brackets or behind a bar its other names; R writes dots for brackets."""
_FOREIGN = re.compile(r"\d+|nan|ENS\w+(\.\d+)?|gene|hgnc|entrez|ncbi|symbol|geneid", re.IGNORECASE)
"""What may stand beside a name without being part of it."""
_ID = re.compile(rf"(?<![A-Za-z0-9])(?:{ENSEMBL_ID.pattern})(?![A-Za-z0-9])", re.IGNORECASE)
_NUMBER = re.compile(r"X?(\d+)(?:\.0)?")

_MONTHS = {
    1: "jan january januar janvier januari",
    2: "feb february februar févr fevrier february fev",
    3: "mar march marc mär mrz märz maerz mars mrt maart marzo",
    4: "apr april avr avril abr",
    5: "may mai mei maj mag",
    6: "jun june juni juin giu",
    7: "jul july juli juil lug",
    8: "aug august août aout ago",
    9: "sep sept september septembre set",
    10: "oct october okt oktober octobre ott out",
    11: "nov november novembre",
    12: "dec december dez dezember déc decembre dic",
}
_MONTH_OF = {word: month for month, words in _MONTHS.items() for word in words.split()}
_WORD = "(?P<word>" + "|".join(sorted(_MONTH_OF, key=len, reverse=True)) + r")\.?"
_GAP = r"[-./\s]{1,2}"
_TIME = r"(?:[T\s.]\d\d?[:.]\d\d(?:[:.]\d\d(?:\.\d+)?)?)?"
_YEAR = r"(?:\d{4}|\d{2})"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"X?(?P<a>\d\d?){_GAP}{_WORD}(?:{_GAP}{_YEAR})?{_TIME}",
        rf"{_WORD}{_GAP}(?P<a>\d\d?)(?:{_GAP}{_YEAR})?{_TIME}",
        rf"{_WORD}{_GAP}20(?P<a>\d\d)",
        rf"X?{_YEAR}{_GAP}{_WORD}{_GAP}(?P<a>\d\d?){_TIME}",
        rf"X?\d{{4}}[-./](?P<b>\d\d?)[-./](?P<a>\d\d?){_TIME}",
        rf"X?(?P<a>\d\d?)[-./](?P<b>\d\d?)[-./]{_YEAR}{_TIME}",
    )
]
_DATED = re.compile(
    r"(JAN|FEB|MAR|MARC|MARCH|APR|MAY|JUNE?|JULY?|AUG|SEPT?|OCT|NOV|DEC)-?(\d\d?)", re.IGNORECASE
)
"""Names that a spreadsheet takes for a day of a month."""
SERIALS = (date(1995, 1, 1), date(2040, 1, 1))
"""Days whose number (of days since 30 December 1899) counts as a date that lost its format."""
_DAY_0 = date(1899, 12, 30)
_RESERVED = frozenset(
    ("if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
     "NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_character_", "NA_complex_")
)  # fmt: skip
_STARTS = re.compile(r"[^\W\d_]|\.(?!\d)")
_INVALID = re.compile(r"[^\w.]")
_REPEAT = re.compile(r"(.+)\.\d+")
_CLONE = re.compile(r"\w+[-.]\d+[A-Z]\d+|[A-Z]{2}\d{5,6}")


def make_names(name: str) -> str:
    """What R's `make.names` makes of a name whose accents are composed; of a name itself."""
    name = unicodedata.normalize("NFC", name)
    valid = _INVALID.sub(".", name if _STARTS.match(name) else f"X{name}")
    return f"{valid}." if valid in _RESERVED else valid


def by_r_name(names: Iterable[str]) -> dict[str, set[str]]:
    """Names by what R makes of them."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(make_names(name), set()).add(name)
    return found


@dataclass(frozen=True)
class GeneNames:
    """The names of some keys, in their order, what was done to them, and how many are unclear."""

    names: list[str]
    notes: list[str]
    unclear: int
    """Keys that R changed and that may be of several genes; they stay as they are."""


def read_keys(
    keys: Iterable[object], origin: str, among: Iterable[str] = (), *, join: bool = False
) -> GeneNames:
    """The name or Ensembl id in each key; names that `among` has come first.

    Returns
    -------
    GeneNames
        A key that could be several genes stays as it is, and without `join` so does one whose gene
        another key names outright.

    Raises
    ------
    SourceError
        For numbers in place of names, and a date that several genes, or none, may have been.
    """
    stated = [str(key).strip(_AROUND) for key in keys]
    in_use = frozenset(among)
    names = [name if name in in_use else _bare(name) for name in stated]
    _refuse_numbers(names, origin)
    dates = _mend_dates(names, origin, in_use)
    names = [dates.get(name, name) for name in names]
    changed, unclear = _undo_r(names, in_use, join)
    notes = []
    for mended, fact in (
        (dates, "genes that a spreadsheet had made dates"),
        (changed, "genes matched whose names R had changed"),
    ):
        if mended:
            shown = first_few(f"{old} is {new}" for old, new in sorted(mended.items()))
            notes.append(f"{len(mended)} {fact}: {shown}")
    if unclear:
        notes.append(
            f"{len(unclear)} names that R changed could be several genes and stay as they are: "
            f"{first_few(sorted(unclear))}"
        )
    return GeneNames([changed.get(name, name) for name in names], notes, len(unclear))


def is_date(name: str) -> bool:
    """Whether a gene name is a date, as a spreadsheet makes of SEPT2, and no name of a gene."""
    return not gene_of(name) and any(pattern.fullmatch(name) for pattern in _DATES)


@functools.lru_cache(1 << 17)
def _bare(key: str) -> str:
    """The key without what stands beside the name, where one gene alone is in it."""
    if gene_of(key) or NO_GENE.fullmatch(key):
        return key
    ids = {found[1].upper() for found in _ID.finditer(key)}
    if len(ids) == 1 and gene_of(next(iter(ids))):
        return next(iter(ids))
    beside = _BESIDE.fullmatch(key)
    parts = [part for part in _SEPARATOR.split(key) if part]
    known = [part for part in parts if gene_of(part)]
    found = {gene_of(part) for part in known}
    rest = (part for part in parts if part not in known)
    if len(found) == 1 and (beside or all(map(_FOREIGN.fullmatch, rest))):
        return known[0]
    return beside[1].strip(_AROUND) if beside and not found else key


def _refuse_numbers(names: Sequence[str], origin: str) -> None:
    named = [name for name in names if not NO_GENE.fullmatch(name)]
    numbers = [name for name in named if _NUMBER.fullmatch(name)]
    if len(numbers) > len(named) / 2:
        raise SourceError(
            f"{origin}: {len(numbers)} of {len(named)} gene keys are numbers "
            f"({first_few(numbers)}), such as Entrez ids. Give symbols or Ensembl ids; is the "
            "orientation right?"
        )


def _mend_dates(names: Sequence[str], origin: str, in_use: frozenset[str]) -> dict[str, str]:
    """The gene of each date among the names; `SourceError` where it is not certain."""
    there = {gene_of(name) or name for name in names}
    mended: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name in in_use or NO_GENE.fullmatch(name) or gene_of(name):
            continue
        days = _days(name) or _days(_first_of(name) or "")
        meant = {gene for day in days or _serial(name) for gene in _dated_genes().get(day, ())}
        if not (days or meant):
            continue
        left = sorted(meant - there)
        if len(left) != 1:
            what = (
                f"It may have been {' or '.join(left)}"
                if left
                else f"{' and '.join(sorted(meant))} is there as well"
                if meant
                else "No gene is known that it may have been"
            )
            raise SourceError(
                f"{origin}: the gene {name!r} is a date, which a spreadsheet made of its name. "
                f"{what}. Use the file as it was before the spreadsheet, write the name, or remove "
                "the gene."
            )
        mended[name] = left[0]
    return mended


@functools.lru_cache(1 << 12)
def _days(name: str) -> frozenset[tuple[int, int]]:
    """Every month and day that a name may be the date of."""
    for pattern in _DATES:
        if found := pattern.fullmatch(name):
            first = int(found["a"])
            if "word" in pattern.groupindex:
                return frozenset({(_MONTH_OF[found["word"].casefold()], first)})
            second = int(found["b"])
            pairs = {(second, first)}
            if pattern.groupindex["a"] < pattern.groupindex["b"]:  # 3/9 is in March or September
                pairs.add((first, second))
            return frozenset(pair for pair in pairs if pair[0] <= 12 and pair[1] <= 31)
    return frozenset()


def _serial(name: str) -> frozenset[tuple[int, int]]:
    """The month and day of a date that a spreadsheet writes as its number of days."""
    found = _NUMBER.fullmatch(name)
    first, last = ((day - _DAY_0).days for day in SERIALS)
    if found is None or not first <= int(found[1]) < last:
        return frozenset()
    day = _DAY_0 + timedelta(int(found[1]))
    return frozenset({(day.month, day.day)})


@functools.cache
def _dated_genes() -> Mapping[tuple[int, int], frozenset[str]]:
    """Symbols that a spreadsheet makes a date of, by month and day; else previous symbols of it."""
    found: dict[tuple[int, int], dict[str, set[str]]] = {}
    for name, (gene, route) in all_names().items():
        if (dated := _DATED.fullmatch(name)) and route in ("symbol", "previous symbol"):
            day = (_MONTH_OF[dated[1].casefold()], int(dated[2]))
            found.setdefault(day, {}).setdefault(route, set()).add(gene)
    return {
        day: frozenset(routes.get("symbol") or routes["previous symbol"])
        for day, routes in found.items()
    }


def _first_of(name: str) -> str | None:
    """The `TP53` of `TP53.1`, which R numbered; None for names of clones (`RP11-13G14.4`)."""
    found = _REPEAT.fullmatch(name)
    return found[1] if found and not _CLONE.fullmatch(found[1]) else None


def _undo_r(
    names: Sequence[str], in_use: frozenset[str], join: bool
) -> tuple[dict[str, str], set[str]]:
    """The names that R changed and what they were, and those that could be several genes."""
    candidates: dict[str, set[str]] = {}
    there, of_r_name = set(names), by_r_name(in_use)
    numbered: dict[str | None, set[str]] = {}
    for name in in_use:
        numbered.setdefault(_first_of(name), set()).add(name)
    for name in there:
        if name in in_use or gene_of(name) or NO_GENE.fullmatch(name):
            continue
        found = of_r_name.get(make_names(name), set()) | _known_by_r_name().get(name, set())
        base = _first_of(name)
        if base and (base in there or base in in_use or gene_of(base)):
            found |= {base}
        found |= numbered.get(name, set())
        if found - {name}:
            candidates[name] = {other for other in found if other != name}
    claims = Counter(gene_of(other) or other for found in candidates.values() for other in found)
    genes_there = {gene_of(name) or name for name in there - candidates.keys()}
    changed: dict[str, str] = {}
    for name, found in candidates.items():
        target = min(found)
        gene = gene_of(target) or target
        repeated = _first_of(name) == target and target in there
        alone = claims[gene] == 1 and gene not in genes_there
        if len({gene_of(other) or other for other in found}) == 1 and (alone or repeated or join):
            changed[name] = target
    return changed, candidates.keys() - changed.keys()


@functools.cache
def _known_by_r_name() -> dict[str, set[str]]:
    """The names of genes that R changes, symbols before other names, by what it makes of them."""
    known = all_names()
    changed = [name for name in known if make_names(name) != name]
    symbols = by_r_name(name for name in changed if known[name][1] == "symbol")
    return by_r_name(changed) | symbols
