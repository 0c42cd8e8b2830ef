"""The WSGI entry point for a server of your own: `gunicorn --workers 1 --threads 16 backend.wsgi:app`.

One worker process: the model is loaded once, in that process. This is the only module that does
something when imported.
"""

from backend.serving import make_app
from backend.settings import load_settings

app = make_app(load_settings())
