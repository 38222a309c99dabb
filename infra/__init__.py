"""Where does it run? Every client and server: object stores, logs, catalogue, delivery, runtimes, command line, deployment."""
