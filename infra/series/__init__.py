"""Time series: points in by line protocol, remote write and events; kept as Parquet in the lake or by VictoriaMetrics."""
