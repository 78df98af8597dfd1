"""Networks that represent the Lagrangian map."""
