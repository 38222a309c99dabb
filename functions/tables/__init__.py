"""Tables made of tables: rules that choose rows and columns, convert and compress, in bounded memory."""
