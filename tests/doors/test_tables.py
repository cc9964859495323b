"""Tables on a terminal: cut to its width, and never what tells a row."""

import pytest

from modelhub.cli import output

COLUMNS = ("id", "type", "base", "size", "name")
WANTED = (3, 18, 9, 9, 60)


@pytest.mark.parametrize("room", [120, 80, 60, 45])
def test_the_widest_columns_give_way_first(room: int) -> None:
    widths = output._fitted(COLUMNS, WANTED, ("id", "size"), room)
    assert sum(widths) + 2 * (len(widths) - 1) <= max(room, 3 + 6 + 6 + 9 + 14 + 8)
    assert widths[0] == 3
    assert widths[3] == 9
    assert min(widths) > 2
    assert widths[4] >= 14


def test_what_fits_is_not_cut() -> None:
    assert output._fitted(COLUMNS, WANTED, ("id", "size"), 200) == list(WANTED)
