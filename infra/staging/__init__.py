"""Staging: data sets made of data sets, by planned maps. Rows and columns chosen, aggregated, combined, converted, cut anew."""
