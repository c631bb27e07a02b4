"""What every number of an evaluation is; it travels with the results."""

DEFINITIONS = {
    "cv": "out-of-fold predictions of the development samples. roc_auc and pr_auc are means over "
    "folds, since pooling would rank samples of different fits together (Forman & Scholz 2010); "
    "the other scores and the curves pool the folds. With several repeats the mean of the repeats' "
    "scores. Scores at a threshold are slightly optimistic here, where the threshold was chosen",
    "test": "held-out patients, predicted once by the model fitted on all development samples",
    "threshold": "of each model, for two classes: the midpoint between neighbouring out-of-fold "
    "probabilities that maximises Youden's J = sensitivity + specificity - 1; of equals the one "
    "nearest to 0.5. With more classes the most probable class is predicted. The CNN's out-of-fold "
    "probabilities come from `train.cv_members` members per fold, those of the test set from "
    "`train.members`",
    "roc_auc": "area under the ROC curve; for more than two classes the mean of one class against "
    "the rest",
    "pr_auc": "average precision, averaged over classes as roc_auc is",
    "sensitivity": "recall of the positive class; for more than two classes the mean over classes",
    "specificity": "recall of the rest, averaged over classes as sensitivity is",
    "balanced_accuracy": "mean recall of the classes",
    "f1": "F1 of the positive class; for more than two classes the mean over classes",
    "mcc": "Matthews correlation; 0 when one class only is present or predicted (Gorodkin 2004)",
    "brier": "mean squared error of the positive class's probability; for more than two classes "
    "the sum over classes (Brier 1950)",
    "ece": "expected calibration error in bins of equal mass, over the positive class's "
    "probability; for more than two classes over that of the predicted class (Guo 2017). Biased "
    "upwards in small samples, and draws are pushed up further: for its interval they are moved so "
    "that their mean is the value, and kept above 0",
    "calibration_slope": "of a logistic regression of the positive class on the log odds of its "
    "probability (Cox 1958): below 1 the probabilities are too extreme, above 1 too timid. "
    "Undefined where the classes do not overlap. For more than two classes the mean over classes",
    "calibration_intercept": "of the same regression with slope 1: above 0 the class occurs more "
    "often than predicted (Van Calster 2019). Mean over classes as calibration_slope. For both, "
    "probabilities are kept 0.0001 away from 0 and 1",
    "linear_path": "the hybrid network without its convolutions; what `cnn` scores beyond it is "
    "what these add. It is a part of the network, so it is no baseline",
    "logistic_l1_adjusted": "L1 regression on what latent factors leave of the features, and the "
    "factors, found in the same folds: the features that the hybrid network may choose",
    "clinical": "logistic regression on age, sex, stage and smoking, as far as the samples tell "
    "them, without any gene",
    "panel": "a logistic regression of few features, `panel_<number>` in the details; being chosen "
    "for its size it is no baseline",
    "groups": "scores of the CNN by sex, age, stage and site, of groups with at least 10 samples "
    "and 5 of each of two classes; of more classes, the mean over those with 5. roc_auc is here "
    "the share of pairs within a fold that are ranked rightly; minus_all is how much that is above "
    "the same share of all samples, in the same draws, without an interval where it is the same in "
    "every draw. Many groups are looked at: by chance one in twenty intervals leaves out 0",
    "best_baseline": "the baseline with the highest out-of-fold roc_auc; the test set has no say",
    "pairing": "digest of the patients, groups, classes and seed behind the bootstrap draws: two "
    "runs with the same one scored the same draws, row by row of `draws.csv`",
    "permutation_p": "(1 + b) / (1 + `evaluate.permutations`), b being the draws of permuted "
    "labels on which the CNN's roc_auc is at least what it is (Phipson & Smyth 2010). Patients "
    "with equally many samples trade their labels as a whole, and the samples of a patient trade "
    "theirs; when the split holds out sites, within a site only. On the test set the p-value is "
    "exact, given the model, which saw none of these labels. Out of fold labels move within folds "
    "(with several repeats those of the first), given the folds' models; each was fitted on the "
    "labels of the other folds, so this one is approximate",
    "verdict": "`signal` when the intervals of the CNN's roc_auc lie above 0.5 out of fold and on "
    "the test samples and permutation_p of the test set is at most 0.05, `no signal` when the "
    "out-of-fold interval does not lie above 0.5, else `inconclusive`",
}
