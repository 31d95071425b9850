"""Keys of the metadata properties that an edgessd .onnx carries; each value is JSON."""

CONTRACT_KEY = "edgessd.contract"
"""`core.contract.Contract`."""

TENSORS_KEY = "edgessd.tensors"
"""`core.tensors.EngineTensors`, for graphs whose ONNX form can't hold a scale."""

QUANTIZATION_KEY = "edgessd.quantization"
"""`quantize.qdq.quant_graph.Quantization`; absent from a float graph."""

RANGES_KEY = "edgessd.trained_ranges"
"""`model.trained_ranges.TrainedRanges`, from quantization-aware training."""
