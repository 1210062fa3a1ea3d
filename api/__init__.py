"""How the world calls the head-end: REST, command line, settings, and the wiring of it all."""
