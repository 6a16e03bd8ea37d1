"""Code generated from ``schemas/proto``: do not edit, run ``python -m schemas.generate``.

One module for each .proto file, named ``NAME_pb2``. Importing one loads the protobuf runtime.
"""
