"""What goes wrong with clusters, as one type: nobody does different things for different failures."""


class ClusterFailed(Exception):
    """A cluster cannot do what was asked; the message says why and what to do, and where it can, shows a log."""
