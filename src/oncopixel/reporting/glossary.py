"""What the columns of the page's tables say, for whoever hovers over them."""

from ..evaluation.definitions import DEFINITIONS
from ..pages.texts import words

COLUMNS = {
    "gene": "the gene's current symbol; a link goes to its page at Open Targets",
    "channel": "what was measured: expression, copy number or mutation",
    "direction": "whether it is higher (up) or lower (down) in the class than in the others",
    "effect (g)": "Hedges' g with its 95% interval: the difference between the classes in standard "
    "deviations; 0.2 is small, 0.8 large",
    "effect": "the difference between the classes in standard deviations (Hedges' g)",
    "evidence": "-log10 p of what the list claims",
    "level (log2)": "mean log2 expression: a gene that is hardly expressed is hard to measure",
    "moves with": "genes that correlate with it by 0.8 or more, of either sign, the most alike "
    "first: it may be one of these that counts",
    "band": "cytogenetic band",
    "driver": "a known cancer driver, and the list that says so",
    "found by": "whether the gene was found by itself, or with its segment or chromosome arm",
    "q": "smallest false-discovery rate of a list that holds it",
    "q value": "smallest false-discovery rate at which it is found",
    "p value": "chance of a difference like this or larger if there is none",
    "p": "chance of an association like this or a stronger one if there is none",
    "chosen by": "share of the resamples of the patients whose list has it",
    "confounder": "what else explains most of its difference between the classes",
    "cost of leaving it out (log loss)": "how much worse the panel gets without it",
    "center": "mean of the development patients, which is taken off the value",
    "scale": "standard deviation of the development patients; values are divided by it",
    "weight": "what one standard deviation adds to the log odds of the class",
    "network minus model": "difference in AUC, in cross-validation; above 0 the network is better",
    "of the score left": "share of the score's difference between classes with this held fixed",
    "with the label": "strength of the association with the label, 0 to 1",
    "with the score": "strength of the association with the network's score, -1 to 1",
    "markers that go with it": "listed rows that are associated with it",
    "markers it explains": "listed rows whose difference it explains by more than half",
    "frequency": "share of the class with the gain or loss",
    "frequency others": "share of the other patients with it",
    "attribution": "what the region adds to the network's output in the class (logits)",
    "deletion": "what the network's output loses without it (logits)",
    "extent": "focal, or as long as an arm or a chromosome",
    "listed": "how many of its genes are on the list",
    "size": "number of its genes that were measured",
    "index": "Nogueira's index: 1 is the same list every time, 0 is chance",
    "replicated": "same direction in the other cohort, with a q of at most 0.1 there",
    "effect internal": "Hedges' g in this cohort",
    "effect external": "Hedges' g in the independent cohort",
}


def explained(column: str) -> str:
    """What the column says; nothing where its name tells all."""
    return COLUMNS.get(column) or _SCORES.get(column, "")


_SCORES = {words(name): text for name, text in DEFINITIONS.items()}
