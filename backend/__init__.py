"""Qwen2.5-VL as a judge inside Label Studio."""
