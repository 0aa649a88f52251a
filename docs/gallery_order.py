"""The order of the examples in the gallery: what it does, uses, tables, theory."""

READING_ORDER = (
    "recover_teacher",
    "ridge_functions",
    "real_data",
    "which_estimator",
    "path",
    "choose_decay",
    "classes",
    "counts_and_outliers",
    "several_targets",
    "transformer",
    "wide",
    "many_rows",
    "export",
    "certificate_circle",
    "early_features",
    "early_steps",
    "random_features",
    "overparameterisation",
    "edge_of_stability",
)


class ReadingOrder:
    """Sorting key of examples, which sphinx-gallery makes for a folder of scripts."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, filename: str) -> int:
        """Give the place of an example; all have to be listed."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return READING_ORDER.index(name)
