"""Base images in, candidate synthetic text out, ready to be judged."""
