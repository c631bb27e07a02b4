"""The results table of docs/tumours.md: TCGA-LUAD tasks, the network and baselines.

    python benchmarks/results.py              # prints the table from experiments that ran before
    python benchmarks/results.py --run        # runs them first: `dvc exp run --temp`, one per task

Needs the project's environment on PATH (`source .venv/bin/activate`).
"""

import argparse
import json
import subprocess

import dvc.api
from tables import markdown

TASKS = {"tumour / normal": "sample_type"} | {
    f"*{gene}* mutated": f"mutation:{gene}" for gene in ("TP53", "KRAS", "EGFR", "STK11", "KEAP1")
}
BASELINES = {
    "logistic_l1_adjusted": "L1, adjusted features",
    "logistic_l1": "L1",
    "logistic_l2": "L2",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "gradient_boosting": "XGBoost",
    "clinical": "clinical",
}


def run(label: str) -> None:
    """Runs the experiment of this label beside the workspace, which stays as it is."""
    entry = "cohorts.luad-keap1"
    changes = ["-S", f"{entry}.label={label}"]
    if label == "sample_type":
        changes += ["-S", f"{entry}.sample_types=['01','02','11']"]
    command = ["dvc", "exp", "run", "--temp", "-f", "-n", experiment(label), *changes]
    subprocess.run([*command, "evaluate@luad-keap1"], check=True)


def experiment(label: str) -> str:
    """Its name."""
    return f"luad-{label.rpartition(':')[2].replace('_', '-').lower()}"


def interval(score: dict[str, float], sign: str = "") -> str:
    return f"{score['value']:{sign}.3f} [{score['low']:{sign}.3f}, {score['high']:{sign}.3f}]"


def row(task: str, rev: str) -> list[str]:
    detail, panel = (
        json.loads(dvc.api.read(f"{name}.json", rev=rev))
        for name in ("reports/luad-keap1/evaluation", "models/luad-keap1/panel")
    )
    models, best = detail["models"], detail["best_baseline"]
    small = models[f"panel_{panel['size']}"]
    return [
        task,
        interval(models["cnn"]["cv"]["roc_auc"]),
        f"{BASELINES[best]} {models[best]['cv']['roc_auc']['value']:.3f}",
        interval(detail["cnn_minus"][best]["cv"]["roc_auc"], "+"),
        interval(models["cnn"]["test"]["roc_auc"]),
        f"{models[best]['test']['roc_auc']['value']:.3f}",
        f"{panel['size']}: {small['cv']['roc_auc']['value']:.3f}, "
        f"{small['test']['roc_auc']['value']:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="run the experiments first")
    if parser.parse_args().run:
        for label in TASKS.values():
            run(label)
    header = ["predicted", "network, cv", "best, cv", "network - best, cv"]
    header += ["network, test", "best, test", "panel: cv, test"]
    rows = [row(task, experiment(label)) for task, label in TASKS.items()]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
