"""Export of trained regressors to ONNX, for use without skwing and PyTorch."""

from skwing.export._onnx import to_onnx

__all__ = ["to_onnx"]
