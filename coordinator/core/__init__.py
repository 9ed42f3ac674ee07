"""Pure rules: functions of a turn and of values. No clock, thread, socket, file, log or randomness."""
