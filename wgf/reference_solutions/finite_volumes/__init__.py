"""Reference solutions by finite volumes: on the line, between walls and on circles."""
