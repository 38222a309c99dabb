"""Where functions run: behind HTTP, in a worker, embedded in one process, in a Lithops job."""
