"""Structure trees: which structures of an atlas make up a class."""

from collections.abc import Mapping, Sequence


def class_of_structures(
    paths: Mapping[int, Sequence[int]], ancestors: Sequence[tuple[int, int]]
) -> dict[int, int]:
    """Class id of every structure that belongs to one.

    Args:
        paths: for every structure the ids from the root of the tree to itself.
        ancestors: (structure id, class id) in order of priority: the first whose structure
            is in a path decides, so that classes never overlap.
    """
    found = {}
    for number, path in paths.items():
        on_path = set(path)
        class_id = next((c for ancestor, c in ancestors if ancestor in on_path), 0)
        if class_id:
            found[number] = class_id
    return found
