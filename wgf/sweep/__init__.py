"""Many runs: launched, watched, collated, studied, reported."""
