"""Where a potential changes fast: in space and in time."""
