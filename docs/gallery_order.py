"""Order of the pages of the gallery."""

# From the first model to its use.
PAGES = (
    *("first_model", "how_far_off", "least_sure", "training_history", "augmentation", "stages"),
    *("losses", "balance", "errors_by_pose", "tuning", "by_specimen", "few_images"),
    *(
        "learning_curve",
        "missing_landmarks",
        "own_landmarks",
        "large_images",
        "rolled",
        "tps",
        "other_detector",
        "video",
        "onnx",
    ),
)


class ByTopic:
    """Sort key of sphinx-gallery; a class of a module, because Sphinx pickles its settings."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, file):
        """Position of the page of a script."""
        return PAGES.index(file.removeprefix("plot_").removesuffix(".py"))

    def __repr__(self):
        return type(self).__name__
