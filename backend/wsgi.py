"""The WSGI entry point for a server of your own: `gunicorn --workers 1 --threads 16 backend.wsgi:app`.

One worker process: the model is loaded once, in that process. This is the only module that does
something when imported.
"""

import atexit

from backend.serving import make_app
from backend.settings import load_settings

app, _stop = make_app(load_settings())
atexit.register(_stop)
