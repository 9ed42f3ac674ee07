"""The table of kinds of named objects that have a plain model."""

from __future__ import annotations

from tests.property.container_models import ArrayModel, DictModel, ListModel, NamespaceModel, SetModel, ValueModel
from tests.property.lock_models import BoundedSemaphoreModel, LockModel, RLockModel, SemaphoreModel
from tests.property.object_model import KindModel
from tests.property.pipe_models import PipeModel
from tests.property.queue_models import JoinableQueueModel, QueueModel
from tests.property.waiting_models import BarrierModel, ConditionLockModel, ConditionModel, EventModel

#: Those that programs open by name.
OPENED: tuple[type[KindModel], ...] = (
    *(LockModel, RLockModel, SemaphoreModel, BoundedSemaphoreModel),
    *(EventModel, ConditionModel, BarrierModel),
    *(QueueModel, JoinableQueueModel, PipeModel),
    *(ValueModel, ArrayModel, DictModel, ListModel, SetModel, NamespaceModel),
)

_ALL: tuple[type[KindModel], ...] = (*OPENED, ConditionLockModel)

KINDS: dict[str, type[KindModel]] = {model.kind: model for model in _ALL}
