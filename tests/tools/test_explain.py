"""What moved a score: exact for a linear network, and adding up for any other."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from oncopixel.core.params import PreprocessParams
from oncopixel.images.preprocessor import Preprocessor
from oncopixel.tools.explain import AVERAGE, OTHERS, SCORE, SHOWN, explain_samples

SETTINGS = PreprocessParams(
    normalise="auto", min_expressed_fraction=0.2, genes="all", clip=6.0,
    mutation_encoding="binary", layout="genomic", seed=1,
)  # fmt: skip
CHANNELS = ["expression", "copy_number"]


def preprocessor(n_classes: int = 2) -> Preprocessor:
    """30 genes along two bands of chromosome 17."""
    genes = pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(30)], "ensembl_id": "", "chromosome": "17",
            "start": [7_700_000 + 1_000 * i if i < 15 else 39_700_000 + i for i in range(30)],
            "row": np.arange(30) // 6, "col": np.arange(30) % 6,
        }
    )  # fmt: skip
    return Preprocessor(genes, CHANNELS, (5, 6), "log2", ["a", "b", "c"][:n_classes], SETTINGS)


def network(n_classes: int, *, curved: bool) -> keras.Model:
    keras.utils.set_random_seed(1)
    images = keras.Input((5, 6, 2))
    x = layers.Flatten()(images)
    if curved:
        x = layers.Dense(6, activation="relu")(x)
    x = layers.Dense(n_classes, bias_initializer=keras.initializers.RandomNormal(seed=2))(x)
    return keras.Model(images, layers.Reshape((1, n_classes))(x))


def draw(n: int = 5) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 30, 2)).astype(np.float32)


SAMPLES = pd.Index([f"S{i}" for i in range(5)])


def test_a_linear_score_is_shared_out_exactly_and_copy_number_by_band() -> None:
    pre, model, values = preprocessor(), network(2, curved=False), draw()
    table, error = explain_samples(model, pre, values, SAMPLES, np.full((5, 2), 0.5))
    kernel = model.layers[-2].get_weights()[0]
    weight = (kernel[:, 1] - kernel[:, 0]).reshape(30, 2)
    first = table[table["sample"] == "S3"]
    own = first.set_index(["channel", "name"])["contribution"]
    expression = own["expression"]
    for name, contribution in expression.items():
        gene = int(str(name)[1:])
        assert contribution == pytest.approx(weight[gene, 0] * values[3, gene, 0], rel=1e-3)
    bands = {"17p13.1": slice(0, 15), "17q12": slice(15, 30)}
    shared = weight[:, 1] * values[3, :, 1]
    for name, contribution in own["copy_number"].items():
        assert contribution == pytest.approx(shared[bands[str(name)]].sum(), rel=1e-3)
    assert set(own["copy_number"].index) == set(bands)
    assert (first["class"] == "b").all()
    assert error < 1e-4


@pytest.mark.parametrize("n_classes", [2, 3])
def test_contributions_add_up_to_the_score(n_classes: int) -> None:
    pre, model, values = preprocessor(n_classes), network(n_classes, curved=True), draw()
    p = np.eye(n_classes)[[0, 1, 0, 1, n_classes - 1]]
    table, error = explain_samples(model, pre, values, SAMPLES, p)
    assert error < 0.05
    for sample, rows in table.groupby("sample"):
        by_name = rows.set_index("name")["contribution"]
        total = by_name.drop(SCORE).sum()
        assert total == pytest.approx(by_name[SCORE], abs=0.05 * max(1, abs(by_name[SCORE])))
        listed = by_name.drop([OTHERS, AVERAGE, SCORE]).abs()
        assert len(listed) == SHOWN
        assert listed.is_monotonic_decreasing
        expected = "b" if n_classes == 2 else "abc"[p[int(str(sample)[1:])].argmax()]
        assert set(rows["class"]) == {expected}
