"""Classes, counts and outliers: teachers, and nothing to find.

    python benchmarks/losses.py --seeds 10            # classes of teachers, null data
    python benchmarks/losses.py --numbers             # counts and outliers
    python benchmarks/losses.py --numbers --fast      # without cross-validation
    python benchmarks/losses.py --only 1              # one of the teachers, from 1

Markdown tables. Classes of the teachers are drawn with the probabilities that the
outputs of a two-layer teacher give, scaled to a standard deviation of four. "above
truth" is the median of the log loss on fresh rows with the true probabilities, less
that of the truth; "right" counts the data sets on which as many features are found as
there are directions. The perceptrons have 20 units and are fitted by L-BFGS, with alpha
chosen by cross-validation. The oracle is a descent on the same loss, without decay,
that starts at the teacher. benchmarks/real_classes.py has real tables.

Counts are of Poisson's distribution, and the logarithm of their mean is a teacher's
output of standard deviation one. "to truth" is the median of the deviance on fresh rows
of the predicted means from the true ones, and "ratio" the median over data sets of that
over the deviance of the oracle: a descent on the same loss that starts at the teacher.
Outliers are one of twenty targets, of a teacher's output of standard deviation one with
noise of 0.3; their noise is 30 times as large. "to truth" is the mean squared distance
to the teacher on fresh rows, and "ratio" that over the distance of the squared loss on
the same rows without outliers.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from common import chosen, median, table
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import HuberRegressor, LogisticRegressionCV, PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._fit.loss_fit import class_problem, number_problem
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.model import Model
from sklearn_twolayer._losses.polish import polish
from sklearn_twolayer._network.network import Network, balance
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

N_FRESH = 10_000
SPREAD = 4.0  # standard deviation of the true scores
ALPHAS = [1e-3, 1e-2, 0.1, 1.0, 10.0]
TEACHERS = {
    "2000 x 5, two directions": (2000, 5, 2, 2),
    "4000 x 8, three": (4000, 8, 3, 2),
    "3000 x 10, three, three classes": (3000, 10, 3, 3),
}

NUMBERS = {
    "2000 x 5, two directions": (2000, 5, 2),
    "4000 x 8, three": (4000, 8, 3),
    "3000 x 10, four": (3000, 10, 4),
}
MEAN_COUNT = 2.0  # of rows where the teacher puts out its mean
NOISE = 0.3
OUTLIERS, OUTLIER = 0.05, 30.0  # their share, and their noise over that of others


def mlp():
    model = MLPClassifier((20,), solver="lbfgs", max_iter=500, random_state=0)
    grid = GridSearchCV(model, {"alpha": ALPHAS}, scoring="neg_log_loss")
    return make_pipeline(StandardScaler(), grid)


def logistic():
    model = LogisticRegressionCV(
        Cs=10, scoring="neg_log_loss", max_iter=5000, l1_ratios=(0,),
        use_legacy_attributes=False,
    )  # fmt: skip
    return make_pipeline(StandardScaler(), model)


def ours():
    return RegularizedTwoLayerClassifier(random_state=0)


def ours_cv():
    return RegularizedTwoLayerClassifierCV(random_state=0)


def draw_classes(n_samples, n_features, n_directions, n_classes, seed):
    """Training rows, fresh rows with the logarithms of the true probabilities.

    And the teacher, with its amplitudes on the scores.
    """
    X, scores, teacher = make_two_layer_regression(
        n_samples + N_FRESH, n_features, n_directions=n_directions,
        return_teacher=True, random_state=seed,
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    amplitudes = teacher.amplitudes.reshape(n_directions, 1)
    if n_classes > 2:  # Each class has amplitudes of its own.
        amplitudes = generator.standard_normal((n_directions, n_classes))
        scores = np.maximum(X @ teacher.directions.T, 0.0) @ amplitudes
    amplitudes = SPREAD * amplitudes / scores.std(axis=0)
    scores = SPREAD * (scores - scores.mean(axis=0)) / scores.std(axis=0)
    if n_classes == 2:
        y = (generator.random(len(X)) < expit(scores)).astype(int)
        truth = log_expit(np.column_stack([-scores, scores]))
    else:
        y = (scores + generator.gumbel(size=scores.shape)).argmax(axis=1)
        truth = log_softmax(scores, axis=1)
    fresh = X[n_samples:], truth[n_samples:]
    return X[:n_samples], y[:n_samples], *fresh, (teacher, amplitudes)


def class_oracle(X, y, teacher, amplitudes):
    """A function that predicts the logarithms of probabilities, from the oracle."""
    problem = class_problem(X, y, np.ones(len(y)), OPTIONS)
    outputs = from_teacher(problem, teacher, amplitudes)

    def predict_log_proba(X):
        scores = outputs(X)
        if scores.ndim == 1:
            scores = np.column_stack([np.zeros_like(scores), scores])
        return log_softmax(scores, axis=1)

    return predict_log_proba


def above_truth(predicted, truth):
    """Log loss with the true probabilities, less that of the truth."""
    return float((softmax(truth, axis=1) * (truth - predicted)).sum(axis=1).mean())


def timed(model, X, y):
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return time.perf_counter() - began


def teachers(seeds, number, kinds):
    rows = []
    for name, parameters in chosen(list(TEACHERS.items()), number):
        excess = []
        for seed in range(seeds):
            X, y, X_fresh, truth, teacher = draw_classes(*parameters, seed)
            predicted = class_oracle(X, y, *teacher)(X_fresh)
            excess.append(above_truth(predicted, truth))
        rows.append([name, "oracle", f"{median(excess):.4f}", "", ""])
        for kind in kinds:
            excess, right, seconds = [], 0, []
            for seed in range(seeds):
                X, y, X_fresh, truth, _ = draw_classes(*parameters, seed)
                model = kind()
                seconds.append(timed(model, X, y))
                excess.append(above_truth(model.predict_log_proba(X_fresh), truth))
                found = len(getattr(model, "features_", ()))
                right += found == parameters[2]
            counted = f"{right} of {seeds}" if hasattr(model, "features_") else ""
            rows.append(
                [name, LABELS[kind], f"{median(excess):.4f}", counted,
                 f"{median(seconds):.2f} s"]
            )  # fmt: skip
    return table(["teacher", "estimator", "above truth", "right", "time"], rows)


def nothing_to_find(seeds, kinds):
    """Classes of a linear function, or of nothing: features found."""
    rows = []
    for n_samples, n_features in [(300, 5), (2000, 10), (400, 60)]:
        for slope in (0.0, 1.0):
            for kind in kinds:
                found = 0
                for seed in range(seeds):
                    generator = np.random.default_rng(seed)
                    X = generator.standard_normal((n_samples, n_features))
                    score = 2.0 * slope * X[:, 0]
                    y = score + generator.logistic(size=n_samples) > 0.0
                    model = kind()
                    timed(model, X, y)
                    found += len(model.features_) > 0
                rows.append(
                    [f"{n_samples} x {n_features}", "linear" if slope else "none",
                     LABELS[kind], f"{found} of {seeds}"]
                )  # fmt: skip
    return table(["rows", "signal", "estimator", "found"], rows)


def draw_numbers(parameters, seed):
    """Inputs, outputs and teacher, scaled to a standard deviation of one."""
    n_samples, n_features, n_directions = parameters
    X, outputs, teacher = make_two_layer_regression(
        n_samples + N_FRESH, n_features, n_directions=n_directions,
        return_teacher=True, random_state=seed,
    )  # fmt: skip
    size = outputs.std()
    return X, (outputs - outputs.mean()) / size, teacher, size


OPTIONS = check_path_options(
    schedule=None, solver="newton", n_neurons=1, hidden_bias=True, standardize=True,
    max_iter=10**6, max_time=None, tol=1e-3, prune_tol=0.0, merge_angle=0.0,
    device=None, dtype="float64", random_state=0, checkpoint=None,
)  # fmt: skip


def from_teacher(problem, teacher, amplitudes):
    """The outputs from a descent on the loss that starts at the teacher."""
    units, basis = problem.rows.units, problem.data.loss.basis
    if basis is not None:
        amplitudes = amplitudes @ basis(amplitudes.shape[1] - 1).numpy()
    biases = teacher.intercepts + teacher.directions @ units.shift
    weights = np.column_stack([teacher.directions * units.scale, biases])
    start = Network.from_parts(torch.from_numpy(weights), torch.from_numpy(amplitudes))
    start = Model(balance(start), problem.linear.linear)
    model = fit_linear_part(problem.data, start).model
    return problem.fitted(polish(problem.data, model, lambda _: 0.0)).predict


def count_oracle(X, y, teacher, size):
    """The logarithm of the mean from a descent that starts at the teacher."""
    raw = RawRows.local(X, y, np.ones(len(y)))
    problem = number_problem(raw, OPTIONS, "poisson", 3.5)
    amplitudes = teacher.amplitudes.reshape(len(teacher.directions), 1) / size
    return from_teacher(problem, teacher, amplitudes)


def deviance_to(truth, predicted):
    """Poisson deviance of predicted means from true ones, by their logarithms."""
    rise = predicted - truth
    return float(2.0 * np.mean(np.exp(truth) * (np.expm1(rise) - rise)))


def counts(seeds, number, left_out):
    kinds = {
        "default": RegularizedTwoLayerRegressor(loss="poisson", random_state=0),
        "CV": RegularizedTwoLayerRegressorCV(loss="poisson", random_state=0),
        "PoissonRegressor": make_pipeline(StandardScaler(), PoissonRegressor(alpha=0)),
        "boosting": HistGradientBoostingRegressor(loss="poisson", random_state=0),
    }
    kinds = {kind: model for kind, model in kinds.items() if kind not in left_out}
    rows = []
    for name, parameters in chosen(list(NUMBERS.items()), number):
        n_samples, found = parameters[0], {kind: [] for kind in ["oracle", *kinds]}
        for seed in range(seeds):
            X, outputs, teacher, size = draw_numbers(parameters, seed)
            truth = outputs + np.log(MEAN_COUNT)
            generator = np.random.default_rng(seed)
            y = generator.poisson(np.exp(truth[:n_samples])).astype(float)
            X, X_fresh, truth = X[:n_samples], X[n_samples:], truth[n_samples:]
            predicted = count_oracle(X, y, teacher, size)(X_fresh)
            least = deviance_to(truth, predicted)
            found["oracle"].append((least, 1.0, None, None, 0.0))
            for kind, model in kinds.items():
                seconds = timed(model, X, y)
                distance = deviance_to(truth, np.log(model.predict(X_fresh)))
                found[kind].append(
                    (distance, distance / least, *directions_of(model, teacher),
                     seconds)
                )  # fmt: skip
        rows += [summary(name, kind, own) for kind, own in found.items()]
    return table(NUMBER_COLUMNS, rows)


def outliers(seeds, number, left_out):
    squares = RegularizedTwoLayerRegressor(random_state=0)
    robust = RegularizedTwoLayerRegressor(loss="huber", random_state=0)
    robust_cv = RegularizedTwoLayerRegressorCV(loss="huber", random_state=0)
    kinds = {
        "squared loss without outliers": (squares, False),
        "default without outliers": (robust, False),
        "CV without outliers": (robust_cv, False),
        "default": (robust, True),
        "CV": (robust_cv, True),
        "squared loss": (squares, True),
        "HuberRegressor": (HuberRegressor(alpha=0.0, max_iter=1000), True),
    }
    kinds = {kind: own for kind, own in kinds.items() if kind not in left_out}
    rows = []
    for name, parameters in chosen(list(NUMBERS.items()), number):
        n_samples, found = parameters[0], {kind: [] for kind in kinds}
        for seed in range(seeds):
            X, outputs, teacher, _ = draw_numbers(parameters, seed)
            generator = np.random.default_rng(seed)
            noise = NOISE * generator.standard_normal(n_samples)
            far = generator.random(n_samples) < OUTLIERS
            wild = np.where(far, OUTLIER * noise, noise)
            least = None
            for kind, (model, has_outliers) in kinds.items():
                y = outputs[:n_samples] + (wild if has_outliers else noise)
                seconds = timed(model, X[:n_samples], y)
                predicted = model.predict(X[n_samples:])
                distance = float(np.mean((predicted - outputs[n_samples:]) ** 2))
                least = distance if least is None else least
                found[kind].append(
                    (distance, distance / least, *directions_of(model, teacher),
                     seconds)
                )  # fmt: skip
        rows += [summary(name, kind, own) for kind, own in found.items()]
    return table(NUMBER_COLUMNS, rows)


NUMBER_COLUMNS = [
    "teacher", "estimator", "to truth", "ratio", "right", "largest angle", "time",
]  # fmt: skip


def directions_of(model, teacher):
    """Whether as many are found as there are, and the largest angle; or nothing."""
    if not hasattr(model, "features_"):
        return None, None
    match = match_directions(model.features_, teacher.directions)
    is_right = len(model.features_) == len(teacher.directions)
    return is_right, float(np.max(match.angles, initial=0.0))


def summary(name, kind, found):
    distances, ratios, right, angles, seconds = zip(*found, strict=True)
    knows = right[0] is not None
    return [
        name, kind, f"{median(distances):.2e}", f"{median(ratios):.2f}",
        f"{sum(right)} of {len(right)}" if knows else "",
        f"{median(angles):.3f}" if knows else "", f"{median(seconds):.2f} s",
    ]  # fmt: skip


LABELS = {
    ours: "default", ours_cv: "CV", mlp: "perceptrons", logistic: "logistic",
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--numbers", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    if arguments.numbers:
        left_out = {"CV", "CV without outliers"} if arguments.fast else set()
        print(counts(arguments.seeds, arguments.only, left_out), flush=True)
        print()
        print(outliers(arguments.seeds, arguments.only, left_out))
        return
    print(teachers(arguments.seeds, arguments.only, [ours, ours_cv, mlp, logistic]))
    if arguments.only is None:
        print()
        print(nothing_to_find(arguments.seeds, [ours, ours_cv]))


if __name__ == "__main__":
    main()
