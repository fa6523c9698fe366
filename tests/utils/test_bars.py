import io
import threading
import time

import pytest

from skwing._utils.bars import ProgressBar


@pytest.mark.parametrize("disable", [True, False])
def test_a_bar_starts_no_thread(disable):
    before = threading.enumerate()
    with ProgressBar(total=2, disable=disable, file=io.StringIO()) as bar:
        bar.update()
        assert threading.enumerate() == before
    assert "monitor" not in vars(ProgressBar)


def test_slow_updates_after_fast_ones_are_shown():
    shown = io.StringIO()
    with ProgressBar(total=1002, file=shown, mininterval=0.01, ascii=True) as bar:
        for _ in range(1000):
            bar.update()
        for n in (1001, 1002):
            time.sleep(0.02)
            bar.update()
            assert f"{n}/1002" in shown.getvalue()
