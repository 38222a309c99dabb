"""The steps of a radio pipeline as tasks over slices of MeasurementSets: flag and average, calibrate, image."""
