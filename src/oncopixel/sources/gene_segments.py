"""Copy number of genes from segments, as the further channel of a cohort with expression."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..cohort.genome import CHROMOSOMES
from ..cohort.samples import SheetColumns, describe_samples
from ..core.errors import first_few
from ..core.params import SegmentFile, SegmentFiles, SegmentReading
from .germline import without_germline
from .http.locations import SourceFile
from .pixels import pixel_values
from .segment_files import holds_segments
from .segments import Segments, read_segments


@dataclass(frozen=True)
class GeneSegments:
    """Segments of samples, from which any gene has its copy number (`assembly.AlongGenome`)."""

    origin: str
    found: Segments
    min_markers: int

    @property
    def samples(self) -> Sequence[str]:
        """Their ids."""
        return self.found.samples

    def of_genes(
        self, samples: Sequence[str], places: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Copy number of genes in these samples, and what their segments are like.

        Parameters
        ----------
        samples
            In order.
        places
            `chromosome`, `start` and `end` of each gene, indexed by its name.

        Returns
        -------
        tuple
            As of `pixel_values`; genes without a place on chromosomes 1 to 22 and X are left out.
        """
        pixels = places[places["chromosome"].isin(CHROMOSOMES)]
        values, facts = pixel_values(self.found.among(samples), pixels)
        return pd.DataFrame(values, list(samples), pixels.index, copy=False), facts


def reading_of(given: str | SegmentFile | SegmentFiles, path: Path) -> SegmentReading | None:
    """How to read the copy number that an entry names, if it is segments; None of a matrix."""
    if isinstance(given, SegmentReading):
        return given
    return SegmentReading() if holds_segments(path) else None


def file_segments(
    given: str | SegmentFile, file: SourceFile, notes: list[str]
) -> GeneSegments | None:
    """The segments of a file of a hub or a study; None when it is a matrix."""
    with file.reading() as path:
        reading = reading_of(given, path)
        if reading is None:
            return None
        return replace(
            read_gene_segments([path], reading, notes, name=file.name), origin=file.shown
        )


def read_gene_segments(
    paths: Sequence[Path],
    reading: SegmentReading,
    notes: list[str],
    *,
    name: str = "",
) -> GeneSegments:
    """The copy number of genes in files of segments.

    Parameters
    ----------
    notes
        Get what was converted and left out.
    name
        Of the one file, where its path does not tell it.

    Returns
    -------
    GeneSegments
        Less what a patient's normal tissue has, too, where barcodes of TCGA tell which that is.
    """
    found = read_segments(paths, reading, notes, name=name)
    sheet = pd.DataFrame(index=pd.Index(found.samples, dtype=object))
    described, _ = describe_samples(sheet, SheetColumns(one_per_sample=True), "the segments")
    found = without_germline(found, described, notes)
    return GeneSegments(first_few(str(path) for path in paths), found, reading.min_markers)
