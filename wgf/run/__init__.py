"""One run: from a config to the files it leaves behind."""
