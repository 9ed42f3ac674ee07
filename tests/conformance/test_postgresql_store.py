"""What every store must do (`test_store`), over a real PostgreSQL server: each test has a schema of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.postgresql.reader import open_reader
from crawlfleet.coordinator.frontier.postgresql.store import open_store
from tests.conformance.test_store import (  # noqa: F401  tests, collected here with the fixtures of this module
    Crawl,
    store,
    test_a_batch_with_one_stale_row_changes_nothing,
    test_a_family_is_read_from_a_place_on_and_backwards,
    test_a_host_is_due_at_its_last_word,
    test_a_host_that_joins_a_unit_goes_from_the_due_hosts_to_those_of_the_unit,
    test_a_lowered_task_moves_ahead_and_is_listed_once,
    test_a_mark_is_that_of_its_sink_alone,
    test_a_new_store_holds_nothing,
    test_a_queue_holds_only_its_own,
    test_a_result_reads_back_whole_from_any_thread,
    test_a_retried_task_waits_for_its_pause,
    test_a_row_may_change_more_than_once_in_a_batch_but_only_in_order,
    test_a_row_that_was_removed_and_created_again_in_one_turn_has_its_new_place,
    test_a_snapshot_has_all_that_is_committed_and_nothing_later,
    test_a_task_that_changes_its_queue_leaves_the_old_one,
    test_a_task_that_is_granted_lowered_and_returned_waits_at_its_new_depth,
    test_a_task_waits_for_its_time,
    test_a_value_is_kept_beside_the_rows,
    test_counts_follow_every_change,
    test_depths_are_told_of_what_is_there_and_strangers_of_what_is_not,
    test_due_hosts_come_longest_due_first_up_to_the_limit,
    test_each_opening_has_a_larger_epoch,
    test_hosts_of_a_unit_are_no_due_hosts_and_come_by_their_time,
    test_leases_are_found_by_session_oldest_first,
    test_looking_at_a_queue_takes_nothing_out,
    test_queues_with_waiting_tasks_are_named_in_order_from_one_on,
    test_results_are_seen_only_once_committed_in_order_and_by_cursor,
    test_rows_read_back_as_they_were_applied,
    test_tasks_are_walked_in_the_order_of_their_admission_whatever_became_of_them,
    test_the_log_has_the_time_of_each_commit_the_worker_of_each_lease_and_how_each_attempt_ended,
    test_waiting_shows_some_of_what_is_pending_until_nothing_is,
    test_what_a_limit_cuts_off_is_told_as_due_now,
    test_what_outlasts_its_process_goes_on_where_it_was,
    test_what_waits_comes_by_depth_then_age,
)
from tests.site.postgresql_server import PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
_schemas = (f"crawl {number}" for number in count())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture
def opens(server: PostgresqlServer) -> Callable[[], Store]:
    return partial(open_store, server.address(), next(_schemas))


@pytest.fixture
def crawl(server: PostgresqlServer) -> Crawl:
    schema = next(_schemas)
    return Crawl(partial(open_store, server.address(), schema), partial(open_reader, server.address(), schema))
