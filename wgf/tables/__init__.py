"""Maps and numbers of flows as arrays and datasets."""
