"""What happened? The Event, its codecs, types, routes, filters, errors, and the ports that functions may ask for. No I/O."""
