"""YAML whose every value knows its line, so that what is wrong in a file can be pointed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class PlacedYaml:
    """The data of a YAML document with its nodes."""

    data: Any
    root: yaml.Node | None

    def line_of(self, place: Sequence[int | str]) -> int:
        """The line, from 1, of what stands at a path of keys and indices; of the innermost part that is there."""
        node, line = self.root, 1
        for part in place:
            found = _entry(node, part)
            if found is None:
                break
            line, node = found
        return line


def read_placed(text: str) -> PlacedYaml:
    """Read one YAML document. Raises ValueError with line and reason, also for a key that is there twice."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise ValueError(f"line {mark.line + 1 if mark else 1}: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
    finally:
        loader.dispose()
    repeated = [f"line {key.start_mark.line + 1}: {key.value} is there twice" for key in _repeated_keys(root)]
    if repeated:
        raise ValueError("; ".join(repeated))
    return PlacedYaml(data, root)


def _entry(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """The line and the value of one entry; a mapping's entry begins at its key."""
    if isinstance(node, yaml.MappingNode):
        return next((_line(key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return _line(node.value[part], node.value[part])
    return None


def _line(key: yaml.Node, value: yaml.Node) -> tuple[int, yaml.Node]:
    return key.start_mark.line + 1, value


def _repeated_keys(root: yaml.Node | None) -> Iterator[yaml.Node]:
    left, seen = [root], set()
    while left:
        node = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value]
            yield from (key for at, key in enumerate(keys) if key.value in [other.value for other in keys[:at]])
            left += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
