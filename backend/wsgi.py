"""The WSGI entry point for a server of your own: `gunicorn --workers 1 --threads 64 backend.wsgi:app`.

One worker process: the model is loaded once, in that process. This is the only module that does
something when imported.
"""

import atexit
import sys

from backend.errors import VlmJudgeError
from backend.serving import drain_on_sigterm, make_app
from backend.settings import load_settings

_GUNICORN_APP_LOAD_ERROR = 4
"""Gunicorn starts a worker that ends otherwise again and again."""

try:
    app, _running = make_app(load_settings())
except VlmJudgeError as exc:
    sys.stderr.write(f"Error: {exc}\n")
    sys.exit(_GUNICORN_APP_LOAD_ERROR)
drain_on_sigterm(_running)
atexit.register(_running.stop)
