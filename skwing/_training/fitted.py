"""Fitted attributes of a regressor, of the result of training."""

from skwing._training.seen import kept_marks
from skwing._utils.boxes import are_whole_images
from skwing.boxes import box_relation
from skwing.geometry import boxes_of


def fitted_attributes(run, plan, chips, flat):
    """Fitted attributes after training with at least one usable stage.

    `flat` is whether y had the layout (n_samples, 2 * n_landmarks). The limits of doubt are those
    of :func:`skwing._training.doubt_limit.make_retry`, and not part of the result.
    """
    boxes = plan.train.data.boxes
    whole = are_whole_images(boxes, chips.image_sizes)
    # The terms stay with the weights.
    source = plan.before if plan.start is None else plan.start.model
    return {
        "networks_": [stage.network.eval() for stage in run.kept],
        "crops_": [stage.crop for stage in run.kept],
        "asymmetry_": [stage.asymmetry.cpu().numpy() for stage in run.kept],
        "mirrored_": _mirrored(run, plan),
        "mean_shape_": plan.mean_shape,
        "n_landmarks_": len(plan.mean_shape),
        "box_relation_": None if whole else box_relation(boxes, boxes_of(plan.train.points)),
        "schema_": plan.schema,
        "history_": [row for rows in run.history for row in rows],
        "n_iter_": [len(rows) for rows in run.history],
        "notice_": getattr(source, "notice_", None),
        "_builders": list(plan.builders[: len(run.kept)]),
        "_n_planned": len(run.stages),
        "_frame": chips.frame,
        "_flat": flat,
        "_seen": kept_marks(plan.train, getattr(source, "_seen", None)),
        "_certainty": None,
        "_retry": None,
    }


def _mirrored(run, plan):
    """Whether each kept stage was trained on mirrored crops, in this fit or in the one before."""
    mirrored = plan.mirrored
    for i, before in enumerate(getattr(plan.before, "mirrored_", [])):
        if i < plan.first or not run.history[i]:
            mirrored[i] = before
    return mirrored[: len(run.kept)]
