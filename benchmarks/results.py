"""The README's results table: every TCGA-LUAD task by the network and baselines, as experiments.

    python benchmarks/results.py              # prints the table from experiments that ran before
    python benchmarks/results.py --run        # runs them first: `dvc exp run --temp`, one per task

Needs the project's environment on PATH (`source .venv/bin/activate`).
"""

import argparse
import json
import subprocess

import dvc.api
from tables import markdown

GENES = ("TP53", "KRAS", "EGFR", "STK11", "KEAP1")
BASELINES = {
    "logistic_l1_adjusted": "L1, adjusted features",
    "logistic_l1": "L1",
    "logistic_l2": "L2",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "gradient_boosting": "XGBoost",
}


def run(gene: str) -> None:
    """Runs the experiment `luad-<gene>` beside the workspace, which stays as it is."""
    label = f"cohorts.tcga-luad.label=mutation:{gene}"
    command = ["dvc", "exp", "run", "--temp", "-f", "-n", f"luad-{gene.lower()}", "-S", label]
    subprocess.run([*command, "evaluate@tcga-luad"], check=True)


def interval(score: dict[str, float], sign: str = "") -> str:
    return f"{score['value']:{sign}.3f} [{score['low']:{sign}.3f}, {score['high']:{sign}.3f}]"


def row(task: str, rev: str | None) -> list[str]:
    text = dvc.api.read("reports/tcga-luad/evaluation.json", rev=rev)
    detail = json.loads(text)
    models, best = detail["models"], detail["best_baseline"]
    return [
        task,
        interval(models["cnn"]["cv"]["roc_auc"]),
        f"{BASELINES[best]} {models[best]['cv']['roc_auc']['value']:.3f}",
        interval(detail["cnn_minus"][best]["cv"]["roc_auc"], "+"),
        interval(models["cnn"]["test"]["roc_auc"]),
        f"{models[best]['test']['roc_auc']['value']:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="run the experiments first")
    if parser.parse_args().run:
        for gene in GENES:
            run(gene)
    header = ["predicted", "network, cv", "best, cv", "network - best, cv"]
    header += ["network, test", "best, test"]
    rows = [row("tumour / normal", None)]
    rows += [row(f"*{gene}* mutated", f"luad-{gene.lower()}") for gene in GENES]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
