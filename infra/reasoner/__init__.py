"""The description logic reasoners: HermiT and Pellet, in a process with limits."""
