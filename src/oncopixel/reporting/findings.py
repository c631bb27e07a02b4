"""The marker reports of a cohort, and the tables that the page makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from ..evaluation.parts import CNN, PANEL, PARTS
from ..pages.tables import Table, from_frame, tabulate
from ..pages.texts import NOTHING, Cell, cell, words
from .plots import along_genome

REGION_COLUMNS = (
    "class", "kind", "bands", "Mb", "extent", "frequency", "frequency_others", "p_value",
    "attribution", "deletion", "drivers",
)  # fmt: skip
MOST = 600
"""Markers in the table; 100 rows of any other table of findings."""


@dataclass(frozen=True, eq=False)
class Findings:
    """The contents of a cohort's marker reports, JSON as mappings and CSV as frames."""

    ranking: pd.DataFrame
    """`ranking.parquet`: every gene and channel, the listed ones first."""
    summary: Mapping[str, Any]
    modules: pd.DataFrame
    two_hits: pd.DataFrame
    regions: pd.DataFrame
    enrichment: pd.DataFrame
    stability: Mapping[str, Any]
    panel: Mapping[str, Any]
    """`panel.json` of the model."""
    external: Mapping[str, Any]
    replication: pd.DataFrame
    """`external.csv`."""

    @property
    def listed(self) -> pd.DataFrame:
        """The marker list."""
        return self.ranking[self.ranking["selected"].astype(bool)]

    def without_genes(self) -> "Findings":
        """What may be told when there is no marker list: counts, error rates, scores, regions."""
        frames = {
            field.name: getattr(self, field.name).head(0)
            for field in fields(self)
            if isinstance(getattr(self, field.name), pd.DataFrame) and field.name != "regions"
        }
        return replace(
            self,
            **frames,
            summary={**self.summary, "drivers": {}},
            panel={},
            external={key: value for key, value in self.external.items() if key != "markers"},
        )


def tables_of(found: Findings, *, outside: bool) -> dict[str, Any]:
    """What the template says of the markers; `outside`: whether it links to other sites."""
    summary = found.summary
    q = float(summary["q"])
    kinds = {kind: n for kind, n in summary["list"]["by"].items() if n}
    return {
        "summary": summary,
        "kinds": ", ".join(f"{kind} {n}" for kind, n in kinds.items()),
        "markers": _markers(found, outside=outside),
        "rankings": tabulate("", found.stability),
        "modules": from_frame(_significant(found.modules, q)),
        "two_hits": from_frame(_significant(found.two_hits, q)),
        "regions": _regions(found.regions),
        "drivers": tabulate("", summary["drivers"]),
        "enrichment": from_frame(_significant(found.enrichment, q)),
        "confounders": _confounders(summary["confounders"]["confounders"]),
        "external": _external(found.external) if found.external.get("scores") else None,
        "replication": from_frame(found.replication.head(MOST)),
        "panel": _panel(found.panel),
    }


def links(symbol: str, ensembl_id: str | None = None) -> dict[str, str]:
    """Pages about the gene, title to address, built from the symbol and, where known, the id."""
    name = quote(symbol, safe="")
    target = f"target/{quote(ensembl_id, safe='')}" if ensembl_id else f"search?q={name}"
    return {
        "Open Targets": f"https://platform.opentargets.org/{target}",
        "PubMed": f"https://pubmed.ncbi.nlm.nih.gov/?term=%22{name}%22%5Btiab%5D+AND+neoplasms%5Bmh%5D",
    }


def panel_sizes(models: Mapping[str, Any]) -> Table:
    """Area under the curve against the size of the panel, and of the whole network."""
    sizes = sorted(int(name.removeprefix(PANEL)) for name in models if name.startswith(PANEL))
    scored = {str(size): models[f"{PANEL}{size}"] for size in sizes}
    if scored:
        scored["the network"] = models[CNN]
    rows = [
        [name, *(cell(scores[part]["roc_auc"]) for part in PARTS)]
        for name, scores in scored.items()
    ]
    return Table("", ["features", "AUC, cross-validation", "AUC, test"], rows)


def _markers(found: Findings, *, outside: bool) -> Table:
    """A row per listed gene and channel; each says where it lies in the plots."""
    shown = found.listed.head(MOST)
    several = {name: len(set(shown[name])) > 1 for name in ("channel", "discovered_as")}
    columns = {
        "gene": [
            _linked(row.gene, _known(row.ensembl_id)) if outside else cell(row.gene)
            for row in shown.itertuples()
        ],
        "channel": shown["channel"].map(words),
        "direction": [
            "no clear shift" if way == "mixed" else f"{way} in {name}"
            for way, name in zip(shown["direction"], shown["class"], strict=True)
        ],
        "effect (g)": [
            cell({"value": value, "low": low, "high": high})
            for value, low, high in zip(
                shown["effect"], shown["effect_low"], shown["effect_high"], strict=True
            )
        ],
        "q": shown[f"q_{found.summary['claim']}"].map(cell),
        "chosen by": [
            Cell(f"{share:.0%}", share) if pd.notna(share) else NOTHING
            for share in shown["selection_frequency"]
        ],
        "moves with": [
            _alike(n, names.split()) if n else NOTHING
            for n, names in zip(shown["n_alike"], shown["alike"], strict=True)
        ],
        "level (log2)": shown["level"].map(cell),
        "band": shown["band"].map(_known).map(cell),
        "driver": shown["driver"].map(_known).map(cell),
        "found by": [
            f"segment {unit}" if kind == "segment" else cell(_known(kind))
            for kind, unit in zip(shown["discovered_as"], shown["unit"], strict=True)
        ],
        "confounder": [
            f"{name} ({left:.0%} left)" if _known(name) else NOTHING
            for name, left in zip(shown["confounder"], shown["remaining"], strict=True)
        ],
    }  # fmt: skip
    idle = {
        "channel": not several["channel"],
        "found by": not several["discovered_as"],
        "moves with": not shown["n_alike"].any(),
    }
    columns = {name: list(values) for name, values in columns.items() if not idle.get(name)}
    position = along_genome(found.ranking)[0].loc[shown.index]
    marks = [
        Markup(' data-effect="{}" data-evidence="{}" data-position="{}"').format(
            f"{effect:.3g}", f"{evidence:.3g}", "" if pd.isna(at) else f"{at:.6g}"
        )
        for effect, evidence, at in zip(shown["effect"], shown["evidence"], position, strict=True)
    ]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return Table("", list(columns), rows, id="list", marks=marks)


def _alike(n: int, named: Sequence[str]) -> str:
    """The genes that are named, and how many more there are."""
    return ", ".join(named) + (f" and {n - len(named)} more" if n > len(named) else "")


def _linked(gene: str, ensembl_id: str | None) -> Markup:
    """The gene's name as a link, and one to what is published of it."""
    target, papers = links(gene, ensembl_id).values()
    return Markup(
        '<a href="{}" rel="noreferrer">{}</a> <a class="papers no-print" href="{}" '
        'rel="noreferrer" title="{} in PubMed"></a>'
    ).format(target, gene, papers, gene)


def _known(value: Any) -> Any:
    return None if pd.isna(value) or value == "" else value


def _panel(panel: Mapping[str, Any]) -> Table:
    """A row per feature of the panel."""
    several = len(panel.get("classes", ())) > 2
    weights = [f"weight of {name}" for name in panel["classes"]] if several else ["weight"]
    rows = [
        [
            feature["gene"], words(feature["channel"]), cell(feature["center"]),
            cell(feature["scale"]), *map(cell, feature["weights"][0 if several else 1 :]),
            cell(feature["cost"]),
        ]
        for feature in panel.get("features", ())
    ]  # fmt: skip
    columns = ["gene", "channel", "center", "scale", *weights, "cost of leaving it out (log loss)"]
    return Table("", columns, rows)


def _regions(regions: pd.DataFrame) -> Table:
    """The first regions of each class, with their drivers."""
    first = regions.groupby("class", sort=False).head(20)
    drivers = first["drivers"].astype(object).fillna("").str.replace(";", " ")
    return from_frame(first.assign(Mb=first["size"] / 1e6, drivers=drivers)[[*REGION_COLUMNS]])


def _significant(table: pd.DataFrame, q: float, most: int = 100) -> pd.DataFrame:
    """The first `most` rows with a q-value up to `q`, without columns that say nothing."""
    return table[table["q_value"] <= q].head(most).dropna(axis="columns", how="all")


def _external(external: Mapping[str, Any]) -> dict[str, Table]:
    """What the independent cohort is, how the network does there, and how the list does."""
    genes, markers = external["genes"], external.get("markers", {})
    about = {
        "origin": external["origin"],
        "samples of each class": [
            f"{name} {n}"
            for name, n in external.get("data", {}).get("samples_of_class", {}).items()
        ],
        "expression put on this cohort's scale by": external["align"],
        "channels that it lacks": external["channels_absent"],
        "genes in common": f"{genes['shared']}, of which {genes['used']} are used",
    }
    scores = {
        {
            "external": "the independent cohort",
            "cv_of_shared_genes": "this cohort, the same genes, cross-validation",
            "cv_of_all_genes": "this cohort, all genes, cross-validation",
            "test_of_all_genes": "this cohort, all genes, test",
        }.get(name, name): values
        for name, values in sorted(
            external["scores"].items(), key=lambda score: score[0] != "external"
        )
    }
    return {
        "about": tabulate("", about),
        "scores": tabulate("", scores),
        "markers": tabulate("", markers),
    }


def _confounders(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per known confounder: the label, the model's score and the markers beside it."""
    columns = [
        "confounder", "kind", "samples", "with the label", "p", "with the score", "p",
        "of the score left", "markers that go with it", "markers it explains",
    ]  # fmt: skip
    values = [
        (
            words(row["confounder"]), row["kind"], row["known"],
            row["label"]["strength"], row["label"]["p"],
            row["score"]["strength"], row["score"]["p"], row["score"]["remaining"],
            row["markers"]["related"], row["markers"]["flagged"],
        )
        for row in rows
    ]  # fmt: skip
    return Table("", columns, [list(map(cell, row)) for row in values])
