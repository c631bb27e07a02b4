"""The report page: self-contained, escaped, failures first; no gene on it without a signal."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from oncopixel.core.params import read_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import write_bytes, write_csv, write_json, write_parquet
from oncopixel.pages.tables import tabulate
from oncopixel.pages.texts import cell
from oncopixel.reporting.findings import MOST, Findings, links
from oncopixel.reporting.page import CLAIMS, Results, render_report
from oncopixel.reporting.pictures import FIGURES as OF_STAGES
from oncopixel.reporting.plots import along_genome
from oncopixel.stages import report as command

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
CHECKS = "../../data/"
"""Where the page of the data checks is, as seen from the report."""
EVIL = '<script src="https://evil.example/x.js">alert(1)</script>'

VALIDATION = {
    "n_samples": 576,
    "classes": {"normal": {"samples": 59, "patients": 59}, "tumour": {"samples": 517}},
    "checks": {
        "batches": {"passed": False, "severity": "warning", "failed_rows": 1, "rows": 1},
        "class_size": {"passed": False, "severity": "critical", "failed_rows": 1, "rows": 2},
        "unique_ids": {"passed": True, "severity": "critical", "failed_rows": 0, "rows": 576},
    },
}
CAPTIONS = {name: figure.caption for name, figure in OF_STAGES.items()}
OF_GENES = {name for name, figure in OF_STAGES.items() if figure.of_genes}
FIGURES = dict.fromkeys(CAPTIONS, PNG)
Q = 0.1
INTERVAL = {"value": 0.9, "low": 0.8, "high": 0.95}
MINUS = {"value": 0.0123, "low": -0.01, "high": 0.03}
SCORES = {
    "roc_auc": {"value": 0.91234, "low": 0.88, "high": 0.94},
    "pr_auc": INTERVAL,
    "brier": INTERVAL,
}
PART = {"patients": 100, "samples": 100, "samples_of_class": {"normal": 10, "tumour": 90}}
EVALUATION = {
    "verdict": "signal",
    "warnings": ["few normals"],
    "models": {
        name: {"cv": SCORES, "test": SCORES}
        for name in ("cnn", "logistic_l1", "panel_2", "panel_5")
    },
    "data": {"cv": PART, "test": PART},
    "permutation_p": {"cv": 0.01, "test": 0.01},
    "best_baseline": "logistic_l1",
    "cnn_minus": {
        name: {part: {"roc_auc": MINUS} for part in ("cv", "test")}
        for name in ("logistic_l1", "panel_2")
    },
    "confusion": {
        "cnn": {
            part: {"normal": {"normal": 9, "tumour": 1}, "tumour": {"normal": 2, "tumour": 88}}
            for part in ("cv", "test")
        }
    },
    "thresholds": {"cnn": 0.25},
}
QUIET = EVALUATION | {"warnings": []}
CURVES = {
    "roc": pd.DataFrame(
        {
            "model": ["cnn", "cnn", "logistic_l1"], "part": ["cv", "test", "cv"],
            "false_positive_rate": [0, 0.5, 1], "true_positive_rate": [0, 0.5, 1],
        }
    )
}  # fmt: skip
PARAMS = {
    "cohort": {
        "label": "column:status", "channels": ["expression"], "source": {"kind": "files"},
    },
    "train": {"epochs": 60},
    "biomarkers": {},
}  # fmt: skip


def marker(**changes) -> dict:
    """A row of biomarkers.csv as it is read: empty cells are NaN."""
    row = {
        "rank": 1, "gene": "SFTPC", "ensembl_id": "ENSG00000168484", "chromosome": "8",
        "start": 22156913, "band": "8p21.3", "channel": "expression", "score": 0.5,
        "class": "tumour", "direction": "down", "effect": -3.25, "effect_low": -4.0,
        "effect_high": -2.5, "log2_fold_change": -4.0,
        "level": 9.5, "evidence": 0.1, "q_beyond": 0.02, "q_associated": 0.01, "selected": True,
        "discovered_as": "gene", "unit": np.nan, "module": "M1", "selection_frequency": 0.95,
        "n_alike": 0, "alike": np.nan,
        "driver": np.nan, "confounder": np.nan, "remaining": 1.0, "row": 0, "col": 1,
    }  # fmt: skip
    return row | changes


ROWS = [
    marker(),
    marker(
        gene="TP53", ensembl_id=np.nan, channel="mutation", direction="up", level=np.nan,
        driver="Vogelstein 2013 (tsg)", confounder="batch", remaining=0.31,
    ),
    marker(
        gene="LOSTGENE", channel="copy_number", discovered_as="segment", unit="LOSTGENE-NEXTGENE"
    ),
    marker(gene="MIXEDGENE", direction="mixed", n_alike=7, alike="TWINA TWINB"),
    marker(gene="NOTLISTED", selected=False, discovered_as=np.nan),
]  # fmt: skip
SUMMARY = {
    "claim": "beyond", "q": Q, "n_genes": 1000, "tested": 1000, "top": 2, "repeated_samples": 0,
    "list": {
        "selected": 4, "genes": 4, "by": {"gene": 3, "segment": 1, "arm": 0},
        "beyond": 3, "associated": 40,
    },
    "stability": {"resamples": 20, "index": 0.7, "low": 0.6, "high": 0.8, "mean_size": 3.5},
    "null": {"permutations": 19, "p": 0.05, "empty": 18, "observed": 4, "sizes": [0] * 18 + [2]},
    "modules": {"n": 24, "associated": 5}, "groups": [],
    "two_hits": {"n": 12, "associated": 1},
    "drivers": {
        "Bailey 2018": {
            "drivers": 90, "observed": 1, "expected": 0.4, "odds_ratio": None, "p_value": 0.3,
            "genes": ["DRIVERGENE"],
        },
    },
    "confounders": {
        "confounders": [
            {
                "confounder": "batch", "kind": "category", "known": 400,
                "label": {"strength": 0.55, "p": 1e-9, "separable": True},
                "score": {
                    "strength": 0.2, "p": 0.01, "q": 0.01, "remaining": 0.8, "flagged": False,
                },
                "markers": {"related": 3, "flagged": 1},
            }
        ],
        "markers": {"selected": 4, "flagged": 1},
        "notes": ["1 of 4 markers are explained mostly by `batch`."],
    },
    "completeness_error": {"median": 0.001, "max": 0.01},
}  # fmt: skip
TESTED = {"class": "tumour", "effect": 1.5, "p_value": 0.001, "q_value": 0.01}
EXTERNAL = {
    "origin": "an array", "align": "zscore", "channels_absent": ["mutation"],
    "genes": {"shared": 700, "used": 690},
    "scores": {
        "external": {"roc_auc": INTERVAL, "brier": INTERVAL},
        "test_of_all_genes": {"roc_auc": INTERVAL, "brier": INTERVAL},
    },
    "markers": {"selected": 4, "measured": 3, "replication": INTERVAL},
}  # fmt: skip
FOUND = Findings(
    ranking=pd.DataFrame(ROWS),
    summary=SUMMARY,
    modules=pd.DataFrame(
        [{"module": "M1", "n_genes": 30, "leading_genes": "LEADGENE SFTPC"} | TESTED]
    ),
    two_hits=pd.DataFrame([{"gene": "TWOHITGENE"} | TESTED]),
    regions=pd.DataFrame(
        [
            {
                "class": "tumour", "kind": "gain", "chromosome": 17, "start": 39_000_001,
                "end": 41_000_000, "peak": 39_700_000, "band": "17q12", "bands": "17q12",
                "size": 2_000_000, "extent": "focal", "frequency": 0.25, "frequency_others": 0.05,
                "t": 9.5, "p_value": 0.005, "attribution": 0.4, "attribution_share": 0.1,
                "deletion": 0.375, "n_genes": 30, "genes": "REGIONGENE", "drivers": "ERBB2;A;B;C",
            }
        ]
    ),
    enrichment=pd.DataFrame(
        [
            {
                "collection": "Hallmark", "term": "E2F_TARGETS", "size": 88, "class": "tumour",
                "effect": 1.25, "p_value": 1e-9, "q_value": 1e-8, "listed": 19,
                "genes": "A B C SETGENE E",
            },
            {
                "collection": "Hallmark", "term": "UNCLEAR_SET", "size": 50, "class": "tumour",
                "effect": 0.1, "p_value": 0.2, "q_value": 0.4, "listed": 0, "genes": np.nan,
            },
        ]
    ),
    stability={"resamples": 20, "methods": {"cnn": {"index": 0.66, "low": 0.6, "high": 0.7}}},
    panel={
        "size": 2, "classes": ["normal", "tumour"], "intercepts": [0, 0.5], "clip": 6.0,
        "features": [
            {
                "gene": "PANELGENE", "channel": "expression", "center": 7.5, "scale": 1.25,
                "weights": [0, -0.75], "cost": 0.02,
            },
        ],
    },
    external=EXTERNAL,
    replication=pd.DataFrame(
        [
            {
                "gene": "TP53", "channel": "expression", "effect_internal": 1.0,
                "effect_external": 0.5, "same_sign": True, "replicated": True,
            }
        ]
    ),
)  # fmt: skip
EMPTY = replace(
    FOUND,
    ranking=FOUND.ranking.head(0),
    summary=SUMMARY
    | {
        "list": {"selected": 0, "genes": 0, "by": {}, "beyond": 0, "associated": 0},
        "stability": dict.fromkeys(["resamples", "index", "low", "high", "mean_size"]),
        "drivers": {},
        "confounders": {"confounders": [], "markers": {}, "notes": []},
    },
    modules=FOUND.modules.head(0),
    two_hits=FOUND.two_hits.head(0),
    regions=FOUND.regions.head(0),
    enrichment=FOUND.enrichment.head(0),
    stability={},
    panel={},
    external={"external": None},
    replication=FOUND.replication.head(0),
)
NAMES = (
    "SFTPC", "TP53", "LOSTGENE", "NEXTGENE", "MIXEDGENE", "DRIVERGENE", "LEADGENE", "TWOHITGENE",
    "SETGENE", "E2F", "NOTLISTED", "ENSG", "PANELGENE",
)  # fmt: skip


class Page(HTMLParser):
    """Visible text, headings in order, and every address that a browser would load or follow."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.labels: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(without_code(html))

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.addresses += [
            (tag, values[name]) for name in ("src", "href", "srcset", "data") if name in values
        ]
        self.ids += [values["id"]] if "id" in values else []
        self.alts += [values["alt"]] if "alt" in values else []
        self.labels += [values["aria-label"]] if "aria-label" in values else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag) -> None:
        if tag in ("td", "th"):
            self.in_cell = False
            self.rows[-1][-1] = self.rows[-1][-1].strip()

    def handle_data(self, data: str) -> None:
        inside = self.tags[-1] if self.tags else ""
        self.text += data
        if inside == "h2" and data.strip():
            self.headings.append(data)
        if self.in_cell:
            self.rows[-1][-1] += data


def render(
    name: str = "luad-keap1", params: dict = PARAMS, found: Findings = FOUND, **changes
) -> str:
    given = {"validation": VALIDATION, "evaluation": EVALUATION, "figures": FIGURES}
    return render_report(name, params, Results(**(given | changes)), found)


def paragraphs(html: str) -> str:
    """The visible text, white space as a browser shows it."""
    return " ".join(Page(html).text.split())


def without_code(html: str) -> str:
    """The page without scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)


def with_summary(**changes) -> Findings:
    return replace(FOUND, summary=SUMMARY | changes)


def test_sections_stand_in_the_promised_order() -> None:
    page = Page(render())
    assert page.headings == [
        "Markers", "Regions", "Panel", "Patients", "Data checks", "Confounders", "Another cohort",
        "Method", "Parameters",
    ]  # fmt: skip
    inner = [address for tag, address in page.addresses if tag == "a" and address[0] == "#"]
    targets = {address.removeprefix("#") for address in inner}
    assert targets <= set(page.ids)


def test_the_page_loads_nothing_and_runs_only_what_its_policy_names() -> None:
    html = render()
    page = Page(html)
    loaded = [address for tag, address in page.addresses if tag != "a"]
    assert len(loaded) == len(FIGURES)
    assert all(address.startswith("data:image/") for address in loaded)
    followed = [address for tag, address in page.addresses if tag == "a"]
    assert all(address.startswith(("https://", "#", CHECKS)) for address in followed)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"<[^>]* (style|on\w+)=", without_code(html))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        codes = re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", html, flags=re.DOTALL)
        assert len(codes) == 2
        for code in codes:
            digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert len(html.encode()) < 2_500_000


def test_everything_from_outside_is_escaped() -> None:
    html = render(
        EVIL,
        {"cohort": {"label": f"column:{EVIL}", "channels": [EVIL]}, EVIL: EVIL},
        evil(FOUND),
        validation={
            EVIL: {EVIL: [EVIL]}, "checks": {EVIL: {"passed": False, "severity": EVIL}},
            "classes": {EVIL: {"samples": 1, "patients": 1}},
        },
        evaluation=EVALUATION | {"verdict": EVIL, "warnings": [EVIL], EVIL: EVIL},
    )  # fmt: skip
    assert "evil.example" in html
    rest = without_code(html)
    assert "<script" not in rest
    assert rest.count("alert(1)") >= 30
    plots = json.loads(re.search(r'id="plots-spec">(.*?)</script>', html, re.DOTALL)[1])
    assert EVIL in plots["data"]["columns"]["gene"]
    kinds = ("data:image/", "#", "https://", CHECKS)
    followed = [address for _, address in Page(rest).addresses]
    assert all(address.startswith(kinds) for address in followed)
    assert not any("<" in address or '"' in address for address in followed)


def evil(found: Findings) -> Findings:
    """Every text of the findings replaced, in frames and at any depth of the mappings."""

    def poisoned(value):
        if isinstance(value, dict):
            return {k: v if k == "claim" else poisoned(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poisoned(v) for v in value]
        return EVIL if isinstance(value, str) else value

    frames = {
        name: frame.map(poisoned).rename(columns={"collection": EVIL})
        for name, frame in vars(found).items()
        if isinstance(frame, pd.DataFrame)
    }
    return replace(
        found,
        **frames,
        summary=poisoned(found.summary),
        external=poisoned(found.external) | {EVIL: {EVIL: [EVIL]}},
        stability={EVIL: {EVIL: EVIL}},
    )


def test_every_figure_is_in_with_its_caption_and_numbers() -> None:
    page = Page(render(curves=CURVES))
    images = [address for tag, address in page.addresses if tag == "img"]
    assert images == [
        f"data:image/{kind};base64,{base64.b64encode(PNG).decode()}"
        for kind in ("png", "png", "svg+xml")
    ]
    assert all(alt.startswith(tuple(CAPTIONS.values())) for alt in page.alts)
    evidence = next(alt for alt in page.alts if alt.startswith(CAPTIONS["evidence"]))
    assert "4 of 1000 are listed; the most evidence is 0.1, of SFTPC" in evidence
    assert page.tags.count("svg") == 4
    assert (
        "Area under the curve in cross-validation and on the test set: the network 0.912, 0.912; "
        "L1 logistic regression 0.912, 0.912; the panel 0.912, 0.912."
    ) in page.labels
    assert any(
        label.startswith("ROC curves; ROC AUC of the network 0.912") for label in page.labels
    )


def test_what_failed_comes_first_and_critical_before_warnings() -> None:
    html = render()
    paths = [
        html.index(text)
        for text in (
            "data check class size failed: 1 of 2 rows",
            "data check batches failed: 1 of 1 rows",
            "few normals",
            "<h2>Data checks</h2>",
        )
    ]
    assert paths == sorted(paths)
    assert "unique ids failed" not in html
    assert "No data check failed" not in html


def test_a_clean_run_says_so() -> None:
    html = render(validation={"checks": {"ids": {"passed": True}}}, evaluation=QUIET)
    assert "No data check failed and there are no warnings." in html


def test_a_check_of_the_external_cohort_is_named_so_and_one_without_a_question_is_no_problem() -> (
    None
):
    failed = {"passed": False, "state": "failed", "severity": "critical"}
    idle = {"passed": None, "state": "not applicable", "severity": "critical"}
    html = render(
        validation={
            "checks": {"ids": idle},
            "label_association": {"batch": None},
            "external": {"checks": {"ids": idle, "profiles": failed}},
        },
        evaluation=QUIET,
    )
    assert "data check profiles of the external cohort failed" in html
    assert "ids failed" not in html
    assert "not applicable" in html


def test_a_lone_warning_in_words_stays_one_warning() -> None:
    html = render(validation={}, evaluation=EVALUATION | {"warnings": "few normals"})
    assert html.count("<b>warning</b>") == 1


def test_the_first_screen_answers_and_compares() -> None:
    html = render(code="0123456789abcdef")
    text = paragraphs(html)
    assert "Does gene expression tell the status of a patient (normal, tumour)?" in text
    assert "Yes: patients whom the network never saw are told apart, AUC 0.912." in text
    assert "200: 100 to develop, 100 held out for the test" in text
    assert "code 01234567" in text
    assert text.index("Yes: patients") < text.index("Against simpler models") < text.index("SFTPC")
    rows = Page(html).rows
    assert [
        "model",
        "cross-validation (n\xa0=\xa0100)",
        "test (n\xa0=\xa0100)",
        "network minus model",
    ] in rows
    auc = "0.912 (0.880 to 0.940)"
    assert ["the network", auc, auc, "\N{EN DASH}"] in rows
    assert ["L1 logistic regression", auc, auc, "+0.012 (-0.010 to +0.030)"] in rows


def test_patients_are_counted_by_class_and_by_what_is_predicted() -> None:
    rows = Page(render()).rows
    assert ["normal", "59", "59", "10", "10"] in rows
    assert ["actual", "predicted normal", "predicted tumour"] in rows
    assert ["tumour", "2", "88"] in rows
    assert "0.25" in paragraphs(render())


def test_simulated_data_are_called_so_and_link_nowhere() -> None:
    cohort = PARAMS["cohort"] | {"source": {"kind": "simulated"}}
    html = render(params=PARAMS | {"cohort": cohort})
    assert "SIMULATED DATA" in html
    followed = [address for tag, address in Page(html).addresses if tag == "a"]
    assert all(address.startswith(("#", CHECKS)) for address in followed)
    assert "SIMULATED DATA" not in render()


def test_columns_are_explained() -> None:
    html = without_code(render())
    assert '<th scope="col" title="share of the resamples of the patients' in html
    assert "<dt>effect (g)</dt>" in html


def test_the_plots_hold_every_gene_and_the_table_says_where_each_lies() -> None:
    html = render()
    plots = json.loads(re.search(r'id="plots-spec">(.*?)</script>', html, re.DOTALL)[1])
    columns = plots["data"]["columns"]
    assert "NOTLISTED" in columns["gene"]
    assert columns["listed"] == [1, 1, 1, 1, 0]
    assert 'data-effect="-3.25" data-evidence="0.1" data-position="22.1569"' in html
    ranking = pd.DataFrame([marker(), marker(chromosome="X", start=5e6), marker(chromosome="Un")])
    position, ends = along_genome(ranking)
    assert ends == {"8": (0, 22.156913), "X": (22.156913, 27.156913)}
    assert position.isna().tolist() == [False, False, True]


TUNING = {
    "best": {"values": {"epochs": 60, "filters": [8, 16]}},
    "trials": [{}] * 50,
    "space": {"folds": 3},
    "samples": 450,
}


@pytest.mark.parametrize("filters", [[8, 16], [8]])
def test_the_page_says_that_the_values_were_tuned_if_they_were(filters: list[int]) -> None:
    settings = PARAMS | {"train": {"epochs": 60, "filters": filters}}
    said = paragraphs(render(params=settings, tuning=TUNING))
    sentence = (
        "The epochs, filters of the CNN were chosen in 50 trials by log loss in 3 folds of the 450 "
        "development samples"
    )
    assert (sentence in said) == (filters == [8, 16])
    assert "Tuning" not in paragraphs(render(params=settings))


def test_each_marker_is_listed_with_what_is_known_of_it() -> None:
    html = render()
    page = Page(html)
    nothing = "\N{EN DASH}"
    assert [
        "SFTPC", "expression", "down in tumour", "-3.25 (-4.00 to -2.50)", "0.02", "95%",
        nothing, "9.5", "8p21.3", nothing, "gene", nothing,
    ] in page.rows  # fmt: skip
    tp53 = next(row for row in page.rows if row[0] == "TP53" and len(row) == 12)
    assert tp53[1:4] == ["mutation", "up in tumour", "-3.25 (-4.00 to -2.50)"]
    assert (tp53[7], tp53[9], tp53[11]) == (nothing, "Vogelstein 2013 (tsg)", "batch (31% left)")
    assert ("a", "https://platform.opentargets.org/target/ENSG00000168484") in page.addresses
    assert not any(row[0] == "NOTLISTED" for row in page.rows)
    assert "4 genes" in paragraphs(html)


def test_links_hold_the_symbol_whatever_its_characters() -> None:
    found = links("TP53", "ENSG00000141510")
    assert "TP53" in found["PubMed"]
    assert found["Open Targets"].endswith("/target/ENSG00000141510")
    odd = links('<"A&B C">')
    assert "search?q=" in odd["Open Targets"]
    assert not any(set(address) & set('<"> ') or "&B" in address for address in odd.values())


def test_a_segment_says_how_it_was_found() -> None:
    rows = {row[0]: row for row in Page(render()).rows if len(row) == 12}
    assert (rows["LOSTGENE"][10], rows["LOSTGENE"][4]) == ("segment LOSTGENE-NEXTGENE", "0.02")
    assert rows["MIXEDGENE"][2] == "no clear shift"
    assert rows["MIXEDGENE"][6] == "TWINA, TWINB and 5 more"


def test_a_long_list_is_cut() -> None:
    long = replace(FOUND, ranking=pd.DataFrame([marker(gene=f"G{i}") for i in range(MOST + 5)]))
    rows = Page(render(found=long)).rows
    assert sum(row[0].startswith("G") and row[1] == "down in tumour" for row in rows) == MOST


def test_where_nothing_is_listed_no_gene_is_named() -> None:
    sizes = SUMMARY["list"] | {"selected": 0, "genes": 0}
    null = SUMMARY["null"] | {"p": 0.2}
    nothing = replace(FOUND, summary=SUMMARY | {"list": sizes, "null": null})
    html = render(found=nothing)
    text = paragraphs(html)
    assert "No markers at q = 0.1: permuted labels give as small a q-value (p = 0.2)" in text
    assert not [name for name in NAMES if name in without_code(html)]
    assert 'id="plots' not in html
    assert "replication" not in text
    page = Page(html)
    assert {alt.split(".")[0] for alt in page.alts} == {
        CAPTIONS[name] for name in set(FIGURES) - OF_GENES
    }
    # what tells how the search fared stays
    said = "4 rows were listed with the labels as they are. That permuted labels give as small a "
    assert said + "q-value: p = 0.2." in text
    row = ["batch", "category", "400", "0.55", "1e-09", "0.2", "0.01", "0.8", "3", "1"]
    assert row in page.rows


def test_every_name_that_a_refusal_hides_is_on_the_page_otherwise() -> None:
    html = without_code(render())
    assert not [name for name in NAMES if name not in html]


@pytest.mark.parametrize("verdict", ["no signal", "inconclusive"])
def test_a_list_beside_a_model_that_shows_nothing_says_so(verdict: str) -> None:
    note = "that the model tells held-out patients apart was not shown"
    text = paragraphs(render(evaluation=EVALUATION | {"verdict": verdict}))
    assert note in text
    assert "SFTPC" in text
    assert note not in paragraphs(render())


@pytest.mark.parametrize("listed", [0, 4])
def test_groups_of_genes_are_told_of_beside_a_list_and_without_one(listed: int) -> None:
    groups = [{"n": 12, "first": ["TOGETHERA", "TOGETHERB"], "q": 0.01}]
    sizes = SUMMARY["list"] | {"selected": listed, "genes": listed}
    found = replace(FOUND, summary=SUMMARY | {"list": sizes, "groups": groups})
    text = paragraphs(render(found=found))
    assert "Together. 12 genes that move together tell of the label what all" in text
    assert "(q = 0.01); which of them, these data do not say: TOGETHERA TOGETHERB, …" in text
    assert "Together." not in paragraphs(render())


def test_a_list_of_more_than_a_fifth_is_called_a_shift() -> None:
    long = SUMMARY | {"list": SUMMARY["list"] | {"selected": 201}}
    text = paragraphs(render(found=replace(FOUND, summary=long)))
    assert "a shift of the whole cohort rather than a list" in text
    assert "a shift of the whole cohort" not in paragraphs(render())


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_page_says_what_a_marker_has_shown_and_gives_the_q_of_it(claim: str) -> None:
    html = render(found=with_summary(claim=claim))
    other = next(text for name, text in CLAIMS.items() if name != claim)
    said = f"A gene, segment or arm that is listed by itself {CLAIMS[claim]}."
    assert said in paragraphs(html)
    assert other not in paragraphs(html)
    row = next(row for row in Page(html).rows if row[0] == "SFTPC")
    assert row[4] == {"beyond": "0.02", "associated": "0.01"}[claim]


def test_repeated_samples_of_a_patient_are_named_beside_the_list() -> None:
    text = paragraphs(render(found=with_summary(repeated_samples=12)))
    assert "Further samples of a patient in the same class: 12." in text
    assert "Repeated samples" not in paragraphs(render())


def test_error_rate_null_and_stability_are_stated() -> None:
    text = paragraphs(render())
    assert "is set to q = 0.1: at most 10% of them are false, on average over cohorts" in text
    assert "a test of its own (of what no other candidate of its channel says, beside what" in text
    assert "permuted 19 times the list was empty 18 times; 4 rows were listed" in text
    assert "p = 0.05. The smallest p that so many permutations can give is 0.05." in text
    assert "over 20 resamples of the patients: 0.7 (0.6 to 0.8), with 3.5 rows" in text
    assert "Nothing here shows a cause." in text


def test_modules_two_hits_sets_and_drivers_have_their_tables() -> None:
    page = Page(render())
    assert ["M1", "30", "LEADGENE SFTPC", "tumour", "1.5", "0.001", "0.01"] in page.rows
    assert ["TWOHITGENE", "tumour", "1.5", "0.001", "0.01"] in page.rows
    assert "1 of 12 tested, with their own q" in paragraphs(render())
    row = [
        "Hallmark",
        "E2F_TARGETS",
        "88",
        "tumour",
        "1.25",
        "1e-09",
        "1e-08",
        "19",
        "A B CSETGENE E",
    ]
    assert row in page.rows
    assert "UNCLEAR_SET" not in page.text
    assert ["genes", "DRIVERGENE"] in page.rows
    assert "1 of 4 markers are explained mostly by batch." in page.text


def test_regions_are_shown_with_or_without_a_marker_list() -> None:
    row = ["tumour", "gain", "17q12", "2", "focal", "0.25", "0.05", "0.005", "0.4"]
    for found in (FOUND, replace(EMPTY, regions=FOUND.regions)):
        page = Page(render(found=found))
        assert [*row, "0.375", "ERBB2 A B C"] in page.rows
        assert f"{CAPTIONS['regions']}. Regions that stand out: 1." in page.alts
    none = Page(render(found=replace(FOUND, regions=FOUND.regions.head(0))))
    assert "This cohort has no copy number." in none.text
    assert not any(CAPTIONS["regions"] in alt for alt in none.alts)


def test_planted_truth_is_shown_where_there_is_one() -> None:
    truth = {"fdp": 0.08, "power": 0.5, "judged": 25, "false": 2, "planted": 46, "found": 23}
    page = Page(render(found=with_summary(truth=truth, recovery={"cnn": {"auprc": 0.7}})))
    assert (
        "Of 25 listed rows that are right or wrong for certain 2 are false; 23 of 46" in page.text
    )
    assert "planted" not in Page(render()).text


def test_the_external_cohort_is_shown_or_said_to_be_missing() -> None:
    page = Page(render(figures=FIGURES))
    assert [
        "this cohort, all genes, test",
        "0.900 (0.800 to 0.950)",
        "0.900 (0.800 to 0.950)",
    ] in page.rows
    assert ["replication", "0.900 (0.800 to 0.950)"] in page.rows
    assert ["TP53", "expression", "1", "0.5", "yes", "yes"] in page.rows
    told = "Effects of the listed markers here and in the independent cohort: 1 of 1 replicate, "
    assert told + "1 have the same sign." in page.labels
    none = replace(FOUND, external={"external": None}, replication=FOUND.replication.head(0))
    alone = Page(render(found=none))
    assert "No independent cohort is named" in alone.text
    assert not any("independent cohort" in label for label in alone.labels)


def test_missing_results_leave_gaps_not_errors() -> None:
    html = render(validation={}, evaluation={}, found=EMPTY, params={}, figures={})
    assert "No verdict: the model was not evaluated." in html
    assert html.count("Nothing was reported.") == 4
    assert "No markers at q = 0.1" in paragraphs(render(found=EMPTY))


@pytest.mark.parametrize("found", [FOUND, EMPTY], ids=["full", "empty"])
def test_the_command_makes_the_page_from_the_files_of_its_stage(
    found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path, "luad-keap1")
    write_parquet(paths.data("ranking.parquet"), found.ranking)
    for name in ("modules", "two_hits", "regions", "enrichment", "replication"):
        file = {"replication": "external"}.get(name, name)
        write_csv(paths.report(f"{file}.csv"), getattr(found, name))
    for name in ("roc", "pr", "calibration"):
        write_csv(paths.report(f"{name}.csv"), CURVES["roc"].head(0))
    write_json(paths.report("provenance/biomarkers.json"), {"inputs": {"src": "0123456789abcdef"}})
    for name, content in {
        "validation": VALIDATION, "evaluation": EVALUATION,
        "biomarkers": found.summary, "stability": found.stability, "external": found.external,
    }.items():  # fmt: skip
        write_json(paths.report(f"{name}.json"), content)
    write_json(paths.model("panel.json"), found.panel)
    for name, figure in OF_STAGES.items():
        write_bytes(paths.report(f"figures/{figure.stage}/{name}.{figure.kind}"), PNG)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    files = {str(path.parent if path.suffix in (".png", ".svg") else path) for path in made}
    params = read_params(ROOT / "params.yaml")
    if found is FOUND:  # not a stage's file: there when somebody tuned
        best = {"values": {"kernel": params.train.kernel}}
        write_json(paths.report("tuning.json"), TUNING | {"best": best})
    monkeypatch.setattr(command, "write_card", lambda *_, **__: None)  # see test_card.py
    command.run(paths, params)
    text = paragraphs(paths.report("report.html").read_text(encoding="utf-8"))
    assert ("TP53" in text) == ("kernel of the CNN were chosen" in text) == (found is FOUND)
    assert "has a test of its own" in text
    assert not {"nan", "None"} & set(text.split())
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    needed = {dep.replace("${key}", "luad-keap1") for dep in stages["report"]["do"]["deps"]}
    assert files <= needed


def test_the_same_results_give_the_same_page() -> None:
    assert render(curves=CURVES) == render(curves=CURVES)


def test_mappings_of_like_keys_share_a_table_and_others_do_not() -> None:
    alike = tabulate("", {"a": {"x": 1, "y": 2}, "b": {"x": 3}})
    assert alike.children[0].columns == ["", "x", "y"]
    assert alike.children[0].rows == [["a", "1", "2"], ["b", "3", "\N{EN DASH}"]]
    other = tabulate("", {"a": {"x": 1, "y": 2}, "b": {"p": 3, "q": 4, "r": 5}})
    assert [child.title for child in other.children] == ["a", "b"]


def test_an_interval_among_other_entries_is_one_cell() -> None:
    scores = {"index": 0.8147, "low": 0.8, "high": 0.829, "mean_size": 50.0}
    table = tabulate("", {"cnn": scores, "t_test": scores}).children[0]
    assert table.columns == ["", "index", "mean size"]
    assert table.rows[0] == ["CNN", "0.815 (0.800 to 0.829)", "50"]
    shares = {"value": 0.5, "low": 0.4, "high": 0.6, "p_value": 0.01}
    table = tabulate("", {"replication": shares, "direction": shares}).children[0]
    assert table.rows[0] == ["replication", "0.500 (0.400 to 0.600)", "0.01"]


def test_deep_and_odd_values_keep_their_content() -> None:
    table = tabulate("", {"a": {"b": {"c": [{"d": 1}, {"d": 2}]}}, "empty": {}, "none": None})
    assert table.rows == [["empty", "\N{EN DASH}"], ["none", "\N{EN DASH}"]]
    deepest = table.children[0].children[0].children[0]
    assert (deepest.title, deepest.children[0].rows) == ("c", [["1", "1"], ["2", "2"]])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"), (np.bool_(False), "no"), (1234567, "1234567"), (np.int64(3), "3"),
        (0.000123456, "0.000123"), (12345.6, "12346"),
        (np.float32(0.5), "0.5"), (float("nan"), "\N{EN DASH}"),
        ([], "\N{EN DASH}"), ([100, 100], "100, 100"), ([[5, 1], [0, 7]], "[5, 1], [0, 7]"),
        ("", "\N{EN DASH}"), (["one note", "another"], "one note\nanother"),
        ({"low": 0.1, "high": 0.2}, "0.100 to 0.200"),
        ({"value": 1, "low": 1, "high": 1}, "1 (none: no draw moved it)"),
        ({"value": 0.5, "low": float("nan"), "high": float("nan")}, "0.500"),
    ],
)  # fmt: skip
def test_values_are_short_and_readable(value: object, text: str) -> None:
    assert cell(value) == text


def test_the_stage_starts_without_heavy_libraries() -> None:
    heavy = {"tensorflow", "keras", "sklearn", "scipy", "matplotlib", "great_expectations"}
    program = f"import sys, oncopixel.stages.report; print({heavy!r} & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout.strip() == "set()", told.stderr
