"""Named objects that programs and hooks share: pure state machines over a turn."""
