"""The tables of pages that come from files in benchmarks/results.

    python benchmarks/readme_table.py            # print them
    python benchmarks/readme_table.py --check    # fail if a page has another table
    python benchmarks/readme_table.py --write    # put them into their pages

One is in the README, one in docs/benchmarks.md.

A table stands between the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->``.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
from common import table
from scipy.stats import rankdata

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(__file__).parent / "results" / "real_data.json"
REAL_CLASSES = Path(__file__).parent / "results" / "real_classes.json"
OURS = ("two-layer", "two-layer, CV")


def load(path):
    """The records of a file, in its order; none where there is no file."""
    return json.loads(path.read_text()) if path.exists() else []


def save(path, records):
    """One record a line, so that a change of one is a change of one line."""
    lines = ",\n".join(json.dumps(record) for record in records)
    path.write_text(f"[\n{lines}\n]\n")


def merge(records, new):
    """The records with those of the same table and method replaced, others added."""
    fresh = {(r["table"], r["method"]): r for r in new}
    kept = [fresh.pop((r["table"], r["method"]), r) for r in records]
    return [*kept, *fresh.values()]


def by_method(records):
    """Records of each method by table, and the tables, both in the file's order."""
    tables = list(dict.fromkeys(r["table"] for r in records))
    methods = {r["method"]: {} for r in records}
    for record in records:
        methods[record["method"]][record["table"]] = record
    return methods, tables


def ranked(records, measure="mean", sign=-1.0):
    """Methods that have all tables, best mean rank first.

    Each with its ranks by table, and whether it is first there; equal figures share
    both. A method without a result on a table is last there. The least of the measure,
    times the sign, is best.
    """
    methods, tables = by_method(records)
    whole = [name for name in methods if len(methods[name]) == len(tables)]
    means = [[methods[name][t][measure] for t in tables] for name in whole]
    scores = np.array(means, dtype=float).reshape(len(whole), len(tables))
    losses = np.nan_to_num(sign * scores, nan=np.inf)
    ranks, first = rankdata(losses, axis=0), rankdata(losses, "min", axis=0) == 1
    order = np.argsort(ranks.mean(axis=1), kind="stable")
    return [(whole[i], ranks[i], first[i]) for i in order]


def bold(text, condition):
    return f"**{text}**" if condition else text


def r2_cell(record, is_first):
    return bold("time" if record["mean"] is None else f"{record['mean']:.3f}", is_first)


def seconds_cell(record):
    """Seconds of a fit, with a + where the time limit ended one or more."""
    return f"{record['seconds']:.1f}" + ("+" if record["n_cut"] else "")


def real_data(records):
    """R2 of every method and table, its mean rank, wins, and seconds of a fit."""
    methods, tables = by_method(records)
    rows = []
    for name, ranks, first in ranked(records):
        results = [methods[name][t] for t in tables]
        median = np.median([r["seconds"] for r in results])
        longest = max(results, key=lambda r: r["seconds"])
        cells = [r2_cell(r, best) for r, best in zip(results, first, strict=True)]
        standing = [f"{ranks.mean():.1f}", first.sum()]
        times = [f"{median:.1f}", seconds_cell(longest)]
        rows.append([bold(name, name in OURS), *standing, *cells, *times])
    header = ["R²", "mean rank", "first on", *tables, "seconds, median", "most"]
    return table(header, rows)


def seconds_by_table(records):
    """Seconds of a fit for every method and table."""
    methods, tables = by_method(records)
    rows = [
        [bold(name, name in OURS), *(seconds_cell(methods[name][t]) for t in tables)]
        for name, *_ in ranked(records)
    ]
    return table(["seconds", *tables], rows)


def real_classes(records):
    """Log loss and accuracy of every method and table, and its mean ranks by both."""
    methods, tables = by_method(records)
    by_accuracy = {name: ranks for name, ranks, _ in ranked(records, "accuracy")}
    rows = []
    for name, ranks, first in ranked(records, "log_loss", 1.0):
        results = [methods[name][t] for t in tables]
        cells = [class_cell(r, best) for r, best in zip(results, first, strict=True)]
        seconds = np.median([r["seconds"] for r in results])
        standing = [f"{ranks.mean():.1f}", f"{by_accuracy[name].mean():.1f}"]
        rows.append([bold(name, name in OURS), *standing, *cells, f"{seconds:.1f}"])
    header = ["log loss, accuracy", "rank by loss", "by accuracy", *tables, "seconds"]
    return table(header, rows)


def class_cell(record, is_first):
    if record["log_loss"] is None:
        return "time"
    loss = bold(f"{record['log_loss']:.3f}", is_first)
    return f"{loss}, {record['accuracy']:.3f}"


# The page of each table, by the name of its markers.
PAGES = {"real data": "README.md", "real classes": "docs/benchmarks.md"}


def generated():
    """The tables by the names of their markers."""
    return {
        "real data": real_data(load(REAL_DATA)),
        "real classes": real_classes(load(REAL_CLASSES)),
    }


def of_page(page, tables):
    """The tables that stand on a page."""
    return {name: new for name, new in tables.items() if PAGES[name] == page}


def section(name):
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    return re.compile(f"(?<={begin}\n\n).*?(?=\n\n{end})", flags=re.DOTALL)


def stale(text, tables):
    """The names of the tables that the text lacks or has otherwise."""
    found = {name: section(name).search(text) for name in tables}
    return [n for n, match in found.items() if not match or match[0] != tables[n]]


def written(text, tables):
    """The text with the tables between their markers."""
    for name, new in tables.items():
        text, n_places = section(name).subn(lambda match, new=new: new, text)
        if n_places != 1:
            raise ValueError(
                f"its page must have the markers of {name!r} once, with a table "
                f"between them; it has them {n_places} times"
            )
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="fail if one is stale")
    action.add_argument("--write", action="store_true", help="into the pages")
    arguments = parser.parse_args()
    tables = generated()
    for page in dict.fromkeys(PAGES.values()):
        path, own = ROOT / page, of_page(page, tables)
        if arguments.check:
            names = stale(path.read_text(), own)
            if names:
                sys.exit(f"stale in {page}: {', '.join(names)}; run with --write")
        elif arguments.write:
            path.write_text(written(path.read_text(), own))
    if not (arguments.check or arguments.write):
        print("\n\n".join(tables.values()))


if __name__ == "__main__":
    main()
