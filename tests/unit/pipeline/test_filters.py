"""A filter is built by its own means, and takes part only in the phases that it overrides."""

import pytest

from gatewright.pipeline.filters import Filter


def test_a_filter_must_say_how_it_is_built() -> None:
    with pytest.raises(TypeError, match="does not say how it is built"):
        Filter(None, None)  # type: ignore[arg-type]
