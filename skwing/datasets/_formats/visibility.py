"""Columns of tables that state whether landmarks are visible."""

from skwing.datasets._formats.table import is_missing

VISIBLE_COLUMNS = ("visible", "visibility", "v")
_HIDDEN = frozenset(["0", "0.0", "false", "no"])
_SEEN = frozenset(["1", "2", "1.0", "2.0", "true", "yes"])


def hidden_rows(table, column):
    """Rows in which the visibility is 0: landmarks that are not labelled, as in COCO."""
    texts = [str(value).strip().lower() for value in table.values(column).tolist()]
    for row, text in enumerate(texts):
        if text not in _HIDDEN and text not in _SEEN and not is_missing(text):
            raise ValueError(
                f"{table.cell(row, column)}: found {text!r:.60} for the visibility, expected 0 "
                "where the landmark is hidden, else 1 or 2. Rename the column if it is another."
            )
    return [row for row, text in enumerate(texts) if text in _HIDDEN]
