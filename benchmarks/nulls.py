"""Nothing to find: how often are features found, and what does the search cost?

    python benchmarks/nulls.py --seeds 40           # all rows, default and CV
    python benchmarks/nulls.py --seeds 20 --quick   # fewer rows of data
    python benchmarks/nulls.py --estimator default  # one of the estimators
    python benchmarks/nulls.py --only weights       # one of the tables

Markdown tables. The targets are noise, or linear in the inputs and noise: "found"
counts the data sets on which features were found, where there are none. The excess risk
is the mean squared distance to the noiseless targets on fresh rows, relative to that of
weighted least squares; median and 95 % quantile over the data sets. The last tables
have features to find: columns and weights that must change nothing, and teachers with
noise that depends on the inputs or has two sizes, on which the right number of features
is counted.
"""

import argparse
import time
import warnings

import numpy as np
from common import draw, median, our_directions, score, table

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

N_FRESH = 4000
HEADER = [
    "data", "estimator", "found", "most features", "median excess", "95 %", "time",
]  # fmt: skip
DEVIATIONS = {
    "exp(x1)": np.exp, "abs(x1)": np.abs, "exp(x1/2)": lambda x: np.exp(x / 2),
}  # fmt: skip


ESTIMATORS = {
    "default": RegularizedTwoLayerRegressor(random_state=0),
    "CV": RegularizedTwoLayerRegressorCV(random_state=0),
}


def nothing(X):
    return np.zeros(len(X))


def few_rows(quick):
    """Pure noise, Gaussian or Student's t with 3 degrees of freedom."""
    for d in (2, 5, 10, 30):
        for times in (2, 3, 5, 10) if quick else (2, 3, 5, 10, 50):
            for tails in ("Gaussian", "t3"):

                def make(generator, d=d, n=times * d, tails=tails):
                    X = generator.standard_normal((n, d))
                    if tails == "t3":
                        return X, generator.standard_t(3, n), None, nothing
                    return X, generator.standard_normal(n), None, nothing

                yield f"{tails}, d={d}, n={times * d}", make


def several_targets(quick):
    """Noise in two or three targets on 300 x 10."""

    def on(targets, truth):
        def make(generator):
            X = generator.standard_normal((300, 10))
            return X, targets(generator.standard_normal((300, 3)), X), None, truth

        return make

    def correlated(noise):
        return np.column_stack([noise[:, 0], noise[:, :2] @ [0.9, np.sqrt(0.19)]])

    def beside(function):
        return lambda X: np.column_stack([nothing(X), function(X)])

    def zeros(q):
        return lambda X: np.zeros((len(X), q))

    yield "one", on(lambda noise, X: noise[:, 0], nothing)
    yield "two", on(lambda noise, X: noise[:, :2], zeros(2))
    yield "three", on(lambda noise, X: noise, zeros(3))
    yield "sd 1 and 0.1", on(lambda noise, X: noise[:, :2] * [1.0, 0.1], zeros(2))
    yield "correlated 0.9", on(lambda noise, X: correlated(noise), zeros(2))
    yield "the same twice", on(lambda noise, X: noise[:, [0, 0]], zeros(2))
    for name, function in (
        ("linear", lambda X: X[:, 0]),
        ("constant", lambda X: np.ones(len(X))),
    ):
        both = beside(function)
        yield (
            f"and a {name} one",
            on(lambda noise, X, both=both: both(X) + noise[:, :1] * [1.0, 0.0], both),
        )


def unequal_noise(quick):
    """A linear truth whose noise depends on the first input."""
    for d in (5, 10, 30):
        for n in (200, 500, 2000) if quick else (200, 500, 2000, 5000):
            for name, deviation in DEVIATIONS.items():

                def make(generator, n=n, d=d, deviation=deviation):
                    coef = generator.standard_normal(d)
                    X = generator.standard_normal((n, d))
                    noise = deviation(X[:, 0]) * generator.standard_normal(n)
                    return X, X @ coef + noise, None, lambda X: X @ coef

                yield f"sd {name}, d={d}, n={n}", make


def weighted(quick):
    """Noise with weights of one over the variance, and with large whole weights."""

    def inverse(generator):
        X, deviation = (
            generator.standard_normal((300, 10)),
            generator.lognormal(size=300),
        )
        return X, deviation * generator.standard_normal(300), deviation**-2.0, nothing

    def whole(generator):
        X, y = generator.standard_normal((300, 10)), generator.standard_normal(300)
        return X, y, generator.integers(500, 2001, 300).astype(float), nothing

    yield "one over the variance", inverse
    yield "whole, 500 to 2000", whole


TABLES = {
    "rows": few_rows, "targets": several_targets, "unequal": unequal_noise,
    "weights": weighted,
}  # fmt: skip


def excess_over_linear(model, data, X_fresh):
    """Excess risk of a fitted model relative to that of weighted least squares."""
    X, y, weights, truth = data
    root = np.ones(len(X)) if weights is None else np.sqrt(weights / np.mean(weights))
    design = np.column_stack([X, np.ones(len(X))])
    coef = np.linalg.lstsq(
        design * root[:, None], y.reshape(len(y), -1) * root[:, None], rcond=None
    )[0]
    true = truth(X_fresh).reshape(N_FRESH, -1)
    linear = np.column_stack([X_fresh, np.ones(N_FRESH)]) @ coef
    ours = model.predict(X_fresh).reshape(N_FRESH, -1)
    return np.mean(np.square(ours - true)) / np.mean(np.square(linear - true))


def null_row(name, make, label, model, n_seeds):
    n_features, excess, seconds = [], [], []
    for seed in range(n_seeds):
        generator = np.random.default_rng(1000 + seed)
        X, y, weights, truth = make(generator)
        began = time.perf_counter()
        model.fit(X, y, sample_weight=weights)
        seconds.append(time.perf_counter() - began)
        n_features.append(len(model.features_))
        X_fresh = generator.standard_normal((N_FRESH, X.shape[1]))
        excess.append(excess_over_linear(model, (X, y, weights, truth), X_fresh))
    found = n_seeds - n_features.count(0)
    return [
        name, label, f"{found} of {n_seeds}", max(n_features), f"{median(excess):.3f}",
        f"{np.quantile(excess, 0.95):.2f}", f"{median(seconds):.3f} s",
    ]  # fmt: skip


def waves(n_idle=None, kind="zero"):
    """A noisy teacher, with idle columns beside its own if asked for."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((800, 6))
    hidden = np.maximum(X @ generator.standard_normal((6, 3)), 0.0)
    y = hidden @ [1.0, -1.0, 1.5] + 0.4 * generator.standard_normal(800)
    if n_idle:
        index = np.arange(n_idle) % 6
        idle = X[:, index] if kind == "copied" else np.zeros((800, n_idle))
        X = np.column_stack([X, idle])
    return X, y


def idle_columns_table():
    model, lines = RegularizedTwoLayerRegressor(random_state=0), []
    X, y = waves()
    features, r2 = model.fit(X, y).features_, model.score(X, y)
    for kind in ("zero", "copied"):
        for n_idle in (10, 100, 300):
            X, y = waves(n_idle, kind)
            other = model.fit(X, y).features_[:, :6]
            far = np.abs(other - features).max() if len(other) == len(features) else 1.0
            change = abs(model.score(X, y) - r2)
            lines.append(
                [f"{n_idle} {kind}", len(other), f"{far:.0e}", f"{change:.0e}"]
            )
    return table(["columns more", "features", "change of features", "of R2"], lines)


def weight_units_table():
    model, (X, y), lines = RegularizedTwoLayerRegressor(random_state=0), waves(), []
    weights = np.random.default_rng(1).integers(500, 2001, len(X)).astype(float)
    first = None
    for name, factor in (("w", 1.0), ("7 w", 7.0), ("w / mean", 1 / weights.mean()),
                         ("1e16 w", 1e16)):  # fmt: skip
        began = time.perf_counter()
        found = model.fit(X, y, sample_weight=factor * weights).features_
        seconds = time.perf_counter() - began
        first = found if first is None else first
        far = np.abs(found - first).max() if len(found) == len(first) else 1.0
        lines.append([name, len(found), f"{far:.0e}", f"{seconds:.3f} s"])
    return table(["sample_weight", "features", "change of features", "time"], lines)


def teachers_table(n_seeds):
    """Right numbers of features on 2000 x 10 with 4 directions in 3 dimensions."""
    shape = {
        "n_samples": 2000, "n_features": 10, "subspace_dim": 3, "n_directions": 4,
    }  # fmt: skip
    lines = []
    for name, n_targets, sizes in (
        ("noise sd exp(x1/2)", 1, None), ("two equal targets", 2, [1.0, 1.0]),
        ("two targets of sd 1 and 0.1", 2, [1.0, 0.1]),
    ):  # fmt: skip
        counts = []
        for seed in range(n_seeds):
            X, y, *test, teacher = draw({**shape, "n_targets": n_targets}, seed)
            generator = np.random.default_rng(seed)
            if sizes is None:
                noise = np.exp(X[:, 0] / 2) * generator.standard_normal(len(X))
                y = y + 0.3 * y.std() * noise / noise.std()
            else:
                noise = generator.standard_normal(y.shape)
                y = (y / y.std(axis=0) + 0.5 * noise) * sizes
            model = RegularizedTwoLayerRegressor(random_state=0)
            fitted = score(model, (X, y, *test, teacher), our_directions)
            counts.append(fitted.n_units)
        lines.append(
            [name, f"{counts.count(4)} of {n_seeds}", min(counts), max(counts)]
        )
    return table(["teacher", "right number", "least", "most"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="fewer rows of data")
    parser.add_argument("--estimator", choices=ESTIMATORS, help="only this one")
    parser.add_argument("--only", choices=[*TABLES, "power"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, rows in TABLES.items():
        if arguments.only not in (None, name):
            continue
        print(rows.__doc__, end="\n\n")
        lines = [
            null_row(data, make, label, model, arguments.seeds)
            for data, make in rows(arguments.quick)
            for label, model in ESTIMATORS.items()
            if arguments.estimator in (None, label)
        ]
        print(table(HEADER, lines), end="\n\n", flush=True)
    if arguments.only in (None, "power"):
        print(idle_columns_table(), end="\n\n")
        print(weight_units_table(), end="\n\n")
        print(teachers_table(min(arguments.seeds, 20)))


if __name__ == "__main__":
    main()
