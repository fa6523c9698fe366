"""Progress reporting during `fit`: progress bar, printed lines, and scikit-learn's callbacks."""

import numpy as np

from skwing._utils import ranks
from skwing._utils.bars import ProgressBar


class FitProgress:
    """Reports the epochs of all stages of a fit, in the first of several processes.

    Parameters
    ----------
    estimator : estimator
        Its `verbose` is 1 for a progress bar, 2 for a line per epoch; its `callbacks` are
        called with the row of each epoch.
    n_epochs : int
        Total number of epochs of all stages.
    is_further : bool, default=False
        Whether this is not the first training of the same fit; callbacks of scikit-learn follow
        only the first one.
    """

    def __init__(self, estimator, n_epochs, *, is_further=False):
        self.estimator = estimator
        self.context = None
        if ranks.is_first() and not is_further:
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)
            self.context.call_on_fit_task_begin(estimator=estimator)
        self._verbose = estimator.verbose if ranks.is_first() else 0
        self._calls = (estimator.callbacks or ()) if ranks.is_first() else ()
        self.bar = ProgressBar(total=n_epochs, unit="epoch", disable=self._verbose != 1)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        self.bar.close()
        if self.context is not None and error is None:
            self.context.call_on_fit_task_end(estimator=self.estimator)

    def known(self, stage, row):
        """Count an epoch that an earlier process has trained and reported."""
        if not self.bar.disable:
            self.bar.initial += 1
        self.bar.update()
        if self.context is not None:
            self.context.subcontext(task_name=f"stage {stage}, epoch {row['epoch']}")

    def epoch(self, stage, row):
        """Report an epoch of a stage (counted from 1); True if a callback requests to stop."""
        self.bar.update()
        numbers = {key: f"{row[key]:.4g}" for key in ("loss", "validation_error") if key in row}
        self.bar.set_postfix(stage=stage, **numbers)
        if self._verbose >= 2:
            told = ", ".join(f"{key} {value}" for key, value in numbers.items())
            print(
                f"stage {stage}, epoch {row['epoch']}: {told}, {row['seconds']:.1f} s",
                flush=True,
            )
        answers = [call({"stage": stage, **row}) for call in self._calls]
        # Not any true value, because functions that log may return objects.
        stops = any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers)
        if self.context is None:
            return stops
        task = self.context.subcontext(task_name=f"stage {stage}, epoch {row['epoch']}")
        task.call_on_fit_task_begin(estimator=self.estimator)
        return task.call_on_fit_task_end(estimator=self.estimator) or stops

    def skip(self, n_epochs):
        """Reduce the total by epochs that are not run."""
        self.bar.total -= n_epochs
        self.bar.refresh()
