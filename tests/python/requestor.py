"""pynetdicom as requestor, with one of its races mended.

The thread that serves requests of the peer may take a response from the queue when the peer answers faster than that
thread goes to sleep ("Received unexpected C-STORE service message"); whoever waits for the response then waits for
ever. A requestor here serves nothing, so whatever that thread takes is put back.
"""

from pynetdicom import AE
from pynetdicom.association import Association


def _put_back(association, message, context_id):
    association.dimse.msg_queue.put((context_id, message))


Association._serve_request = _put_back


def requestor():
    """An application entity that calls itself PYNETDICOM."""
    return AE(ae_title="PYNETDICOM")
