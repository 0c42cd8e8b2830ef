"""The judge as a Python object, without Label Studio and without a server."""
