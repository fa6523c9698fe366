"""State of a training run over the stages of a cascade, and its result if it ends early."""

import copy

from skwing._training.divergence import is_sound, likely_cause
from skwing._training.weights import Diverged
from skwing._utils import ranks
from skwing._utils.warnings import warn_caller


class Run:
    """Stages in training, their history, and the exception that ended training, if any.

    Parameters
    ----------
    stages : list of Stage
        All stages of the cascade.
    n_known : int
        Number of first stages with weights from the previous fit.
    history : list of list of dict
        History of the first stages, which are not trained again.

    Attributes
    ----------
    first : int
        First stage to train, from 0.
    history : list of list of dict
        History of each kept stage.
    kept : list of Stage
        Usable stages.
    failure : BaseException or None
        Exception that ended training: Ctrl-C, divergence or another one.
    """

    def __init__(self, stages, n_known, history):
        self.stages, self.n_known = stages, n_known
        self.first, self.history = len(history), history
        self.kept, self.failure = stages, None
        self._before = [copy.copy(stage) for stage in stages[:n_known]]
        for stage in self._before:
            stage.network = copy.deepcopy(stage.network)

    def start_stage(self, progress, known=()):
        """Callback for the rows of the next stage; it returns True to stop the stage.

        `known` are rows of epochs that are known from a checkpoint.
        """
        number = len(self.history) + 1
        rows = [{"stage": number, **row} for row in known]
        self.history.append(rows)
        for row in rows:
            progress.known(number, row)

        def report(row):
            rows.append({"stage": number, **row})
            return progress.epoch(number, row)

        return report

    def __enter__(self):
        """Begin training: an exception, also Ctrl-C, ends the block and is stored as `failure`."""
        return self

    def __exit__(self, kind, error, traceback):
        self.failure = error
        return True

    @property
    def is_empty(self):
        """Whether training failed without any new result."""
        return self.failure is not None and not (self.kept and any(self.history[self.first :]))

    def settle(self, chips, truth, samples, settings):
        """Determine the usable stages after a failure.

        These are all completed stages, and the stage in training with the weights that
        :func:`skwing._training.loop.train` restored, if it has a complete epoch and did not
        diverge in it. Stages of the previous fit are kept.
        """
        if self.failure is None:
            return
        running = len(self.history) - 1
        rows = self.history[running] if running >= self.first else []
        diverged = isinstance(self.failure, Diverged)
        if rows and diverged and not is_sound(self.stages[: running + 1], chips, truth):
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

    def tell(self, checkpoint=None):
        """Warn if the user interrupted training; raise any other exception that ended it.

        It gets a note about the state of the regressor. The next fit continues from the
        checkpoint.
        """
        if self.failure is None:
            return
        epochs = ", ".join(
            f"stage {i + 1} after {len(rows)} epochs" for i, rows in enumerate(self.history)
        )
        kept = f"The regressor is fitted with the completed training: {epochs}"
        # Processes that train together are interrupted at different moments.
        if isinstance(self.failure, KeyboardInterrupt) and ranks.n_processes() == 1:
            then = "With warm_start=True, fit continues"
            if checkpoint is not None:
                then = f"The same fit continues from {checkpoint.path}"
            warn_caller(f"training was interrupted by the user. {kept}. {then}")
            return
        self.failure.add_note(f"{kept}.")
        raise self.failure
