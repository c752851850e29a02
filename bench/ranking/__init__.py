"""Which backbones are worth a run, before anything is trained."""
