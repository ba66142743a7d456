from __future__ import annotations

import pytest

from gatewright.store.holding import Holding


@pytest.mark.parametrize(("is_on_server", "known"), [(True, [3, 5]), (False, [0, 0])])
def test_the_server_knows_of_what_it_granted(is_on_server: bool, known: list[int]) -> None:
    amounts = [3, 5]
    holding = Holding((), amounts, [7, 9], [1, 1], is_on_server)
    amounts[0] = 4
    assert (holding.on_server, holding.amounts) == (known, [4, 5]), "what is held may grow without the server"
    assert (holding.is_settled, holding.is_asking, holding.earlier) == (False, False, None)
