"""The machine below: files, cache, processes, Keras backend, names, plug-ins."""
