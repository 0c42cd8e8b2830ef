"""What is known of each task once all that was said about it is weighed. Pure."""
