"""The wire: how processes on different machines call each other."""
