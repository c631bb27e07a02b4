"""The few numbers of a cohort to watch: what DVC lists beside each other."""

from collections.abc import Mapping
from typing import Any

from .verdict import CNN


def summarise(
    evaluation: Mapping[str, Any],
    biomarkers: Mapping[str, Any],
    external: Mapping[str, Any],
    panel: Mapping[str, Any],
) -> dict[str, Any]:
    """Numbers with three decimals by short key; what a cohort does not have is None.

    Returns
    -------
    `verdict`; areas under the ROC curve `cv` and `test` of the network, `simple` (cv of the best
    simpler model), `diff` (cv of the network less that), `panel` (cv) and `external`; `genes`
    listed, and `stable`, Nogueira's index of their list.
    """
    best = evaluation.get("best_baseline")
    models = evaluation["models"]

    def auc(model: str, part: str = "cv") -> Any:
        return models.get(model, {}).get(part, {}).get("roc_auc", {}).get("value")

    scores = external.get("scores") or {}
    found = {
        "cv": auc(CNN),
        "test": auc(CNN, "test"),
        "simple": auc(str(best)),
        "diff": evaluation["cnn_minus"].get(best, {}).get("cv", {}).get("roc_auc", {}).get("value"),
        "panel": auc(f"panel_{panel.get('size')}"),
        "genes": biomarkers.get("list", {}).get("genes"),
        "stable": biomarkers.get("stability", {}).get("index"),
        "external": scores.get("external", {}).get("roc_auc", {}).get("value"),
    }
    return {"verdict": evaluation["verdict"]} | {
        key: n if n is None else round(n, 3) for key, n in found.items()
    }
