"""Many flows at once in torch: the flows are the last dimension of every tensor."""
