"""Registration over gRPC: the client, and a local server with TensorFlow Serving's interface.

Only the network's pass goes over the wire. Files are read, brought to the network's grid and
resampled on the client's side, by the same code as without a server.
"""

from tf_lungreg.serving.client import RemoteModel
from tf_lungreg.serving.registration_client import RegistrationClient

__all__ = ["RegistrationClient", "RemoteModel"]
