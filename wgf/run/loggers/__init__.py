"""Loggers: each sends the same scalars, figures and files of a run to one tracker."""
