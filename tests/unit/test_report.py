"""The report page: self-contained, escaped, failures first, tolerant of what the results hold."""

import base64
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from oncopixel.report import CAPTIONS, cell, render_report, tabulate

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
EVIL = '<script src="https://evil.example/x.js">alert(1)</script>'

METRICS = {
    "cv": {
        "cnn": {"auc": 0.91234, "auc_low": 0.88, "auc_high": 0.94, "brier": 0.1},
        "logistic_l1": {"auc": 0.9, "auc_low": 0.86, "auc_high": 0.93},
    },
    "threshold": 0.5,
}
VALIDATION = {
    "n_samples": 576,
    "classes": {"normal": {"samples": 59, "patients": 59}, "tumour": {"samples": 517}},
    "checks": {
        "batches": {"passed": False, "severity": "warning", "failed_rows": 1, "rows": 1},
        "class_size": {"passed": False, "severity": "critical", "failed_rows": 1, "rows": 2},
        "unique_ids": {"passed": True, "severity": "critical", "failed_rows": 0, "rows": 576},
    },
}
GENES = pd.DataFrame(
    {
        "rank": [1, 2, 3],
        "gene": ["SFTPC", "TP53", "NKX2-1"],
        "score": [1.23456, 0.5, np.nan],
        "class": ["normal", "tumour", None],
    }
)


class Page(HTMLParser):
    """Visible text, headings in order, and every address that a browser would load or follow."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.addresses += [
            (tag, values[name]) for name in ("src", "href", "srcset", "data") if name in values
        ]
        self.ids += [values["id"]] if "id" in values else []
        self.alts += [values["alt"]] if "alt" in values else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        inside = self.tags[-1] if self.tags else ""
        self.text += data
        if inside == "h2" and data.strip():
            self.headings.append(data)
        if inside in ("td", "th") and data.strip():
            self.rows[-1][-1] += data


def render(**changes) -> str:
    given = {
        "cohort_name": "tcga-luad",
        "params": {"train": {"epochs": 60}, "split": {"folds": 5, "group_by": "patient"}},
        "validation": VALIDATION,
        "metrics": METRICS,
        "evaluation": {"verdict": "signal", "warnings": ["few normals"], "folds": [0.9, 0.8]},
        "biomarkers": GENES,
        "marker_summary": {"top": 2, "stability": {"index": 0.7, "low": 0.6, "high": 0.8}},
        "figures": {"roc": PNG, "extra_plot": SVG},
    }
    return render_report(**(given | changes))


def test_sections_stand_in_the_promised_order() -> None:
    page = Page(render())
    assert page.headings == [
        "Verdict", "Performance", "Figures", "Top genes", "Data checks", "Parameters", "Limits",
    ]  # fmt: skip
    targets = {address.removeprefix("#") for tag, address in page.addresses if tag == "a"}
    assert targets <= set(page.ids)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render()
    page = Page(html)
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for _, address in page.addresses)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_everything_from_outside_is_escaped() -> None:
    html = render(
        cohort_name=EVIL,
        params={EVIL: EVIL},
        validation={EVIL: {EVIL: [EVIL]}, "checks": {EVIL: {"passed": False, "severity": EVIL}}},
        metrics={"cv": {EVIL: {EVIL: 1}, "b": {EVIL: EVIL}}},
        evaluation={"verdict": EVIL, "warnings": [EVIL], EVIL: EVIL},
        biomarkers=pd.DataFrame({EVIL: [EVIL]}),
        marker_summary={EVIL: {EVIL: {EVIL: EVIL}}},
        figures={EVIL: PNG, f'" onerror="{EVIL}': PNG},
    )
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert page.text.count("alert(1)") >= 12
    assert all(address.startswith(("data:image/", "#")) for _, address in page.addresses)


def test_every_figure_is_in_with_its_kind_and_a_caption() -> None:
    page = Page(render())
    images = [address for tag, address in page.addresses if tag == "img"]
    assert images == [
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "data:image/svg+xml;base64," + base64.b64encode(SVG).decode(),
    ]
    assert page.alts == [CAPTIONS["roc"], "extra plot"]


def test_a_figure_of_another_kind_is_a_bug() -> None:
    with pytest.raises(ValueError, match="'roc' is neither PNG nor SVG"):
        render(figures={"roc": b"GIF89a"})


def test_what_failed_comes_first_and_critical_before_warnings() -> None:
    html = render()
    places = [
        html.index(text)
        for text in (
            "data check class size failed: 1 of 2 rows",
            "data check batches failed: 1 of 1 rows",
            "few normals",
            "<h2>Data checks</h2>",
        )
    ]
    assert places == sorted(places)
    assert "unique ids failed" not in html
    assert "No data check failed" not in html


def test_a_clean_run_says_so() -> None:
    html = render(
        validation={"checks": {"ids": {"passed": True}}}, evaluation={"verdict": "signal"}
    )
    assert "No data check failed and there are no warnings." in html


def test_a_lone_warning_in_words_stays_one_warning() -> None:
    html = render(validation={}, evaluation={"verdict": "signal", "warnings": "few normals"})
    assert html.count("<b>warning</b>") == 1


def test_the_cnn_stands_beside_the_baselines_with_intervals() -> None:
    rows = Page(render()).rows
    assert ["", "auc", "brier"] in [[h.lower() for h in row] for row in rows]
    assert ["CNN", "0.9123 (0.88 to 0.94)", "0.1"] in rows
    assert ["logistic L1", "0.9 (0.86 to 0.93)", "\N{EN DASH}"] in rows
    assert ["stability", "0.7 (0.6 to 0.8)"] in rows


def test_only_the_top_genes_are_listed() -> None:
    page = Page(render())
    assert ["1", "SFTPC", "1.235", "normal"] in page.rows
    assert ["2", "TP53", "0.5", "tumour"] in page.rows
    assert "NKX2-1" not in page.text
    assert "The first 2; biomarkers.csv has more." in page.text


def test_missing_results_leave_gaps_not_errors() -> None:
    html = render(
        validation={}, metrics={}, evaluation={}, biomarkers=pd.DataFrame(), marker_summary={},
        params={}, figures={},
    )  # fmt: skip
    assert "No verdict: the model was not evaluated." in html
    assert "No figure was made." in html
    assert html.count("Nothing was reported.") == 4


def test_a_verdict_with_parts_becomes_a_table() -> None:
    html = render(
        evaluation={"verdict": {"signal": True, "auc": {"value": 0.9, "low": 0.8, "high": 1}}}
    )
    assert ["signal", "yes"] in Page(html).rows
    assert ["AUC", "0.9 (0.8 to 1)"] in Page(html).rows


def test_the_same_results_give_the_same_page() -> None:
    assert render() == render()


def test_mappings_of_like_keys_share_a_table_and_others_do_not() -> None:
    alike = tabulate("", {"a": {"x": 1, "y": 2}, "b": {"x": 3}})
    assert alike.children[0].columns == ["", "x", "y"]
    assert alike.children[0].rows == [["a", "1", "2"], ["b", "3", "\N{EN DASH}"]]
    other = tabulate("", {"a": {"x": 1, "y": 2}, "b": {"p": 3, "q": 4, "r": 5}})
    assert [child.title for child in other.children] == ["a", "b"]


def test_deep_and_odd_values_keep_their_content() -> None:
    table = tabulate("", {"a": {"b": {"c": [{"d": 1}, {"d": 2}]}}, "empty": {}, "none": None})
    assert table.rows == [["empty", "\N{EN DASH}"], ["none", "\N{EN DASH}"]]
    deepest = table.children[0].children[0].children[0]
    assert (deepest.title, deepest.children[0].rows) == ("c", [["1", "1"], ["2", "2"]])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"), (np.bool_(False), "no"), (1234567, "1234567"), (np.int64(3), "3"),
        (0.000123456, "0.0001235"), (np.float32(0.5), "0.5"), (float("nan"), "\N{EN DASH}"),
        ([], "\N{EN DASH}"), ([100, 100], "100, 100"), ([[5, 1], [0, 7]], "[5, 1], [0, 7]"),
        ("", "\N{EN DASH}"), (["one note", "another"], "one note\nanother"),
        ({"low": 0.1, "high": 0.2}, "0.1 to 0.2"),
    ],
)  # fmt: skip
def test_values_are_short_and_readable(value: object, text: str) -> None:
    assert cell(value) == text
