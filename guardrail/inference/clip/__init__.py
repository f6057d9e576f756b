"""CLIP that an operator brings: towers exported to ONNX, concepts and probes over what they see.

None of it ships with weights. A folder that `guardrail models export clip` made holds the towers and says where they
came from; concepts and probes lie beside them and belong to that one export.
"""
