"""A property that is computed when it is first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The same to whoever uses it.
    from functools import cached_property as lazy
else:

    class lazy:
        """What `functools.cached_property` is from Python 3.12 on.

        The one of Python 3.11 holds a lock of all instances while it computes, so that no two threads could parse.
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
