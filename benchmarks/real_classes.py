"""Classes: log loss and accuracy of ours and of peers, kept in a results file.

    python benchmarks/real_classes.py                 # all methods on all tables
    python benchmarks/real_classes.py --only CatBoost "two-layer, CV" --tables wine
    python benchmarks/real_classes.py --print         # the table of what is stored

The tables: wine, breast cancer and digits of scikit-learn, the last with two classes
(odd or even) and with ten; 1000 rows of the Friedman functions 1 to 3 with two classes;
and 1000 rows of teachers, which are ridge functions, with two and with three classes.
Scores of the simulated tables are scaled to a standard deviation of four, and classes
are drawn with the probabilities that belong to them. Three stratified shuffled folds
(seed 0), one thread. Columns are standardised on the training rows for the peers other
than trees. Searches are within the training rows, by their log loss: the logistic
regression over C, the support vectors over C and gamma with calibrated scores, and
MLPClassifier with 20 units and lbfgs over alpha; all else is at its defaults. CatBoost
is left out where it is not installed.

Results go to benchmarks/results/real_classes.json, one record for each table and
method, merged with those that are there. Seconds are process time of a fit, and one of
more than TIME_LIMIT leaves the method without a result on the table, where it counts
as last. The printed table has the mean ranks by log loss and by accuracy (1 is best).
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import readme_table
import torch
from losses import SPREAD, TEACHERS, draw_classes, logistic, mlp
from real_methods import Method, TimeLimit, is_installed, time_limit, versions
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sklearn_twolayer import (
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
)

TIME_LIMIT = 600.0
N_ROWS = 1000
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
SVC_GRID = {"estimator__C": [1, 10, 100], "estimator__gamma": [0.01, 0.03, 0.1, 0.3]}


def of_friedman(make):
    """Rows of one of the Friedman functions, with two classes."""
    X, score = make(N_ROWS, random_state=0)
    score = SPREAD * (score - score.mean()) / score.std()
    return X, (np.random.default_rng(0).random(N_ROWS) < expit(score)).astype(int)


def of_teacher(number):
    """Rows of one of the teachers of benchmarks/losses.py."""
    return draw_classes(N_ROWS, *list(TEACHERS.values())[number][1:], seed=0)[:2]


def odd_or_even():
    X, y = load_digits(return_X_y=True)
    return X, y % 2


TABLES = {
    "wine": lambda: load_wine(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "Friedman 1": lambda: of_friedman(make_friedman1),
    "Friedman 2": lambda: of_friedman(make_friedman2),
    "Friedman 3": lambda: of_friedman(make_friedman3),
    "ridge functions": lambda: of_teacher(0),
    "ridge functions, three classes": lambda: of_teacher(2),
    "digits, odd or even": odd_or_even,
    "digits": lambda: load_digits(return_X_y=True),
}


def support_vectors():
    calibrated = CalibratedClassifierCV(SVC(), ensemble=False)
    grid = GridSearchCV(calibrated, SVC_GRID, scoring="neg_log_loss", cv=3)
    return make_pipeline(StandardScaler(), grid)


def catboost():
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        random_seed=0, thread_count=1, verbose=False, allow_writing_files=False
    )


def methods():
    ours = ("sklearn_twolayer", "torch")
    return [
        Method(
            "two-layer, CV",
            lambda: RegularizedTwoLayerClassifierCV(random_state=0),
            ours,
        ),
        Method(
            "two-layer", lambda: RegularizedTwoLayerClassifier(random_state=0), ours
        ),
        Method("logistic regression, tuned", logistic),
        Method("MLP, tuned", mlp),
        Method("SVC, tuned", support_vectors),
        Method(
            "HistGradientBoosting",
            lambda: HistGradientBoostingClassifier(random_state=0),
        ),
        Method("CatBoost", catboost, ("catboost",)),
    ]


def evaluate(method, X, y):
    """Log losses and accuracies of the folds, and seconds of a fit."""
    losses, right, seconds = [], [], []
    for train, test in FOLDS.split(X, y):
        model = method.make()
        began = time.process_time()
        try:
            with time_limit(TIME_LIMIT):
                model.fit(X[train], y[train])
        except TimeLimit:
            return {"log_loss": None, "accuracy": None, "seconds": TIME_LIMIT}
        seconds.append(time.process_time() - began)
        losses.append(log_loss(y[test], model.predict_proba(X[test])))
        right.append(np.mean(np.ravel(model.predict(X[test])) == y[test]))
    means = map(np.mean, (losses, right, seconds))
    names = ("log_loss", 5), ("accuracy", 5), ("seconds", 3)
    return {
        name: round(float(mean), n)
        for (name, n), mean in zip(names, means, strict=True)
    }


def run(chosen, names, path):
    """Evaluate and store after each, so that a run that is ended keeps what it has."""
    for name in names:
        X, y = TABLES[name]()
        for method in chosen:
            record = {
                "table": name, "method": method.name, **evaluate(method, X, y),
                "versions": versions(method),
            }  # fmt: skip
            records = readme_table.merge(readme_table.load(path), [record])
            readme_table.save(path, records)
            shown = [record[key] for key in ("log_loss", "accuracy", "seconds")]
            print(name, method.name, *shown, flush=True)


def main():
    known = methods()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[m.name for m in known])
    parser.add_argument("--tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--results", type=Path, default=readme_table.REAL_CLASSES)
    parser.add_argument("--print", action="store_true")
    arguments = parser.parse_args()
    chosen = [m for m in known if arguments.only is None or m.name in arguments.only]
    for method in chosen:
        if not is_installed(method):
            print(f"skipped, not installed: {method.name}")
    torch.set_num_threads(1)
    if not arguments.print:
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(
                [m for m in chosen if is_installed(m)],
                arguments.tables or list(TABLES),
                arguments.results,
            )
        print()
    print(readme_table.real_classes(readme_table.load(arguments.results)))


if __name__ == "__main__":
    main()
