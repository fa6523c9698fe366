"""A cascade of networks; each reads a crop placed by the previous prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skwing._prediction.before_0_7 import packed_of_0_6
from skwing._prediction.before_0_8 import packed_of_0_8
from skwing._prediction.certainty import calibrate_certainty
from skwing._prediction.confidence import calibrate, error_units
from skwing._prediction.prediction_mixin import PredictionMixin
from skwing._prediction.state import ATTRIBUTES, put, taken
from skwing._training.doubt_limit import make_retry
from skwing._training.fitted import fitted_attributes
from skwing._training.parameters import SETTINGS
from skwing._training.parameters_mixin import ParametersMixin
from skwing._training.plan import Plan, make_plan
from skwing._training.prepare import prepare
from skwing._training.samples import check_samples, drop_unboxed, labelled
from skwing._training.seen import warn_of_seen
from skwing._training.train_cascade import train_cascade
from skwing._training.unlabelled import (
    check_same_unlabelled,
    check_unlabelled,
    further_parameters,
    with_predicted,
)
from skwing._utils.ambient import plain_state
from skwing._utils.callbacks import CallbackSupportMixin, with_callbacks
from skwing._utils.checks import check_table
from skwing._utils.doc_links import DocLinkMixin
from skwing._utils.estimators import BaseEstimator
from skwing._utils.landmarks import as_points, is_flat
from skwing._utils.pickle_format import pack, unpack, written_by
from skwing._utils.random import drawing
from skwing._utils.ranks import joined, shared
from skwing._utils.threads import one_thread
from skwing._utils.unwrap import check_order, schema_of
from skwing.metrics import nme
from skwing.metrics._errors import check_measurable
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from skwing._crops.augmentation import Augmentation
    from skwing._utils.types import FilePath, Floats, HistoryRow, PerStage, Predictor, RandomState
    from skwing.boxes import BoxRelation
    from skwing.images._types import ImagesLike
    from skwing.losses import Loss
    from skwing.networks._contract import NetworkBuilder
    from skwing.schema import LandmarkSchema


class CascadeLandmarkRegressor(
    CallbackSupportMixin,
    DocLinkMixin,
    ParametersMixin,
    PredictionMixin,
    RegressorMixin,
    BaseEstimator,
):
    """Landmark localisation by a cascade of convolutional networks.

    The network of the first stage reads a crop of the box. In later stages, the similarity
    transform that aligns the previous prediction with the mean shape places the crop, which
    removes the in-plane rotation and corrects inaccurate boxes. A single network is a plain
    regressor; the paper uses a cascade of two.

    Parameters
    ----------
    networks : sequence of str or callable, or "auto", default="auto"
        The network of each stage: a name in :data:`skwing.networks.NETWORKS`, or a callable
        that takes the number of landmarks and returns a module with an attribute `input_size`
        (see :func:`skwing.networks.check_network`). "auto" is
        ``("shape_indexed_64_coarse", "shape_indexed_128")`` and, for large images,
        ``"patches_256"`` as a third stage, which reads patches around the landmarks at higher
        resolution. Images are large if the landmarks extend over 221 pixels or more in the
        median, twice as many as in the crop of the second stage. With a `start` or a previous
        fit (`warm_start`), "auto" is its networks, followed by the missing ones of these. The
        cascade of the paper is
        ``("cnn6_plain", "cnn7_plain")``. ``("cnn6", "cnn7")`` are the same networks with batch
        normalisation, which need far fewer training steps.
    loss : str or callable, default="wing"
        A name in :data:`skwing.losses.LOSSES`, or a callable that takes residuals in input
        pixels and returns one value per coordinate.
    w, epsilon : float or sequence of float, default=10.0, 2.0
        Parameters of the Wing losses, in pixels of the network's input: the loss is
        logarithmic for errors below `w`, with a slope of ``w / epsilon`` at 0. As for all
        parameters "per stage", a single number applies to all stages; a tuple gives one
        value per stage, where the last value is repeated and extra values are ignored.
    schema : str or LandmarkSchema, default=None
        Definition of the landmarks; None uses the schema of the data. Without a schema,
        samples are not mirrored.
    max_epochs : int or "auto", per stage, default="auto"
        Number of epochs. "auto" is 60 for the first stage and 160 for later stages with 1600
        samples, and inversely proportional to the square root of the number of samples: 240
        and 640 with 100 samples, 17 and 46 with 20000; at most 424 and 1131. With a `start`, it
        is half of them, and at most 60 and 160. An epoch has as many draws as there are
        samples, with or without repeats, so that training has the same cost with and without
        balancing. Samples are drawn in proportion to their repeats.
    batch_size : int, default=32
        Number of samples per training step, in all processes together if several train; at
        most the number of training samples, or 32 if they are fewer: a step then holds
        several crops of each.
    optimizer : {"adamw", "sgd"}, default="adamw"
        Optimiser for training.
    learning_rate : float or "auto", per stage, default="auto"
        Peak learning rate; "auto" is 3e-3, and 1e-3 with a `start` of the same landmarks. The
        loss is averaged over coordinates; multiply a learning rate for a loss that is summed
        over the 2L coordinates by 2L.
    momentum : float, default=0.9
        SGD momentum, or AdamW's beta1.
    weight_decay : float, per stage, default=0.5
        AdamW: decoupled decay, which is scaled by the learning rate. SGD: L2 term in the
        gradient, for which values such as 5e-4 are common.
    schedule : {"one_cycle", "cosine", "exponential", "constant"}, default="one_cycle"
        Learning rate schedule of each stage.
    margin : float, per stage, default=(0.0, 0.08)
        Margin of the crop on each side of the box (first stage) or of the mean shape (later
        stages), as a fraction of its longer side.
    augmentation : Augmentation, "default" or None, default="default"
        Augmentation of the training crops, see :class:`skwing.Augmentation`. "default" is
        equivalent to ``Augmentation()``; None disables augmentation. In a grid search, use
        names such as `augmentation__rotation`, also with "default": ``set_params`` then
        replaces "default" by an `Augmentation`.
    refine_on : {"predicted", "truth"}, default="predicted"
        Whether the training crops of later stages are placed by the predictions of the
        previous stages, with their augmentation, or by the true landmarks. In both cases,
        the augmentation of the stage is applied too. Stages that read patches are always
        trained around the true landmarks.
    average_mirrored : bool, default=True
        Whether predictions are averaged over each crop and its mirror image. This lowers the
        error on 300-W by about 1.5 % and at most doubles the time of `predict`. Has no effect
        without a schema with mirror pairs.
    retry : bool, default=True
        Whether doubtful predictions are repeated from other crops: first from one that is placed
        by the prediction itself, then from crops of eight orientations, three scales and up to
        five places. What is found there replaces the prediction if turned crops around it lead to
        the same landmarks. This finds objects that are rolled by any angle, and corrects poor
        boxes. A prediction is doubtful if those for a crop and for its mirror image, and those of
        the last two stages, differ by more than 1.5 times the 95th percentile on training samples;
        if predictions are not averaged over mirrored crops, those of all successive stages, by more
        than 1.25 times. Such samples take about 10 to 20 times as long, and up to 80 times if
        nothing is found. Has no effect on a single stage without mirrored crops, nor on objects
        that look alike after a quarter or half of a turn.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the samples (or to use `X_val`, `y_val`),
        to stop a stage after `n_iter_no_change` epochs without a lower validation error, and
        to restore its best weights. Only epochs after the learning rate has decreased to a
        tenth of its peak are considered, because the error decreases with it; with the
        schedule "constant", all epochs are. Samples of the same image are not separated.
    validation_fraction : float, default=0.1
        Fraction of the samples to hold out for early stopping.
    n_iter_no_change : int, default=10
        Number of epochs without improvement after which a stage is stopped.
    precision : {"auto", "mixed", "float32"}, default="auto"
        Precision of training. "mixed" uses bfloat16; "auto" does if the hardware supports it
        efficiently and the network allows it. Prediction always uses float32.
    device : str or torch.device, default="auto"
        Device of the networks. "auto" is a CUDA device, or the CPU if there is none. If several
        processes train, "auto" is another CUDA device for each of a machine.
    cache : path or None, default=None
        Folder for the parts of the images that training reads, for data sets that are larger than
        the memory, and for searches. They are cut once, read from there in each epoch, and found
        again by later fits and by those of a search, also at the same time. Results do not
        change. A change of an image file, of a box or of the version of skwing or OpenCV is
        noticed. None keeps them in memory. See :doc:`/how_to/large_data`.
    start : path, fitted model or None, default=None
        Model whose weights training begins with, for data with few labels: a file of
        :func:`skwing.save_model`, or a fitted regressor, pipeline or search, which is not
        changed. `networks`, if they are not "auto", must be of the same kinds, or the first
        of them; further ones begin anew. If the landmarks are as many, and have the same names
        or none, all weights are taken, and if the networks are as many too, the crops and the
        mean shape, and `margin` is ignored. Of other landmarks, the convolutions and all other
        weights that do not depend on landmarks are taken, and those of the landmarks that the
        schemas of both name alike. Names that all contain a number, such as ``lm_1``, are not
        compared. Clones, as in searches, lose the fit of a regressor that is a parameter: use a
        file or :class:`sklearn.frozen.FrozenEstimator` there. Terms of use of the weights
        (`notice_`) stay with them.
    warm_start : bool, default=False
        Whether `fit` continues with the networks and the crops of the previous fit; the
        parameters `networks`, `margin` and `start` are then ignored. If neither `schema` nor
        the data say which landmarks swap places in a mirrored image, the previous schema is
        kept.
    checkpoint : path or None, default=None
        Where `fit` writes its state, so that it can continue after the process was killed: `fit`
        with the same parameters and data continues from the last state, and gives the same
        model, on a CPU bit by bit. A path that ends in ``.safetensors`` is a file; other data or
        parameters are then an error. Any other path is a folder, which is created and has a file
        for each set of parameters and data, as in searches. The state is written once per
        minute, or less often if this would take more than a hundredth of the time, and after
        each stage. After training, the file holds the result, which the same `fit` returns
        without training. Of custom networks and losses, only the names are compared.
    callbacks : list of callable or None, default=None
        Functions that are called after each epoch with its row of `history_`, a dict. If one
        returns True, the stage ends. They are not part of model files. Callbacks of scikit-learn
        are set by `set_callbacks`.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers. The same integer gives the same result on the same CPU,
        also if fits run in several threads. Global random states are neither read nor
        changed; None takes a seed from the operating system.
    verbose : int, default=0
        1 shows a progress bar, 2 prints a line per epoch.

    Attributes
    ----------
    networks_ : list of torch.nn.Module
        Trained networks, in evaluation mode.
    mean_shape_ : ndarray of shape (n_landmarks, 2)
        Generalised Procrustes mean of the training shapes. It is made symmetric if the schema
        has mirror pairs, so that mirrored training crops resemble those of prediction.
    asymmetry_ : list of ndarray of shape (n_landmarks, 2)
        Per-landmark offset added to each network's output, in pixels of its input, for labels
        that are not mirror-symmetric. Zero if training crops are not mirrored.
    n_landmarks_ : int
        Number of landmarks.
    box_relation_ : dict or None
        Relation of the boxes to the landmarks of the training samples, see
        :func:`skwing.boxes.box_relation`; None without boxes, or if the boxes are whole images.
        :func:`skwing.tracking.track` uses it to place the boxes of tracked faces.
    schema_ : LandmarkSchema or None
        Schema of the landmarks.
    history_ : list of dict
        One row per epoch: stage (from 1), epoch, loss, learning_rate, seconds, n_samples and,
        with validation, validation_error (mean NME).
    n_iter_ : list of int
        Number of epochs run in each stage.
    mirrored_ : list of bool
        Whether each network was trained on mirrored crops. Only those are averaged over
        mirrored crops in prediction.
    notice_ : str or None
        Terms of use of the weights, see :func:`skwing.save_model`.
    calibration_ : object
        Model of the uncertainty for ``predict(X, return_std=True)``. Only after `calibrate`.

    See Also
    --------
    skwing.PoseBalancer : Balance the poses of the training samples.

    Notes
    -----
    Feng et al., Wing Loss for Robust Facial Landmark Localisation with Convolutional
    Neural Networks, CVPR 2018: loss in section 4, balancing in section 5, cascade in
    section 6.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.datasets import make_faces
    >>> X, y = make_faces(20, random_state=0, return_X_y=True)
    >>> reg = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=2, random_state=0)
    >>> reg.fit(X, y).predict(X).shape
    (20, 68, 2)
    """

    _constraints = SETTINGS

    networks_: list[nn.Module]
    mean_shape_: Floats
    asymmetry_: list[NDArray[np.float32]]
    n_landmarks_: int
    box_relation_: BoxRelation | None
    schema_: LandmarkSchema | None
    history_: list[HistoryRow]
    n_iter_: list[int]
    mirrored_: list[bool]
    notice_: str | None
    calibration_: Any

    def __init__(
        self,
        *,
        networks: Sequence[str | NetworkBuilder] | Literal["auto"] = "auto",
        loss: str | Loss = "wing",
        w: PerStage = 10.0,
        epsilon: PerStage = 2.0,
        schema: str | LandmarkSchema | None = None,
        max_epochs: int | Literal["auto"] | Sequence[int | Literal["auto"]] = "auto",
        batch_size: int = 32,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        learning_rate: PerStage | Literal["auto"] | Sequence[float | Literal["auto"]] = "auto",
        momentum: float = 0.9,
        weight_decay: PerStage = 0.5,
        schedule: Literal["one_cycle", "cosine", "exponential", "constant"] = "one_cycle",
        margin: PerStage = (0.0, 0.08),
        augmentation: Augmentation | Literal["default"] | None = "default",
        refine_on: Literal["predicted", "truth"] = "predicted",
        average_mirrored: bool = True,
        retry: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        precision: Literal["auto", "mixed", "float32"] = "auto",
        device: str | torch.device = "auto",
        cache: FilePath | None = None,
        start: FilePath | Predictor | None = None,
        warm_start: bool = False,
        checkpoint: FilePath | None = None,
        callbacks: Sequence[Callable[[HistoryRow], bool | None]] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.networks = networks
        self.loss = loss
        self.w = w
        self.epsilon = epsilon
        self.schema = schema
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.margin = margin
        self.augmentation = augmentation
        self.refine_on = refine_on
        self.average_mirrored = average_mirrored
        self.retry = retry
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.precision = precision
        self.device = device
        self.cache = cache
        self.start = start
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @plain_state()
    @one_thread
    def fit(
        self,
        X: ImagesLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: ImagesLike | None = None,
        y_val: ArrayLike | None = None,
        X_unlabelled: ImagesLike | None = None,
    ) -> Self:
        """Train the networks of all stages, one after the other.

        Parameters
        ----------
        X : BoxedImages, array of shape (n_samples, height, width[, 3]), sequence of images or \
                of file paths, or DataFrame
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels, NaN = missing. `predict` returns the same layout.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, in addition to repeats. Samples with weight 0
            are ignored completely.
        X_val, y_val : like X and y, default=None
            Held-out data for validation errors, and for `early_stopping`.
        X_unlabelled : like X, default=None
            Further images of the same kind, without landmarks. After the training, the regressor
            predicts their landmarks, and a second training of as many draws continues on all
            images; about a quarter of its draws are of X, more if there are few others. `history_`
            and `n_iter_` are those of the second training; callbacks of scikit-learn follow the
            first one only. Images that cannot be read are left out with a warning, but a missing
            file is an error before training.

        Returns
        -------
        self : CascadeLandmarkRegressor

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            If a parameter, image, box, landmark or weight is invalid; this is checked before
            training. ValueError also if training diverges: a weight or prediction is not
            finite, or predictions on training samples are much worse than the mean shape.

        Warns
        -----
        UserWarning
            If training is interrupted by Ctrl-C after the first epoch.

        Notes
        -----
        If training ends early, by Ctrl-C or by an error, the regressor is fitted with all
        completed stages, and with the stage in training if it has completed an epoch. This
        stage has its best weights if there are validation data, else those of the last
        completed epoch. After Ctrl-C, `fit` emits a warning and returns, so that a search
        continues with its next fit; errors are raised. If no epoch was completed, the
        regressor is unchanged. The next `fit` with ``warm_start=True`` trains only the
        missing stages. With a `checkpoint`, the same `fit` continues where it was last written.

        In an initialised process group of `torch.distributed`, all processes must call `fit`
        with the same parameters and data, and train one model together: each computes a part of
        each batch, so that the result does not depend on their number except for rounding. An
        error in one process is an error in all of them, and so is Ctrl-C. The first process
        reports progress, calls the callbacks and writes the checkpoint.

        In searches and cross-validation of scikit-learn, `X_val`, `y_val` and `X_unlabelled` are
        divided like X if they have as many samples as X.
        """
        with joined():
            plan = self._check(X, y, sample_weight, X_val, y_val, resumes=True)
            holds_out = self.early_stopping and X_val is None
            unlabelled = check_unlabelled(
                X_unlabelled, plan.train, plan.schema, holds_out=holds_out
            )
            check_same_unlabelled(unlabelled)
            is_complete = self._train(plan, flat=is_flat(y))
            if unlabelled is not None and is_complete:
                relation = self.box_relation_  # of true landmarks
                both, max_epochs = with_predicted(self, plan.train, unlabelled)
                changed = further_parameters(self, max_epochs)
                parts = both.data, both.points, both.weights
                plan = self._check(*parts, X_val, y_val, resumes=True, changed=changed)
                try:
                    self._train(plan, flat=is_flat(y))
                finally:
                    self.box_relation_ = relation
        return self

    def _train(self, plan: Plan, *, flat: bool) -> bool:
        """Train by a plan and set the fitted attributes; False if training was interrupted."""
        with drawing(plan.seed):
            chips, stages = self._prepare(plan)
            history = [self._rows_of(i) for i in range(plan.first)]
            run = train_cascade(plan, chips, stages, history=history, estimator=self)
            self._keep(run, plan, chips, flat=flat)
        run.tell(plan.checkpoint)
        return run.failure is None

    def _check(
        self,
        X: ImagesLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        X_val: ImagesLike | None,
        y_val: ArrayLike | None,
        *,
        resumes: bool = False,
        changed: dict[str, Any] | None = None,
    ) -> Plan:
        """Validate everything that does not require decoded images; return a plan.

        Validated parameters are replaced by those of `changed`.
        """
        given = check_table(self._constraints, self)
        vars(given).update(changed or {})
        return make_plan(
            self, given, (X, y, sample_weight), (X_val, y_val), resumes, changed is not None
        )

    def _prepare(self, plan: Plan) -> tuple[Any, Any]:
        """Cut the chips of the training samples and create the stages."""
        chips, networks, crops, asymmetries = prepare(plan)
        return chips, self._make_stages(
            networks, crops, asymmetries, plan.mirrored, plan.schema, plan.device
        )

    def _rows_of(self, stage: int) -> list[HistoryRow]:
        """Rows of the history of a stage, counted from 0."""
        return [row for row in self.history_ if row["stage"] == stage + 1]

    def _keep(self, run: Any, plan: Plan, chips: Any, *, flat: bool) -> None:
        """Set the fitted attributes, at once: an interruption never mixes those of two fits."""
        fitted = fitted_attributes(run, plan, chips, flat)
        self.__dict__.pop("calibration_", None)  # not valid for the new networks
        self.__dict__.update(fitted)
        self._retry = make_retry(run.kept, chips, plan, self.mirrored_)
        if run.failure is None:
            self._retry = shared(self._retry)

    @plain_state()
    def calibrate(self, X: ImagesLike, y: ArrayLike) -> Self:
        """Estimate the uncertainty of predictions from held-out samples.

        It is required for ``predict(X, return_std=True)`` and
        ``predict(X, return_confidence=True)``.

        Parameters
        ----------
        X : as in `fit`
            Held-out samples of other persons or photographs than the training samples, on
            which errors and uncertainty are underestimated.
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.

        Returns
        -------
        self : CascadeLandmarkRegressor
            With the attribute `calibration_`, which the next `fit` removes.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a landmark is missing in all samples.

        Warns
        -----
        UserWarning
            If there are fewer than ten samples.
        DataWarning
            If samples were used for training: these are recognised if their landmarks and their
            files, or arrays, are unchanged. Of a model that was trained on more than 4096
            samples, as many of them are recognised.

        Notes
        -----
        The spread of a landmark is the standard deviation of its predictions when the crop
        of the last stage is shifted by 4 % of its side and rotated by 8 degrees. The variance
        of the error is modelled as the sum of three terms: a constant of the landmark, in
        units of the shape's size (for a single landmark, of the side of its box), and the
        squared spreads of the landmark and of the whole shape, each times a factor.

        The confidence is a logistic function of the logarithm of the doubt, the geometric mean
        of two distances: between the predictions for a crop and for its mirror image, and
        between those of the last two stages. Since failures are rare in held-out samples, up
        to 200 of them are predicted three more times from crops that are turned by up to 180
        degrees, scaled by up to 1.4 and shifted, in one case so far that the object is missed.
        This case has a tenth of the weight of the others. A single network without mirrored crops
        has neither of the two distances, and no confidence.
        """
        check_is_fitted(self)
        truth = labelled(drop_unboxed(check_samples(X, y, None, self.n_landmarks_)))
        check_order(self.schema_, truth.data.schema)
        warn_of_seen(truth, self._seen)
        found = self._locate(truth.data, spread=True)
        points = found.points[-1]
        errors = np.linalg.norm(points - truth.points, axis=-1)
        calibration = calibrate(errors, found.spread, error_units(points, found.sides))
        size, averaged = self.crops_[0].size, bool(self.average_mirrored)
        certainty = calibrate_certainty(self._locate, truth, found, size, averaged)
        self.calibration_, self._certainty = calibration, certainty
        return self

    @plain_state()
    def score(self, X: ImagesLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the negative mean normalised error: higher is better, 0 is perfect.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the mean.

        Returns
        -------
        score : float
            Errors are normalised by the inter-ocular distance if the schema (of the
            regressor, or else of X) defines it, else by the size of the box around the true
            landmarks (geometric mean of its sides). Samples for which this length is
            undefined, and samples with missing boxes, are ignored.
        """
        check_is_fitted(self)
        truth = drop_unboxed(check_samples(X, y, sample_weight, self.n_landmarks_))
        predicted = as_points(self.predict(truth.data), self.n_landmarks_)
        schema = check_schema(schema_of(self, truth.data), self.n_landmarks_)
        errors = nme(truth.points, predicted, schema=schema, per_sample=True)
        weights = np.ones(len(errors)) if truth.weights is None else truth.weights
        errors[weights == 0] = np.nan
        known = check_measurable(errors, "samples of weight above zero")
        return -float(np.average(errors[known], weights=weights[known]))

    def __getstate__(self) -> dict[str, Any]:
        """State for pickling as plain data, see :func:`skwing._utils.pickle_format.pack`."""
        return pack(self, super().__getstate__(), ATTRIBUTES, taken(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "format" not in state:
            state = packed_of_0_6(state)
        state = packed_of_0_8(state)
        fitted = unpack(self, state)
        if fitted is not None:
            put(self, fitted, written_by(self, state["skwing"]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags
