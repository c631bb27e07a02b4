"""Which aliquot and which files stand for a sample."""

import filecmp
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ...cohort.barcodes import barcode, best_aliquot
from ...core.errors import SourceError, first_few


def joined_files(files: pd.DataFrame, samples: list[str], used: set[str]) -> pd.DataFrame:
    """What became of each file: `files` with the columns `sample` and `used`."""
    names = {sample_key(name): name for name in samples}
    sample = pd.Series(
        [names.get(sample_key(aliquot), "") for aliquot in files["aliquot"]], dtype=object
    )
    other = (files["why"] == "") & ~files["aliquot"].isin(used)
    why = files["why"].mask(other & (sample == ""), "no expression of this sample")
    why = why.mask(other & (sample != ""), "another aliquot of this sample is used")
    columns = ["channel", "file", "aliquot", "sample", "used", "why"]
    return files.assign(sample=sample, used=why == "", why=why)[columns]


def files_of_aliquots(
    files: pd.DataFrame, channel: str
) -> tuple[dict[str, list[Path]], pd.DataFrame, list[str]]:
    """The files to read of each aliquot; what each file is of, and why it is not read; notes."""
    found: dict[str, list[Path]] = {}
    rows: list[dict[str, str]] = []
    several: set[str] = set()
    of_channel = files[files["channel"] == channel].sort_values(["name", "path"])
    for name, path, samples in of_channel[["name", "path", "samples"]].itertuples(index=False):
        barcodes = str(samples).split()
        foreign = [key for key in barcodes if barcode(key) is None]
        if foreign or not barcodes:
            raise SourceError(
                f"{name} ({channel}) is of {first_few(foreign) or 'no aliquot'}, which is no TCGA "
                "barcode. Only TCGA projects can be joined; leave the others out of `projects`."
            )
        for key in barcodes:
            known = found.setdefault(key, [])
            why = ""
            if any(_same(Path(path), other) for other in known):
                why = "a copy of another file"
            elif known and channel != "mutation":
                why = "another file of this aliquot is used"
                several.add(key)
            else:
                known.append(Path(path))
            rows.append({"channel": channel, "file": str(name), "aliquot": key, "why": why})
    notes = counted(
        sorted(several),
        channel + ": {} aliquots have several different files; the first by name is used ({})",
    )
    return found, pd.DataFrame(rows, columns=["channel", "file", "aliquot", "why"]), notes


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or filecmp.cmp(one, other, shallow=False)
    except OSError as error:
        raise SourceError(f"{one} and {other} cannot be compared: {error.strerror}.") from None


def sample_key(aliquot: str) -> tuple[str, str]:
    """Patient and sample type."""
    found = barcode(aliquot)
    return (found[0], found[1]) if found else (aliquot, "")


def _by_sample(aliquots: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for name in sorted(aliquots):
        grouped.setdefault(sample_key(name), []).append(name)
    return grouped


def choose_rna(aliquots: Iterable[str]) -> tuple[list[str], list[str]]:
    """The RNA aliquot of each sample, in order, and notes."""
    chosen = sorted(map(best_aliquot, _by_sample(aliquots).values()))
    fact = "aliquots dropped: another of the same patient and sample type is used"
    return chosen, counted(sorted(set(aliquots) - set(chosen)), f"expression: {{}} {fact} ({{}})")


def choose_dna(
    samples: list[str], aliquots: Iterable[str], channel: str
) -> tuple[dict[str, str], list[str]]:
    """The DNA aliquot of each sample that has one, and notes."""
    groups = _by_sample(aliquots)
    chosen: dict[str, str] = {}
    for name in samples:
        candidates = groups.get(sample_key(name), [])
        for length in (len("TCGA-05-4244-01A-01"), len("TCGA-05-4244-01A"), 0):
            near = [other for other in candidates if other[:length] == name[:length]]
            if near:
                chosen[name] = best_aliquot(near)
                break
    vial = len("TCGA-05-4244-01A")
    kept, known = ({sample_key(name) for name in names} for names in (chosen, samples))
    unused = sorted(set(aliquots) - set(chosen.values()))
    facts = (
        (
            [name for name in samples if name not in chosen],
            "samples were not measured, and are masked",
        ),
        (
            [name for name, match in chosen.items() if name[:vial] != match[:vial]],
            "samples have DNA of another vial than their RNA",
        ),
        (
            [name for name in unused if sample_key(name) in kept],
            "aliquots dropped: another of the same sample is used",
        ),
        (
            ["-".join(key) for key in groups if key not in known],
            "samples dropped: they have no expression",
        ),
    )
    notes = [counted(names, f"{channel}: {{}} {fact} ({{}})") for names, fact in facts]
    return chosen, [note for some in notes for note in some]


def counted(items: Sequence[str], sentence: str) -> list[str]:
    """A note of how many items there are, and the first of them; none of no item."""
    return [sentence.format(len(items), first_few(items))] if items else []
