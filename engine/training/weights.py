"""The safetensors file format: 8 bytes header length (little endian), a JSON header, then the tensors."""

import json
import struct

import numpy
import torch


def write_safetensors(path, tensors, metadata):
    """Writes tensors (name -> tensor) as f16. metadata: str -> str, kept under `__metadata__`."""
    header, data, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in sorted(tensors.items()):
        raw = tensor.detach().cpu().to(torch.float16).contiguous().numpy().astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(raw)]}
        data.append(raw)
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the data aligned
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def read_safetensors(path):
    """name -> f32 tensor, of a file that `write_safetensors` wrote."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = numpy.frombuffer(raw[8 + length + start : 8 + length + end], "<f2").astype(numpy.float32)
            tensors[name] = torch.from_numpy(values).view(entry["shape"])
    return tensors
