"""One run: from a config to the files of its folder."""
