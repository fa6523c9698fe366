"""CascadeLandmarkRegressor: networks in a row, each reading the crop that the last one asks for."""

import copy

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skwing._crops.chips import cut_chips
from skwing._crops.crop import make_crops
from skwing._crops.frames import cut_to_learn_on
from skwing._reading.before_0_7 import packed_of_0_6
from skwing._reading.before_0_8 import packed_of_0_8
from skwing._reading.confidence import calibrate, error_units
from skwing._reading.images import read_images
from skwing._reading.stages import make_stages
from skwing._reading.state import ATTRIBUTES, put, taken
from skwing._reading.warn import warn_of_boxes
from skwing._training.augmented import AugmentationMixin
from skwing._training.cascade import train_cascade
from skwing._training.mirroring import mirrored_as_known
from skwing._training.plan import Plan
from skwing._training.samples import (
    check_learnable,
    check_samples,
    drop_unboxed,
    drop_unused_samples,
    hold_out,
    warn_of_contradictions,
)
from skwing._training.settings import SETTINGS, stage_settings
from skwing._utils.ambient import plain_state
from skwing._utils.callbacks import CallbackSupportMixin, with_callbacks
from skwing._utils.checks import check_flag, check_table
from skwing._utils.device import check_device
from skwing._utils.doc_links import DocLinkMixin
from skwing._utils.envelope import pack, unpack, written_by
from skwing._utils.landmarks import as_layout, as_points, is_flat
from skwing._utils.random import check_random_state, drawing, redirected
from skwing._utils.threads import one_thread
from skwing._utils.unwrap import schema_of
from skwing._utils.warnings import warn_caller
from skwing.boxes import box_relation
from skwing.geometry import boxes_of
from skwing.images import as_boxed_images
from skwing.images._failures import check_on_error
from skwing.losses import bind_loss
from skwing.metrics import check_measurable, nme
from skwing.networks import check_networks, folded, of_entry, start_at
from skwing.schema import check_schema
from skwing.shapes._reference import reference_shape

_NOT_CALIBRATED = (
    "return_std needs calibrate(X, y) with held-out samples first, as errors on training samples "
    "are smaller than others"
)


class CascadeLandmarkRegressor(
    CallbackSupportMixin, DocLinkMixin, AugmentationMixin, RegressorMixin, BaseEstimator
):
    """Landmark localisation by a cascade of convolutional networks.

    The first network reads a crop of the box. The similarity that carries its landmarks
    onto the mean shape removes in-plane rotation and corrects a poor box, and gives the
    crop that the next network reads. One network makes a plain regressor, two the cascade
    of the paper.

    Parameters
    ----------
    networks : sequence of str or callable, default=("shape_indexed_64", "shape_indexed_128")
        One network a stage. Each is a name in :data:`skwing.networks.NETWORKS`, or a callable
        that takes the number of landmarks and returns a module with an attribute `input_size`
        (see :func:`skwing.networks.check_network`). The paper's cascade is
        ``("cnn6_plain", "cnn7_plain")``; ``("cnn6", "cnn7")`` are the same networks with batch
        normalisation, which take far fewer steps to train.
    loss : str or callable, default="wing"
        A name in :data:`skwing.losses.LOSSES`, or a callable that takes residuals in input
        pixels and returns one value a coordinate.
    w, epsilon : float or sequence of float, default=10.0, 2.0
        Of the Wing losses, in pixels of the stage's input: errors below `w` count
        logarithmically, and `epsilon` bounds the curvature. Like every setting below that
        says "per stage", a number holds for all stages; a tuple gives the first stage's
        value, the second's and so on, stages beyond it take its last value, and what it
        holds beyond the stages is not used.
    schema : str or LandmarkSchema, default=None
        What the landmarks mean; None takes the schema that the data carry. Without any,
        nothing is mirrored.
    max_epochs : int or "auto", per stage, default="auto"
        "auto" is 60 for the first stage and 160 for later ones with 1600 samples, and
        falls with the square root of their number: 240 and 640 with 100, 17 and 46 with
        20000.
        An epoch is as many draws as there are samples, with repeats or without: so
        training with and without balancing costs the same and compares fairly. Over
        the epochs each sample is drawn in proportion to its repeats.
    batch_size : int, default=32
    optimizer : {"adamw", "sgd"}, default="adamw"
    learning_rate : float, per stage, default=3e-3
        The greatest of the schedule. The loss is a mean over coordinates; a rate
        stated for a sum over the 2L coordinates is to be multiplied by 2L.
    momentum : float, default=0.9
        Of SGD; the first beta of AdamW.
    weight_decay : float, per stage, default=0.5
        Of AdamW it is decoupled from the gradient and shrinks with the learning rate; of SGD
        it is a gradient, and a value such as 5e-4 is usual.
    schedule : {"one_cycle", "cosine", "exponential", "constant"}, default="one_cycle"
    margin : float, per stage, default=(0.0, 0.08)
        What a crop shows around the box (first stage) or the mean shape (later ones), on
        each side, as a fraction of its longer side.
    augmentation : Augmentation, "default" or None, default="default"
        Random changes of training crops, see :class:`skwing.Augmentation`. "default" stands
        for ``Augmentation()``; None switches all random changes off. A grid varies single
        ones as `augmentation__rotation`, for the default too: ``set_params`` then replaces
        "default" by an Augmentation of its own.
    refine_on : {"predicted", "truth"}, default="predicted"
        What cuts the crops that later stages learn on: what the stages before predict
        under their own augmentation, or the true landmarks, in both cases disturbed by
        the stage's augmentation.
    average_mirrored : bool, default=True
        Whether every crop is read mirrored too, and the mean of both answers taken: about
        1.5 % less error on 300-W, for up to twice the time of `predict`. Takes a schema with
        mirror pairs, and does nothing without.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples (or take `X_val`, `y_val`), stop a
        stage after `n_iter_no_change` epochs without a lower error there, and keep its best
        weights. Only epochs count in which the learning rate has come down to a tenth of
        the greatest, as much of the error falls with it; with the schedule "constant", all.
        Samples of one image are held out together.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    precision : {"auto", "mixed", "float32"}, default="auto"
        Whether training runs in bfloat16; "auto" does where the hardware is faster at it
        and the network allows it. Prediction is in float32 always.
    device : str or torch.device, default="auto"
        "auto" is a CUDA device where there is one, else the CPU.
    warm_start : bool, default=False
        Whether `fit` goes on with the networks of the last fit, on the crops that they
        know: `networks` and `margin` are not read again.
    random_state : int, RandomState instance or None, default=None
        The same integer gives the same result on the same CPU, beside other fits in threads
        too. Global random states are neither read nor moved; None takes a seed from the
        operating system.
    verbose : int, default=0
        1 shows a progress bar, 2 prints a line an epoch.

    Attributes
    ----------
    networks_ : list of torch.nn.Module
        On the CPU or the device of `fit`, in evaluation mode.
    mean_shape_ : ndarray of shape (n_landmarks, 2)
        Generalised Procrustes mean of the training shapes, made symmetric where the schema
        tells how they are mirrored: mirrored crops are then cut as predict cuts them.
    asymmetry_ : list of ndarray of shape (n_landmarks, 2)
        What is added to the points that each network sees, in pixels of its input. Labels
        need not be mirrored exactly when an image is, and mirrored samples do not teach a
        network how they differ; this is learned beside it. Zero where nothing is mirrored.
    n_landmarks_ : int
    box_relation_ : dict or None
        How the boxes of the training samples lie around their landmarks, see
        :func:`skwing.boxes.box_relation`; None where they had no boxes. A face that is
        followed through a video gets such boxes, see :func:`skwing.tracking.track`.
    schema_ : LandmarkSchema or None
    history_ : list of dict
        A row an epoch: stage (from 1), epoch, loss, learning_rate, seconds, n_samples and,
        with validation, validation_error (mean NME).
    n_iter_ : list of int
        Epochs run, by stage.
    mirrored_ : list of bool
        Whether each network has learned on mirrored crops too, and so may read them.
    calibration_ : object
        After `calibrate`: how far errors go, for ``predict(X, return_std=True)``.

    See Also
    --------
    skwing.PoseBalancer : Balances the poses before this step of a pipeline.

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

    def __init__(
        self,
        *,
        networks=("shape_indexed_64", "shape_indexed_128"),
        loss="wing",
        w=10.0,
        epsilon=2.0,
        schema=None,
        max_epochs="auto",
        batch_size=32,
        optimizer="adamw",
        learning_rate=3e-3,
        momentum=0.9,
        weight_decay=0.5,
        schedule="one_cycle",
        margin=(0.0, 0.08),
        augmentation="default",
        refine_on="predicted",
        average_mirrored=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        precision="auto",
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @plain_state()
    @one_thread
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        """Train the networks, one after the other.

        Parameters
        ----------
        X : BoxedImages, array of shape (n_samples, height, width[, 3]), sequence of images or \
                of file paths, or DataFrame
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels, NaN = missing. `predict` answers in the same layout.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss; they go along with repeats. A sample of
            weight 0 is left out of everything.
        X_val, y_val : like X and y, default=None
            Held-out data to report errors on, and with `early_stopping` to stop by.

        Returns
        -------
        self : CascadeLandmarkRegressor

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            For a setting, image, box, landmark or weight that does not fit, before any
            training; names the sample. If training diverges: a weight or prediction is no
            number, or predictions on training samples are far worse than the mean shape.

        Warns
        -----
        UserWarning
            If training was interrupted by Ctrl-C after the first epoch.

        Notes
        -----
        Training that ends early, by Ctrl-C or by an error, leaves the regressor fitted as far
        as it came: with the stages that were finished, and the one in training where a whole
        epoch of it was. That one has its best weights by the validation data if there are
        any, else those of the last whole epoch. After Ctrl-C `fit` returns as usual, with a
        warning, so that a search goes on with its next fit; after an error the error is
        raised. Where no epoch was finished the regressor stays as it was. Stages that were
        not reached are trained by the next `fit` with ``warm_start=True``, which leaves
        those that are there as they are.
        """
        plan = self._check(X, y, sample_weight, X_val, y_val)
        with drawing(plan.seed):
            chips, stages = self._prepare(plan)
            history = [self._rows_of(i) for i in range(plan.first)]
            run = train_cascade(plan, chips, stages, history=history, estimator=self)
        self._keep(run, plan, chips, flat=is_flat(y))
        run.tell()
        return self

    def _check(self, X, y, sample_weight, X_val, y_val):
        """Plan of a fit: all that can be checked before an image is decoded."""
        given = check_table(self._constraints, self)
        builders = check_networks(given.networks)
        train = drop_unused_samples(check_samples(X, y, sample_weight))
        device = check_device(given.device)
        rng = check_random_state(given.random_state)
        schema = check_schema(
            train.data.schema if self.schema is None else self.schema, train.points.shape[1]
        )
        fraction = given.validation_fraction if given.early_stopping else None
        train, held_out = hold_out(train, X_val, y_val, fraction, rng)
        # "auto" goes by the samples that are trained on.
        settings = stage_settings(given, len(builders), len(train))
        check_learnable(train, held_out, schema)
        known = self._check_warm_start(train, len(builders))
        shape = self.mean_shape_ if known else reference_shape(train.points, len(builders), schema)
        return Plan(
            train=train,
            held_out=held_out,
            schema=schema,
            settings=mirrored_as_known(settings, shape, schema),
            losses=[bind_loss(given.loss, own.w, own.epsilon) for own in settings],
            builders=builders,
            mean_shape=shape,
            n_known=known,
            device=device,
            seed=int(rng.randint(np.iinfo(np.int32).max - len(builders))),
        )

    def _prepare(self, plan):
        """Chips of the training samples, and the stages that read them."""
        known, settings, samples = plan.n_known, plan.settings, plan.train
        networks = self._make_networks(plan)
        sizes, margins = [n.input_size for n in networks], [own.margin for own in settings]
        if known:
            chips = cut_chips(samples.data, self._frame, plan.device, check_sizes=True)
        else:
            chips = cut_to_learn_on(samples, sizes, margins, plan.device)
        warn_of_contradictions(samples, chips, plan.schema)
        mean_points = np.nanmean(chips.to_chip(samples.points), axis=0)
        crops = make_crops(sizes, margins, chips.frame, plan.mean_shape, mean_points)
        asymmetries = [np.zeros(mean_points.shape, dtype=np.float32) for _ in networks]
        if known:
            crops[:known], asymmetries[:known] = self.crops_, self.asymmetry_
        for network, crop in zip(networks[known:], crops[known:], strict=True):
            start_at(network, crop.start(mean_points))
        for network in networks:
            network.to(plan.device, memory_format=torch.channels_last)
        return chips, self._make_stages(
            networks, crops, asymmetries, plan.mirrored, plan.schema, plan.device
        )

    def _rows_of(self, stage):
        """Rows of history of a stage, from 0."""
        return [row for row in self.history_ if row["stage"] == stage + 1]

    def _keep(self, run, plan, chips, *, flat):
        """Set the fitted attributes."""
        n_kept, mirrored = len(run.kept), plan.mirrored
        for i, before in enumerate(getattr(self, "mirrored_", [])[: plan.n_known]):
            # The networks of a stage that was not trained now are as they were.
            trained = i >= plan.first and run.history[i]
            mirrored[i] = mirrored[i] if trained else before
        builders = [*getattr(self, "_builders", [])[: plan.n_known], *plan.builders[plan.n_known :]]
        self.networks_ = [stage.network.eval() for stage in run.kept]
        self.crops_ = [stage.crop for stage in run.kept]
        self.asymmetry_ = [stage.asymmetry.cpu().numpy() for stage in run.kept]
        self.mirrored_ = mirrored[:n_kept]
        self.mean_shape_ = plan.mean_shape
        self.n_landmarks_ = len(plan.mean_shape)
        self.box_relation_ = box_relation(plan.train.data.boxes, boxes_of(plan.train.points))
        self.schema_ = plan.schema
        self.history_ = [row for rows in run.history for row in rows]
        self.n_iter_ = [len(rows) for rows in run.history]
        self._builders = builders[:n_kept]
        self._n_planned = len(run.stages)
        self._frame = chips.frame
        self._flat = flat
        vars(self).pop("calibration_", None)  # it is of the networks before

    def _check_warm_start(self, train, n_stages):
        """How many networks of the last fit go on: none, all, or those that it came to."""
        if not (self.warm_start and hasattr(self, "networks_")):
            return 0
        n_known = len(self.networks_)
        n_planned = getattr(self, "_n_planned", n_known)
        if (n_planned, self.n_landmarks_) != (n_stages, train.points.shape[1]):
            raise ValueError(
                f"warm_start goes on with {n_planned} networks for {self.n_landmarks_} "
                f"landmarks, but there are {n_stages} networks and {train.points.shape[1]} "
                "landmarks now: set warm_start=False to start anew"
            )
        return n_known

    def _make_networks(self, plan):
        # Copies, so that training that fails leaves the old ones as they were.
        networks = copy.deepcopy(self.networks_) if plan.n_known else []
        for i, build in enumerate(plan.builders[plan.n_known :], start=plan.n_known):
            with of_entry(i), redirected():
                networks.append(build(plan.train.points.shape[1]))
        return networks

    def _make_stages(self, networks, crops, asymmetries, mirrored, schema, device):
        """Stages on a device; those that were trained on mirrored crops may read them too."""
        average = check_flag(self.average_mirrored, "average_mirrored")
        reads_mirrored = [average and both for both in mirrored]
        return make_stages(networks, crops, asymmetries, reads_mirrored, schema, device)

    def _reading_stages(self, device):
        """Stages as predict reads with them: on a device, their networks folded."""
        for network in self.networks_:
            network.to(device, memory_format=torch.channels_last).eval()
        networks = [folded(network) for network in self.networks_]
        return self._make_stages(
            networks, self.crops_, self.asymmetry_, self.mirrored_, self.schema_, device
        )

    def predict(self, X, return_std=False, on_error="raise"):
        """Landmarks that the last stage finds.

        Parameters
        ----------
        X : as in `fit`
            Read in portions, so that memory does not grow with the number of files.
        return_std : bool, default=False
            Return also how far off each landmark may be. It takes seven more looks at each
            crop of the last stage, and :meth:`calibrate` before.
        on_error : {"raise", "skip"}, default="raise"
            "skip" gives NaN landmarks to samples that cannot be read, or whose box does not
            fit, and one warning that lists them.

        Returns
        -------
        y : ndarray of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels, float64, in the layout that `fit` saw. NaN for a sample whose
            box is missing (NaN) while X has boxes, and where a network
            answers NaN or an infinite number, which is warned of; where one before the last
            does, all landmarks of the sample are NaN.
        std : ndarray of shape (n_samples, n_landmarks)
            If `return_std`: standard deviation of the error along each axis, in image
            pixels.

        Raises
        ------
        NotFittedError
            Before `fit`, and with `return_std` before `calibrate`.
        ValueError, TypeError, FileNotFoundError
            For an image or a box that does not fit, unless `on_error` is "skip"; names the
            sample.
        """
        if check_flag(return_std, "return_std"):
            check_is_fitted(self, "calibration_", msg=_NOT_CALIBRATED)
            (points,), spread, sides = self._locate(X, spread=True, on_error=on_error)
            std = self.calibration_.std(spread, error_units(points, sides))
            return as_layout(points, self._flat), std
        (points,), *_ = self._locate(X, on_error=on_error)
        return as_layout(points, self._flat)

    @plain_state()
    def calibrate(self, X, y):
        """Learn from samples that `fit` has not seen how far off predictions are.

        Parameters
        ----------
        X : as in `fit`
            Held-out samples, of other persons or photographs than those of `fit`: on its
            training samples a network errs less and looks surer than it is.
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)

        Returns
        -------
        self : CascadeLandmarkRegressor
            With the attribute `calibration_`, which the next `fit` takes away.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a landmark is known in no sample.

        Notes
        -----
        A landmark's spread is how much its place changes when the crop of the last stage
        is moved by 4 % of its side and turned by 8 degrees. The variance of its error is
        modelled as a constant of the landmark times the shape's size (of a single landmark, the
        side of its box), plus its own squared
        spread and that of the whole shape, each times a factor.
        """
        check_is_fitted(self)
        truth = drop_unboxed(check_samples(X, y, None, self.n_landmarks_))
        (points,), spread, sides = self._locate(truth.data, spread=True)
        errors = np.linalg.norm(points - truth.points, axis=-1)
        self.calibration_ = calibrate(errors, spread, error_units(points, sides))
        return self

    def staged_predict(self, X, on_error="raise"):
        """Landmarks that each stage finds.

        Parameters
        ----------
        X : as in `fit`
        on_error : {"raise", "skip"}, default="raise"
            As in `predict`.

        Yields
        ------
        y : ndarray of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            Of the first stage, the second and so on; as `predict` returns it.
        """
        found, *_ = self._locate(X, first=0, on_error=on_error)
        for points in found:
            yield as_layout(points, self._flat)

    @plain_state()
    @drawing(0)  # for networks that draw when they are not in training, too
    def _locate(self, X, *, first=-1, spread=False, on_error="raise"):
        """Landmarks, their spread and the sides of boxes, see :func:`read_images`."""
        check_is_fitted(self)
        check_on_error(on_error)
        data = as_boxed_images(X)
        if len(data) == 0:
            raise ValueError("X has 0 samples: at least one image is needed")
        warn_of_boxes(data, self.box_relation_)
        stages = self._reading_stages(self._device_here())
        return read_images(
            data,
            stages,
            self._frame,
            self.n_landmarks_,
            first=first,
            spread=spread,
            on_error=on_error,
        )

    def _device_here(self):
        """The device asked for; the CPU where a fitted model came to a machine without it."""
        try:
            return check_device(self.device)
        except ValueError:
            warn_caller(f"there is no device {self.device!r} here: using the CPU")
            return torch.device("cpu")

    @plain_state()
    def score(self, X, y, sample_weight=None):
        """Minus the mean normalised error: higher is better, 0 is perfect.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
            Errors are divided by the inter-ocular distance where the schema (of the
            regressor, or without one of X) has one, else by the size of the box around the
            true landmarks (geometric mean of its sides).
            Samples without such a length, and those whose box is missing, are left out.
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

    def __getstate__(self):
        """State as data, see :func:`skwing._utils.envelope.pack`: it loads on any machine."""
        return pack(self, super().__getstate__(), ATTRIBUTES, taken(self))

    def __setstate__(self, state):
        if "format" not in state:
            state = packed_of_0_6(state)
        state = packed_of_0_8(state)
        fitted = unpack(self, state)
        if fitted is not None:
            put(self, fitted, written_by(self, state["skwing"]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags
