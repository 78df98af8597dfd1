"""What errors are measured against: exact solutions, particles, finite volumes."""
