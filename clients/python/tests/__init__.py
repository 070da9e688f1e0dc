"""What holds for the package."""
