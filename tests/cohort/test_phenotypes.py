"""Phenotypes among the genes, by their names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.cohort import genes
from oncopixel.cohort.phenotypes import refuse_phenotypes
from oncopixel.core.errors import SourceError

WELL_KNOWN = (
    "futime fustat OS OS.time OS_MONTHS osTime OStime OS_STATUS overall_survival "
    "OverallSurvival DFS DFS_STATUS PFI.time RFS.Event t.dmfs e.dmfs dmfs.time event.rfs "
    "time.rfs cens fu.time survival_time SurvivalMonths survivalTime Surv_Time age Age AGE "
    "age_at_diagnosis age.years gender Gender SEX sex stage Stage "
    "ajcc_pathologic_stage.diagnoses pathologic_stage tumor_stage grade Grade status "
    "vital_status vitalStatus time Time TIME event days_to_death days_to_last_follow_up Dead "
    "TNM pT N M pathologic_T path_M_stage age_at_initial_pathologic_diagnosis recurrence risk "
    "riskScore group cluster label response treatment smoker smoking_history sample_id patient "
    "type cancer_type y futime.x gleason_score subtype_pam50 race RACE "
)

REAL = [
    "T",
    "HR",
    "MAX",
    "SET",
    "EFS",
    "MSI1",
    "AGER",
    "TIMELESS",
    "STAT3",
    "EGR1",
    "MS4A1",
    "IDH1",
]


@pytest.mark.parametrize("name", WELL_KNOWN.split())
def test_a_well_known_phenotype_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match=rf"m.csv: 1 of its genes .* {re.escape(repr(name))}\."):
        refuse_phenotypes(["TP53", name, "KRAS"], [], "m.csv")


def test_no_symbol_no_ensembl_id_and_no_gene_of_the_mouse_is_a_phenotype() -> None:
    later = genes._aliases().query("kind == 'later symbol'")["name"]
    names = [*REAL, *genes.table().index, *genes.table()["ensembl_id"], *later, "Efs", "Msi1"]
    refuse_phenotypes([*names, "ENSG00000141510.16", "LOC100130426", "hsa-mir-21"], [], "m.csv")


def test_few_other_names_of_genes_are_phenotypes() -> None:
    refused = set()
    for name in genes._aliases().query("kind != 'later symbol'")["name"]:
        try:
            refuse_phenotypes([name], [], "m.csv")
        except SourceError:
            refused.add(name)
    assert refused == {"ARM", "DSS", "RACE", "SEX", "STAT", "TNM", "TYPE"}


@given(
    st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), min_size=1, max_size=3),
    st.sampled_from(["_", ".", " ", "-", ""]),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
)
def test_a_column_of_the_sheet_is_no_gene_however_it_is_written(words, between, case) -> None:  # type: ignore[no-untyped-def]
    column = "_".join(["mark", *words])
    key = case(between.join(["mark", *words]))
    with pytest.raises(SourceError, match="phenotypes by their names"):
        refuse_phenotypes(["TP53", key], ["arm", column], "m.csv")


@pytest.mark.parametrize("gene", ["TP53", "tp53", "HER2", "PDL1", "ENSG00000141510"])
def test_a_sheet_may_have_a_column_for_a_gene(gene: str) -> None:
    refuse_phenotypes(["KRAS", gene], [gene, gene.upper(), "arm"], "m.csv")


@pytest.mark.parametrize("key", ["futime|0", "age (years)", "OS.time (1)"])
def test_what_follows_the_name_makes_it_no_gene(key: str) -> None:
    refuse_phenotypes(["T|6862", "EFS (10278)"], [], "m.csv")
    with pytest.raises(SourceError, match="phenotypes by their names"):
        refuse_phenotypes(["TP53|7157", key], [], "m.csv")
