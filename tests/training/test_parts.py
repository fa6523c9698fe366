"""Parts of a batch have the numbers and the pixels of the whole one."""

import dataclasses

import pytest
import together
import torch

from skwing._crops.random_changes import StageAugmentation
from skwing._training import batches
from skwing._training import patch_batches as patch_batches_of
from skwing._training.batches import training_batches
from skwing._training.draws import EndlessDraws
from skwing._training.patch_batches import patch_batches
from skwing._training.train_stage import make_truth
from skwing._utils import ranks
from skwing._utils.graphs import Replayed
from skwing._utils.parts import Part, computing, current_part
from skwing._utils.random import drawing, run
from skwing.networks._dropout import dropout, dropout_rows

STRONG = {
    **{"rotation": 30.0, "scale": 0.2, "shift": 0.1, "mirror": 0.5, "blur": 0.5},
    **{"brightness": 0.3, "contrast": 0.3, "occlusion": 0.8, "deformation": 1.0},
}


@pytest.mark.parametrize("n_parts", [1, 2, 3, 5])
def test_parts_divide_all_rows(n_parts):
    for n in (n_parts, 7, 32):
        parts = [Part.of(n, i, n_parts) for i in range(n_parts)]
        rows = [i for part in parts for i in range(part.first, part.last)]
        assert rows == list(range(n))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture(scope="module")
def stage():
    """The first stage of a plan, its chips, its targets, and the samples' crops."""
    X, y = together.faces()
    reg = together.regressor(networks=(together.PLAIN, together.PATCHES))
    plan = reg._check(X, y, None, None, None)
    with drawing(plan.seed):
        chips, stages = reg._prepare(plan)
    truth = make_truth(chips, plan.train, plan.schema)
    return stages, chips, dataclasses.replace(truth, weights=torch.rand(len(chips)))


def first_batches(stage, augmentation, kind, n, part, n_batches=3):
    stages, chips, truth = stage
    generator = torch.Generator().manual_seed(0)
    draws = EndlessDraws(torch.ones(len(chips), dtype=torch.int64), n, generator)
    if kind == "crops":
        variants = stages[0].crop.matrices(len(chips), chips.device)[:, None]
        arguments = stages[0], augmentation, variants, chips, truth, draws, generator, part
        made = training_batches(*arguments)
    else:
        places = truth.points.nan_to_num(10.0)
        arguments = stages[1], augmentation, places, chips, truth, draws, generator, part
        made = patch_batches(*arguments)
    return [next(made) for _ in range(n_batches)]


@pytest.mark.parametrize("kind", ["crops", "patches"])
@pytest.mark.parametrize("change", [None, *STRONG])
def test_parts_have_the_pixels_of_the_whole(stage, kind, change):
    strengths = STRONG if change is None else {change: STRONG[change]}
    augmentation = StageAugmentation(**strengths)
    for n, n_parts in ((7, 2), (8, 3), (4, 4)):
        whole = first_batches(stage, augmentation, kind, n, None)
        parts = [
            first_batches(stage, augmentation, kind, n, Part.of(n, i, n_parts))
            for i in range(n_parts)
        ]
        for (inputs, targets, weights), *others in zip(whole, *parts, strict=True):
            found, other_targets, other_weights = zip(*others, strict=True)
            close = {"rtol": 1e-5, "atol": 1e-4, "equal_nan": True}
            torch.testing.assert_close(torch.cat(other_targets), targets, **close)
            assert torch.equal(torch.cat(other_weights), weights)
            for own, value in zip(zip(*found, strict=True), inputs, strict=True):
                assert torch.equal(torch.cat(own), value)


@pytest.mark.gpu
@pytest.mark.parametrize("n_parts", [1, 2])
@pytest.mark.parametrize("kind", ["crops", "patches"])
def test_batches_recorded_on_a_gpu_are_those_of_the_cpu(stage, kind, n_parts, monkeypatch):
    made = []

    class Kept(Replayed):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    for module in (batches, patch_batches_of):
        monkeypatch.setattr(module, "Replayed", Kept)
    stages, chips, truth = stage
    there = dataclasses.replace(
        chips, pixels=torch.from_numpy(chips.pixels).cuda(), device=torch.device("cuda")
    )
    fields = {"points": truth.points, "permutation": truth.permutation, "weights": truth.weights}
    truth_there = dataclasses.replace(
        truth, **{name: t.cuda() for name, t in fields.items() if t is not None}
    )
    part = None if n_parts == 1 else Part.of(8, 0, n_parts)
    wanted = first_batches(stage, StageAugmentation(**STRONG), kind, 8, part, 6)
    found = first_batches(
        (stages, there, truth_there), StageAugmentation(**STRONG), kind, 8, part, 6
    )
    assert made[-1].recorded
    for (inputs, targets, weights), (other_inputs, *others) in zip(wanted, found, strict=True):
        images, *rest = (each.cpu() for each in other_inputs)
        close = {"rtol": 1e-4, "atol": 0.05, "equal_nan": True}
        torch.testing.assert_close(others[0].cpu(), targets, **close)
        torch.testing.assert_close(others[1].cpu(), weights)
        for own, value in zip(rest, inputs[1:], strict=True):
            torch.testing.assert_close(own, value, rtol=1e-4, atol=1e-4)
        assert (images - inputs[0]).abs().mean() < 2e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_dropout_of_parts_is_that_of_the_whole(axis):
    values = torch.rand(7, 7, 3)

    def dropped(part):
        with drawing(0), computing(part, None):
            own = values.narrow(axis, part.first, len(part))
            rows = dropout_rows(own, 0.5, True) if axis == 0 else own
            return torch.cat([dropout(own, 0.5, True, axis), rows], -1)

    parts = [dropped(Part.of(7, i, 3)) for i in range(3)]
    assert torch.equal(torch.cat(parts, axis), dropped(Part.whole(7)))


def test_layers_of_torch_draw_other_numbers_in_each_part():
    values, layer = torch.ones(4, 1000), torch.nn.Dropout(0.5)

    def kept(part):
        with drawing(0), computing(part, None):
            return run(layer, values)

    assert torch.equal(kept(Part(8, 0, 4)), kept(Part(8, 0, 4)))
    assert not torch.equal(kept(Part(8, 0, 4)), kept(Part(8, 4, 8)))


def test_a_whole_batch_is_no_part():
    with computing(Part.whole(3), None):
        assert current_part() is None


def test_without_a_group_nothing_is_exchanged():
    with ranks.joined():
        assert ranks.current_group() is None
        assert ranks.part_of(5).is_whole
        assert ranks.gathered("a") == ["a"]
        assert ranks.from_first(lambda: "b") == "b"
