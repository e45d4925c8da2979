//! Which contexts are accepted, in which syntax, and what is answered beside them.

use archive_core::identifiers::AeTitle;

use super::*;
use crate::dimse::pdu::{APPLICATION_CONTEXT, CommonExtendedNegotiation, TitleField, UserIdentity};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const PRIVATE_CLASS: &str = "1.3.12.2.1107.5.9.1";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const JPIP: &str = "1.2.840.10008.1.2.4.94";
const PRIVATE_SYNTAX: &str = "1.2.840.113619.5.2";

fn request(contexts: &[(&str, &[&str])]) -> AssociateRequest {
    let context = |(index, (class, syntaxes)): (usize, &(&str, &[&str]))| ProposedContext {
        id: u8::try_from(index * 2 + 1).expect("few contexts"),
        abstract_syntax: SopClassUid::parse(class).expect("a UID"),
        transfer_syntaxes: syntaxes.iter().map(|uid| TransferSyntaxUid::parse(uid).expect("a UID")).collect(),
    };
    AssociateRequest {
        protocol_version: 1,
        called: TitleField([b' '; 16]),
        calling: TitleField([b' '; 16]),
        reserved: [0; 32],
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: contexts.iter().enumerate().map(context).collect(),
        user: UserInformation::default(),
    }
}

/// The outcome for one context: its syntax, or why none.
fn outcome(class: &str, syntaxes: &[&str], allowance: Allowance) -> Result<String, ContextResult> {
    let negotiated = negotiate(&request(&[(class, syntaxes)]), allowance);
    let [answer] = &negotiated.answers[..] else { panic!("one answer") };
    assert_eq!(answer.result == ContextResult::Accepted, negotiated.contexts.contains_key(&1));
    match &answer.transfer_syntax {
        Some(syntax) => Ok(syntax.as_str().to_owned()),
        None => Err(answer.result),
    }
}

fn peer(accept_unknown_classes: bool, accept_unknown_syntaxes: bool) -> Allowance {
    let title = AeTitle::parse("PACS").expect("a title");
    Allowance::from(Some(&Peer { accept_unknown_classes, accept_unknown_syntaxes, ..Peer::new(title) }))
}

#[test]
fn the_first_syntax_of_the_peer_is_taken_but_explicit_rather_than_implicit() {
    let nobody = Allowance::default();
    assert_eq!(outcome(CT, &[JPEG_LOSSLESS, EXPLICIT_LITTLE_ENDIAN], nobody), Ok(JPEG_LOSSLESS.to_owned()));
    assert_eq!(outcome(CT, &[EXPLICIT_LITTLE_ENDIAN, JPEG_LOSSLESS], nobody), Ok(EXPLICIT_LITTLE_ENDIAN.to_owned()));
    assert_eq!(outcome(CT, &[BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN], nobody), Ok(BIG_ENDIAN.to_owned()));
    let all = [IMPLICIT_LITTLE_ENDIAN, BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN];
    assert_eq!(outcome(CT, &all, nobody), Ok(EXPLICIT_LITTLE_ENDIAN.to_owned()));
    assert_eq!(outcome(CT, &[IMPLICIT_LITTLE_ENDIAN, JPEG_LOSSLESS], nobody), Ok(IMPLICIT_LITTLE_ENDIAN.to_owned()));
}

#[test]
fn every_storage_class_and_verification_are_accepted() {
    for class in sop_classes::storage_sop_classes() {
        assert!(outcome(class.uid(), &[IMPLICIT_LITTLE_ENDIAN], Allowance::default()).is_ok(), "{}", class.name());
    }
    assert!(outcome(VERIFICATION, &[IMPLICIT_LITTLE_ENDIAN], Allowance::default()).is_ok());
}

#[test]
fn syntaxes_whose_pixels_are_elsewhere_are_refused_from_everybody() {
    let refused = Err(ContextResult::TransferSyntaxesNotSupported);
    for allowance in [Allowance::default(), peer(true, true)] {
        for syntax in ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.205", "1.2.840.10008.1.2.7.1"] {
            assert_eq!(outcome(CT, &[syntax], allowance), refused);
        }
        assert_eq!(outcome(CT, &[JPIP, JPEG_LOSSLESS], allowance), Ok(JPEG_LOSSLESS.to_owned()));
        assert_eq!(outcome(CT, &[], allowance), refused);
    }
}

#[test]
fn private_syntaxes_need_an_entry_that_allows_them() {
    let refused = Err(ContextResult::TransferSyntaxesNotSupported);
    assert_eq!(outcome(CT, &[PRIVATE_SYNTAX], Allowance::default()), refused);
    assert_eq!(outcome(CT, &[PRIVATE_SYNTAX], peer(true, false)), refused);
    assert_eq!(outcome(CT, &[PRIVATE_SYNTAX], peer(false, true)), Ok(PRIVATE_SYNTAX.to_owned()));
}

#[test]
fn unknown_classes_need_an_entry_or_the_word_of_the_peer_that_they_are_storage() {
    let refused = Err(ContextResult::AbstractSyntaxNotSupported);
    assert_eq!(outcome(PRIVATE_CLASS, &[EXPLICIT_LITTLE_ENDIAN], Allowance::default()), refused);
    assert_eq!(outcome(PRIVATE_CLASS, &[EXPLICIT_LITTLE_ENDIAN], peer(false, true)), refused);
    assert!(outcome(PRIVATE_CLASS, &[EXPLICIT_LITTLE_ENDIAN], peer(true, false)).is_ok());

    let mut asked = request(&[(PRIVATE_CLASS, &[EXPLICIT_LITTLE_ENDIAN]), ("1.2.3.4", &[EXPLICIT_LITTLE_ENDIAN])]);
    let common = |class: &str, service: &str| CommonExtendedNegotiation {
        class: class.to_owned(),
        service: service.to_owned(),
        related: Vec::new(),
    };
    asked.user.common = vec![common(PRIVATE_CLASS, STORAGE_SERVICE), common("1.2.3.4", "1.2.840.10008.4.99")];
    let negotiated = negotiate(&asked, Allowance::default());
    assert_eq!(negotiated.contexts.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(negotiated.contexts[&1].service, Service::Storage);
}

#[test]
fn an_allowance_for_unknown_classes_is_none_for_other_services_or_for_what_is_no_uid() {
    let refused = Err(ContextResult::AbstractSyntaxNotSupported);
    let study_root_find = "1.2.840.10008.5.1.4.1.2.2.1";
    let commitment = "1.2.840.10008.1.20.1";
    let long = format!("1.2.{}", "3".repeat(80));
    for class in [study_root_find, commitment, &long, "../etc"] {
        assert_eq!(outcome(class, &[EXPLICIT_LITTLE_ENDIAN], peer(true, true)), refused, "{class}");
    }
    assert!(
        outcome("1.2.840.10008.5.1.4.1.1.999", &[EXPLICIT_LITTLE_ENDIAN], peer(true, false)).is_ok(),
        "a newer one"
    );
}

#[test]
fn each_context_is_answered_in_its_place() {
    let asked = request(&[
        (CT, &[JPIP]),
        (VERIFICATION, &[IMPLICIT_LITTLE_ENDIAN]),
        ("1.2.3", &[IMPLICIT_LITTLE_ENDIAN]),
        (CT, &[JPEG_LOSSLESS]),
    ]);
    let negotiated = negotiate(&asked, Allowance::default());
    let answered: Vec<_> = negotiated.answers.iter().map(|answer| (answer.id, answer.result)).collect();
    let expected = [
        (1, ContextResult::TransferSyntaxesNotSupported),
        (3, ContextResult::Accepted),
        (5, ContextResult::AbstractSyntaxNotSupported),
        (7, ContextResult::Accepted),
    ];
    assert_eq!(answered, expected);
    assert_eq!(negotiated.contexts[&3].service, Service::Verification);
    assert_eq!(negotiated.contexts[&7].transfer_syntax.as_str(), JPEG_LOSSLESS);
}

#[test]
fn one_operation_at_a_time_scu_role_only_full_storage_and_no_answer_to_identities() {
    let mut asked = request(&[(CT, &[EXPLICIT_LITTLE_ENDIAN])]);
    let role = |class: &str, scu, scp| RoleSelection { class: class.to_owned(), scu, scp };
    asked.user.roles = vec![role(CT, 1, 1), role(CT, 0, 1), role("1.2.3", 1, 0)];
    let extended = |class: &str| ExtendedNegotiation { class: class.to_owned(), information: Bytes::from_static(&[9]) };
    asked.user.extended = vec![extended(CT), extended(CT), extended("1.2.3")];
    asked.user.operations_window = Some(OperationsWindow { invoked: 0, performed: 8 });
    asked.user.identity = Some(UserIdentity {
        kind: 1,
        answer_requested: 1,
        primary: Bytes::from_static(b"someone"),
        secondary: Bytes::new(),
    });
    let answer = negotiate(&asked, Allowance::default()).user;
    assert_eq!(answer.roles, [role(CT, 1, 0)]);
    assert_eq!(answer.extended.len(), 1);
    assert_eq!(answer.extended[0].information[..], [2, 0, 3, 0, 0, 0]);
    assert_eq!(answer.operations_window, Some(OperationsWindow { invoked: 1, performed: 1 }));
    assert_eq!(answer.identity_answer, None);
    assert_eq!(negotiate(&request(&[]), Allowance::default()).user, UserInformation::default(), "nothing unasked");
}
