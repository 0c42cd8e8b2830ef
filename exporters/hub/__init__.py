"""From the folder to the Hugging Face Hub."""
