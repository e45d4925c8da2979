"""Opens one association with every kind of user information that pynetdicom knows, and says what was answered.

Usage: negotiate.py PORT CALLED_AE

Prints one JSON object: accepted contexts, roles, operations window, extended negotiation, C-ECHO status.
"""

import json
import sys

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless
from pynetdicom import build_role
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import CTImageStorage, PatientRootQueryRetrieveInformationModelFind, Verification

from requestor import requestor

PRIVATE_CLASS = "1.3.12.2.1107.5.9.1"


def items():
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CTImageStorage
    extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = PRIVATE_CLASS
    common.service_class_uid = "1.2.840.10008.4.2"
    common.related_general_sop_class_identification = [CTImageStorage]
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"somebody"
    identity.secondary_field = b"something"
    role = build_role(CTImageStorage, scu_role=True, scp_role=True)
    return [window, extended, common, identity, role]


def main():
    entity = requestor()
    entity.add_requested_context(Verification)
    entity.add_requested_context(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless])
    entity.add_requested_context(PRIVATE_CLASS, [ExplicitVRLittleEndian])
    entity.add_requested_context(PatientRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", int(sys.argv[1]), ae_title=sys.argv[2], ext_neg=items())
    if not association.is_established:
        raise SystemExit("no association")
    acceptor = association.acceptor
    answer = {
        "contexts": {str(c.abstract_syntax): str(c.transfer_syntax[0]) for c in association.accepted_contexts},
        "rejected": {str(c.abstract_syntax): c.result for c in association.rejected_contexts},
        "window": list(acceptor.asynchronous_operations),
        "extended": {str(k): v.hex() for k, v in acceptor.sop_class_extended.items()},
        "roles": {str(k): [v.scu_role, v.scp_role] for k, v in acceptor.role_selection.items()},
        "maximum": acceptor.maximum_length,
        "echo": f"{association.send_c_echo().Status:04X}",
    }
    association.release()
    answer["released"] = association.is_released
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
