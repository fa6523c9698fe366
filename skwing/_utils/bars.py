"""Progress bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from typing import Any


class ProgressBar(tqdm):
    """A bar of tqdm, without the thread that tqdm starts also for a bar that is not shown.

    This thread redraws bars after updates that were skipped; here, none is skipped.

    Examples
    --------
    >>> from skwing._utils.bars import ProgressBar
    >>> with ProgressBar(total=2, disable=True) as bar:
    ...     bar.update()
    """

    monitor_interval = 0

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"miniters": 1, **settings})
