"""From a finished Label Studio project to a Hugging Face dataset."""
