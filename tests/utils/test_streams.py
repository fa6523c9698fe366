"""Items that a GPU makes beside other work are those it makes one after the other."""

import pytest
import torch

from skwing._utils.streams import made_beside


@pytest.mark.gpu
@pytest.mark.parametrize("n", [0, 1, 5])
def test_items_made_beside_other_work_are_complete_when_used(n):
    def make(log):
        for i in range(n):
            log.append(i)
            large = torch.full((2000, 2000), float(i), device="cuda")
            yield (large @ large, None), i

    log, found = [], []
    with made_beside(make(log), torch.device("cuda")) as items:
        for (product, nothing), i in items:
            assert nothing is None
            assert len(log) == min(i + 2, n)  # the next one is under way
            found.append(product.sum() / 2000**3)  # on another stream than the product
            del product
    assert [round(value.item()) for value in found] == [i * i for i in range(n)]


@pytest.mark.gpu
def test_an_error_of_an_item_is_raised():
    def make():
        yield torch.zeros(1, device="cuda")
        raise ValueError("no such image")

    with (
        pytest.raises(ValueError, match="no such image"),
        made_beside(make(), torch.device("cuda")) as items,
    ):
        list(items)
