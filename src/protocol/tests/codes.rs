//! The table of codes and the body of an error.

use super::*;

#[test]
fn each_code_has_its_status_and_every_other_is_a_bad_request() {
    let table = [
        (100, 404),
        (101, 412),
        (102, 403),
        (104, 400),
        (105, 412),
        (107, 400),
        (108, 403),
        (110, 401),
        (201, 400),
        (209, 400),
        (210, 400),
        (300, 500),
        (301, 500),
        (401, 400),
        (500, 400),
        (999, 400),
    ];
    for (code, status) in table {
        assert_eq!(ErrorCode(code).status(), status, "{code}");
    }
}

#[test]
fn every_defined_code_has_its_own_message() {
    let defined = (100..=110).chain(200..=212).chain(300..=301).chain(400..=404).chain([500]);
    let sentences: Vec<_> = defined.map(|code| ErrorCode(code).message()).collect();
    let mut unique = sentences.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((sentences.len(), unique.len()), (32, 32), "{sentences:?}");
    assert!(!sentences.contains(&""));
    assert_eq!(ErrorCode(999).message(), "");
}

#[test]
fn an_error_body_is_as_etcd_writes_it() {
    let mut out = Vec::new();
    ErrorBody { code: ErrorCode::KEY_NOT_FOUND, cause: b"/a<\xff>".to_vec(), index: 12 }.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    let wanted = r#"{"errorCode":100,"message":"Key not found","cause":"/a\u003c\ufffd\u003e","index":12}"#;
    assert_eq!(text, format!("{wanted}\n"));
}

#[test]
fn an_empty_cause_is_left_out() {
    let mut out = Vec::new();
    let fault = ErrorBody { code: ErrorCode::NOT_A_FILE, cause: Vec::new(), index: u64::MAX };
    fault.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "{\"errorCode\":102,\"message\":\"Not a file\",\"index\":18446744073709551615}\n");
    assert_eq!(fault.to_string(), "102: Not a file [18446744073709551615]");
}
