"""The table of kinds of named objects that have a plain model."""

from __future__ import annotations

from tests.property.container_models import DictModel, NamespaceModel, SetModel, ValueModel
from tests.property.lock_models import BoundedSemaphoreModel, LockModel, RLockModel, SemaphoreModel
from tests.property.object_model import KindModel
from tests.property.queue_models import JoinableQueueModel, QueueModel

KINDS: dict[str, type[KindModel]] = {
    model.kind: model
    for model in (
        *(LockModel, RLockModel, SemaphoreModel, BoundedSemaphoreModel),
        *(QueueModel, JoinableQueueModel),
        *(ValueModel, DictModel, SetModel, NamespaceModel),
    )
}
