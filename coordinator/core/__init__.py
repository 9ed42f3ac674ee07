"""Pure rules: facts and `now` go in, changes come out. No clock, thread, socket, file, log or chance."""
