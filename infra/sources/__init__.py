"""Where events come from when they do not come to us by the endpoint: stores that push, queues, streams, and sweeps."""
