"""Which nodes the kernel knows, and that none is left when it has forgotten them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mountfs.meta.inode_table import InodeTable
from mountfs.meta.node import ROOT_NUMBER, Directory, File


def make_table() -> tuple[InodeTable, Directory]:
    """Return a table with nothing but the root."""
    root = Directory(ROOT_NUMBER, None, b"", "", float("inf"))
    return InodeTable(root), root


def make_file(table: InodeTable, root: Directory, name: bytes) -> File:
    """Return a file that the kernel does not know yet."""
    return File(next(table.numbers), root, name, 1, 0, '"e"', 0.0)


def test_the_root_is_known_from_the_beginning_and_never_forgotten() -> None:
    """The kernel knows number 1 without a lookup, and may forget it at unmount."""
    table, root = make_table()
    assert table.get(ROOT_NUMBER) is root
    table.forget(ROOT_NUMBER, 10)
    assert table.get(ROOT_NUMBER) is root


def test_a_node_is_known_until_all_its_lookups_are_forgotten() -> None:
    """`forget` takes back as many lookups as the kernel says, not the node."""
    table, root = make_table()
    file = make_file(table, root, b"a")
    table.remember(file)
    table.remember(file)
    table.forget(file.number, 1)
    assert table.get(file.number) is file
    table.forget(file.number, 1)
    assert table.get(file.number) is None


def test_an_unknown_number_may_be_forgotten() -> None:
    """The kernel may forget late, or twice after an error."""
    table, _root = make_table()
    table.forget(4711, 1)
    assert len(table) == 1


@given(st.lists(st.integers(0, 9)))
def test_after_forgetting_everything_only_the_root_remains(lookups: list[int]) -> None:
    """No node leaks, in whatever order it was looked up."""
    table, root = make_table()
    files = [make_file(table, root, str(index).encode()) for index in range(10)]
    for index in lookups:
        table.remember(files[index])
    assert len(set(lookups)) + 1 == len(table)
    for file in files:
        table.forget(file.number, file.lookups)
    assert len(table) == 1


def test_numbers_are_never_drawn_twice() -> None:
    """A number that was forgotten is not used for another node."""
    table, root = make_table()
    first = make_file(table, root, b"a")
    table.remember(first)
    table.forget(first.number, 1)
    assert make_file(table, root, b"a").number > first.number
