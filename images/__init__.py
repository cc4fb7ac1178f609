"""What is in an image, and whether it may ship."""
