"""The admin API: HTTP around the services of the control plane, under `/admin/v1`.

`gate` lets in who may ask at all, `app` puts the resources together, one module each, and `problems` gives every
failure one form. Nothing here decides what a change means: that is in the services.
"""
