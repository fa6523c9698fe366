"""One run of training over the stages of a cascade, and what is kept of it when it ends early."""

import contextlib
import copy

from skwing._training.divergence import check_predictions, likely_cause
from skwing._training.weights import Diverged
from skwing._utils.warnings import warn_caller


class Run:
    """Stages in training, their rows of history and the failure that ended it, if any.

    Parameters
    ----------
    stages : list of Stage
        All of the cascade.
    n_known : int
        The first so many came with weights from the fit before.
    history : list of list of dict
        Rows of the stages that are not trained again: the first ones.

    Attributes
    ----------
    first : int
        Stage that training starts with, from 0.
    history : list of list of dict
        Rows of each stage that is kept.
    kept : list of Stage
    failure : BaseException or None
        What ended the training: Ctrl-C, divergence, or anything else that was raised.
    """

    def __init__(self, stages, n_known, history):
        self.stages, self.n_known = stages, n_known
        self.first, self.history = len(history), history
        self.kept, self.failure = stages, None
        self._before = [copy.copy(stage) for stage in stages[:n_known]]
        for stage in self._before:
            stage.network = copy.deepcopy(stage.network)

    def start_stage(self, progress):
        """Report of the next stage: takes the row of an epoch, True stops the stage."""
        rows = []
        self.history.append(rows)
        number = len(self.history)

        def report(row):
            rows.append({"stage": number, **row})
            return progress.epoch(number, row)

        return report

    @contextlib.contextmanager
    def ended_by_failure(self):
        """Context that keeps what ends it early as `failure`."""
        try:
            yield
        except BaseException as error:
            self.failure = error

    @property
    def is_empty(self):
        """Whether a failure left nothing that was not there before."""
        return self.failure is not None and not (self.kept and any(self.history[self.first :]))

    def settle(self, chips, truth, samples, settings):
        """Find out which stages are worth keeping.

        Those that were trained to the end are, and the one in training, with the weights
        that :func:`skwing._training.engine.train` left, if it has a whole epoch and has not
        diverged in that already. Stages that were known before are not lost either.
        """
        if self.failure is None:
            return
        running = len(self.history) - 1
        rows = self.history[running] if running >= self.first else []
        diverged = isinstance(self.failure, Diverged)
        if rows and diverged and not _is_sound(self.stages[: running + 1], chips, truth):
            rows.clear()
            if running < self.n_known:
                self.stages[running] = self._before[running]
        n_kept = max(running + bool(rows), self.n_known)
        self.kept = self.stages[:n_kept]
        self.history = (self.history + [[]] * n_kept)[:n_kept]
        if diverged:
            cause = likely_cause(chips, samples, settings[running].learning_rate)
            words = f"stage {running + 1}, epoch {self.failure.epoch}: {self.failure}: training "
            found, self.failure = self.failure, Diverged(f"{words}diverged; {cause}")
            self.failure.__cause__ = found

    def tell(self):
        """Warn of an interruption by the user; raise what else ended the run.

        Raises
        ------
        BaseException
            With a note of what is kept.
        """
        if self.failure is None:
            return
        epochs = ", ".join(
            f"stage {i + 1} after {len(rows)} epochs" for i, rows in enumerate(self.history)
        )
        kept = f"The regressor is fitted as far as it came: {epochs}"
        if isinstance(self.failure, KeyboardInterrupt):
            warn_caller(
                f"training was interrupted by the user. {kept}. With warm_start=True, fit goes on"
            )
            return
        self.failure.add_note(f"{kept}.")
        raise self.failure


def _is_sound(stages, chips, truth):
    try:
        check_predictions(stages, chips, truth)
    except Diverged:
        return False
    return True
