"""What the package offers is what it says it offers."""

from __future__ import annotations

import types

import mountfs.datasets


def test_all_names_what_is_visible() -> None:
    """Nothing more, nothing less, in order."""
    visible = sorted(
        name
        for name, value in vars(mountfs.datasets).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and name != "annotations"
    )
    assert visible == [*mountfs.datasets.__all__]


def test_every_name_is_documented_and_knows_where_it_lives() -> None:
    """So that pickles and tracebacks name a module that exists."""
    for name in mountfs.datasets.__all__:
        value = getattr(mountfs.datasets, name)
        assert value.__doc__
        assert value.__module__.startswith("mountfs.datasets.")
