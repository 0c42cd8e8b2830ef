"""The judge on servers: vLLM, SGLang, any OpenAI-compatible server with images, or a hosted decisions endpoint."""
