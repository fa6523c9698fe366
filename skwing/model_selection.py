"""Search over parameters on one GPU, with the interface of scikit-learn's GridSearchCV."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable

from skwing._training.together import kind_of, train_together
from skwing._utils.ambient import plain_state
from skwing._utils.device import check_device
from skwing._utils.doc_links import DocLinkMixin
from skwing._utils.threads import one_thread
from skwing._utils.unwrap import parts_of
from skwing._utils.warnings import silent, warn_caller
from skwing.cascade import CascadeLandmarkRegressor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skwing._training.plan import Plan
    from skwing._utils.types import Floats
    from skwing.images._types import ImagesLike

__all__ = ["BatchedGridSearchCV"]

_KINDS = ("cuda",)  # of devices on which fits are trained together
_NAMES = {"checkpoint": "fits", "cache": "chips"}  # what has a temporary folder
_FUNCTIONS = ("loss", "networks")  # parameters of which checkpoints know names only


class BatchedGridSearchCV(DocLinkMixin, GridSearchCV):
    """Grid search that trains the first stages of its fits together, on one GPU.

    A small network leaves most of a GPU idle. The fits of a split that differ only in `loss`, `w`,
    `epsilon`, `optimizer`, `learning_rate`, `momentum`, `weight_decay` or `schedule` see the same
    batches in the first stage. These are made once, and the steps of all networks run at the same
    time. Then the ordinary search runs, whose fits continue from there. Everything else is as
    in :class:`sklearn.model_selection.GridSearchCV`, and `cv_results_` are equal except for
    rounding, and for times. On a CPU, it is the ordinary search.

    Parameters
    ----------
    estimator : CascadeLandmarkRegressor or Pipeline
        A pipeline ends with the regressor. Other estimators are searched as usual. If the regressor
        has no `checkpoint` and no `cache`, the search uses a temporary folder for them, for a few
        megabytes per fit and the parts of the images that training reads.
    param_grid : dict or list of dict
        Values of each parameter to search over.
    scoring : str, callable, list, tuple or dict, default=None
        None uses `score` of the estimator.
    n_jobs : int, default=None
        Number of processes for what remains of the fits, and for scores.
    refit : bool, str or callable, default=True
        Whether to fit an estimator with the best parameters to all samples.
    cv : int, cross-validation generator or iterable, default=None
        None is 5-fold cross-validation.
    verbose : int, default=0
        Messages of the ordinary search. Epochs that are trained together are not reported.
    pre_dispatch : int or str, default="2*n_jobs"
        Number of fits that are sent to processes in advance.
    error_score : "raise" or numeric, default=np.nan
        Score of fits that fail. A fit that diverges in the joint training is trained again by
        itself, which decides.
    return_train_score : bool, default=False
        Whether to compute scores on training samples.

    Attributes
    ----------
    cv_results_ : dict of arrays
        `mean_fit_time` includes an equal share of the joint training, `std_fit_time` does not.
    best_estimator_, best_params_, best_score_, best_index_
        As in GridSearchCV.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : The ordinary search, with several processes if wanted.

    Notes
    -----
    Fits are trained alone by the ordinary search if their regressor has another `random_state` than
    an int, `early_stopping`, callbacks, `start` or `warm_start`; if no other fit of the split sees
    the same batches; or if `fit` gets further parameters than `groups`. Later stages, whose crops
    are placed by the first one, are trained alone too, and so is the refit. If the memory of the
    GPU does not suffice, fits are trained in several groups. If fits run on several machines, give
    the regressor a `checkpoint` and a `cache` in a folder that all of them see.

    If parameters of several candidates cannot be told apart by name, as two lambda functions as
    `loss`, it is the ordinary search.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.datasets import make_faces
    >>> from skwing.model_selection import BatchedGridSearchCV
    >>> X, y = make_faces(20, random_state=0, return_X_y=True)
    >>> regressor = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    >>> search = BatchedGridSearchCV(regressor, {"w": [5.0, 10.0]}, cv=2).fit(X, y)
    >>> len(search.cv_results_["params"])
    2
    """

    def fit(self, X: ImagesLike, y: ArrayLike | None = None, **params: Any) -> Self:
        """Fit and score all candidates, and refit the best one.

        Parameters
        ----------
        X : as in `fit` of the estimator
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.
        **params
            `groups` for the splitter, and parameters for `fit` of the estimator.

        Returns
        -------
        self : BatchedGridSearchCV

        Raises
        ------
        ValueError, TypeError
            See :meth:`sklearn.model_selection.GridSearchCV.fit`.

        Warns
        -----
        UserWarning
            If fits cannot be trained together for an unforeseen reason; each is then trained alone.
        """
        if y is None or not self._trains_together(params):
            return super().fit(X, y, **params)
        for candidate in ParameterGrid(self.param_grid):
            # An unknown name is an error of the estimator as given, without temporary folders.
            clone(self.estimator).set_params(**clone(candidate, safe=False))
        X, y = indexable(X, y)
        splits = list(check_cv(self.cv, y).split(X, y, params.get("groups")))
        with tempfile.TemporaryDirectory(prefix="skwing-", ignore_cleanup_errors=True) as folder:
            estimator, added = _with_folders(self.estimator, folder)
            with plain_state(), one_thread:
                candidates = list(ParameterGrid(self.param_grid))
                seconds = _train_ahead(estimator, candidates, splits, X, y)
            if seconds is None:
                estimator, added = self.estimator, {}
            try:
                with _changed(self, cv=splits, estimator=estimator):
                    super().fit(X, y, **params)
            finally:  # a refit that fails leaves `best_estimator_`, too
                _without_folders(getattr(self, "best_estimator_", None), added)
        if seconds is not None:
            self.cv_results_["mean_fit_time"] += seconds.mean(axis=1)
        return self

    def _trains_together(self, params: dict[str, Any]) -> bool:
        """Whether fits can be trained together at all."""
        regressor, _ = _regressor_of(self.estimator)
        parts = [self, *parts_of(self.estimator)]
        if (
            regressor is None
            or set(params) - {"groups"}
            or (params and get_config()["enable_metadata_routing"])
            or any(getattr(part, "_skl_callbacks", None) for part in parts)
        ):
            return False
        try:
            return check_device(regressor.device).type in _KINDS
        except ValueError:  # is raised again by the fits
            return False


def _regressor_of(estimator: Any) -> tuple[CascadeLandmarkRegressor | None, str]:
    """The regressor of a pipeline, or itself, and the prefix of its parameters."""
    if type(estimator) is CascadeLandmarkRegressor:
        return estimator, ""
    # Pipelines of other libraries treat samples differently.
    if type(estimator) is Pipeline and type(estimator.steps[-1][1]) is CascadeLandmarkRegressor:
        name, regressor = estimator.steps[-1]
        return regressor, f"{name}__"
    return None, ""


def _with_folders(estimator: Any, folder: str) -> tuple[Any, dict[str, str]]:
    """A clone whose regressor has a checkpoint and a cache, and the parameters that it needed."""
    regressor, prefix = _regressor_of(estimator)
    added = {
        prefix + name: os.path.join(folder, part)
        for name, part in _NAMES.items()
        if getattr(regressor, name) is None
    }
    return clone(estimator).set_params(**added), added


def _without_folders(estimator: Any, added: dict[str, str]) -> None:
    """Remove the folders from the parameters of an estimator, if it has them."""
    if estimator is not None:
        found = estimator.get_params()
        names = [name for name, path in added.items() if found.get(name) == path]
        estimator.set_params(**dict.fromkeys(names))


@contextlib.contextmanager
def _changed(search: Any, **changed: Any) -> Iterator[None]:
    """Context manager in which a search has other parameters."""
    before = {name: getattr(search, name) for name in changed}
    vars(search).update(changed)
    try:
        yield
    finally:
        vars(search).update(before)


def _train_ahead(
    estimator: Any, candidates: list[dict[str, Any]], splits: list[Any], X: Any, y: Any
) -> Floats | None:
    """Train the first stages of all fits that can be trained together.

    Returns the seconds of each fit, of shape (n_candidates, n_splits), or None if the checkpoints
    of two candidates with different functions are the same.
    """
    seconds = np.zeros((len(candidates), len(splits)))
    _, prefix = _regressor_of(estimator)
    for j, (rows, _) in enumerate(splits):
        X_own, y_own = _safe_indexing(X, rows), _safe_indexing(y, rows)
        groups: defaultdict[Any, list[Any]] = defaultdict(list)
        functions: dict[str, list[Any]] = {}  # of each checkpoint
        for i, candidate in enumerate(candidates):
            with silent():
                regressor, plan = _planned(estimator, candidate, X_own, y_own)
            if plan is None or plan.checkpoint is None:
                continue
            path, own = plan.checkpoint.path, [candidate.get(prefix + name) for name in _FUNCTIONS]
            if functions.get(path, own) != own:
                return None
            if path not in functions:  # else it is the same fit
                functions[path] = own
                groups[kind_of(regressor, plan)].append((i, regressor, plan))
        groups.pop(None, None)
        for group in groups.values():
            numbers = [i for i, _, _ in group]
            seconds[numbers, j] = _train_group([(regressor, plan) for _, regressor, plan in group])
    return seconds


def _planned(
    estimator: Any, candidate: dict[str, Any], X: Any, y: Any
) -> tuple[CascadeLandmarkRegressor | None, Plan | None]:
    """The regressor of a candidate, and the plan of its fit; None if it would fail."""
    try:
        own = clone(estimator).set_params(**clone(candidate, safe=False))
        regressor, prefix = _regressor_of(own)
        if regressor is None:
            return None, None
        if prefix and len(own) > 1:
            X = own[:-1].fit_transform(X, y)
        return regressor, regressor._check(X, y, None, None, None, resumes=True)
    except Exception:  # the fit raises it again, and the search decides what follows
        return None, None


def _train_group(group: list[tuple[CascadeLandmarkRegressor, Plan]]) -> float:
    """Train fits of the same kind together, and return the seconds of each."""
    if len(group) < 2:
        return 0.0
    start, is_too_large = time.perf_counter(), False
    try:
        with silent():
            train_together([plan for _, plan in group], group[0][0]._prepare)
    except torch.OutOfMemoryError:
        is_too_large = True
    except (OSError, ValueError):  # of the data: the fits raise it again
        pass
    except Exception as error:
        warn_caller(
            f"{len(group)} fits cannot be trained together ({type(error).__name__}: {error}): they "
            "are trained one after the other"
        )
    if torch.cuda.is_initialized():  # other processes may need the memory
        torch.cuda.empty_cache()
    if is_too_large:
        middle = len(group) // 2
        for part in (group[:middle], group[middle:]):
            _train_group(part)
    return (time.perf_counter() - start) / len(group)
