"""The way back through the compiled steps: derivatives of a flow in machine code."""
