"""The rows' images: fetched, checked, without their location, encoded anew on request."""
