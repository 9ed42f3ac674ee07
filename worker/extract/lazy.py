"""A property that is computed at its first use, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The same to whoever uses it.
    from functools import cached_property as lazy
else:

    class lazy:
        """The `functools.cached_property` of Python 3.12.

        That of Python 3.11 holds one lock for all instances while it computes, so that no two threads could parse.
        """

        def __init__(self, compute: Callable[[Any], Any]) -> None:
            self.__doc__ = compute.__doc__
            self._compute = compute
            self._name = compute.__name__

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._compute(instance)
            return value


__all__ = ["lazy"]
