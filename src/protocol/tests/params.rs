//! Where parameters come from, their valid values, and the order of errors. Each line was checked against etcd.

use super::*;

const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded");

fn put(query: &str, body: &str) -> Result<Params, ErrorBody> {
    Params::read(Method::Put, query, FORM, body.as_bytes())
}

fn get(query: &str) -> Result<Params, ErrorBody> {
    Params::read(Method::Get, query, None, b"")
}

fn error(read: Result<Params, ErrorBody>) -> (u16, String) {
    let fault = read.expect_err("a complaint");
    assert_eq!(fault.index, 0);
    (fault.code.0, cause(&fault))
}

#[test]
fn the_body_overrides_the_query_and_the_first_value_the_second() {
    assert_eq!(put("value=q", "value=b").unwrap().value, b"b");
    assert_eq!(put("value=q", "value=").unwrap().value, b"");
    assert_eq!(put("value=q", "ttl=5").unwrap().value, b"q");
    assert_eq!(put("", "value=1&value=2").unwrap().value, b"1");
    assert_eq!(put("ttl=x", "ttl=5").unwrap().ttl, Some(5));
    assert_eq!(error(put("ttl=5", "ttl=x")).0, 202);
}

#[test]
fn a_form_body_counts_for_put_and_post_only() {
    let read = |method| Params::read(method, "", FORM, b"value=b&dir=bad").map(|params| params.value);
    for method in [Method::Get, Method::Head, Method::Delete] {
        assert_eq!(read(method).unwrap(), b"");
        assert!(!Params::in_body(method, FORM));
    }
    for method in [Method::Put, Method::Post] {
        assert_eq!(read(method).unwrap_err().code, ErrorCode::INVALID_FIELD);
        assert!(Params::in_body(method, FORM));
    }
}

#[test]
fn values_are_decoded_as_forms_are() {
    let table: &[(&str, &[u8])] = &[
        ("value=a+b%20c%2Bd", b"a b c+d"),
        ("value", b""),
        ("value=a=b=c", b"a=b=c"),
        ("&&value=x&", b"x"),
        ("%76alue=x", b"x"),
        ("value=%ff%00", b"\xff\0"),
        ("VALUE=x&prevexist=bad&v+alue=1", b""),
        ("value=ü", "ü".as_bytes()),
    ];
    for (body, wanted) in table {
        assert_eq!(put("", body).unwrap().value, *wanted, "{body}");
    }
}

#[test]
fn bad_encodings_are_reported_and_a_semicolon_takes_precedence() {
    let escape = |text: &str| (210, format!("invalid URL escape {text}"));
    let semicolon = (210, "invalid semicolon separator in query".to_owned());
    for (text, wanted) in [
        ("a=%zz", escape(r#""%zz""#)),
        ("value=%z", escape(r#""%z""#)),
        ("a=%", escape(r#""%""#)),
        ("%zz=%yy", escape(r#""%zz""#)),
        ("=%yy", escape(r#""%yy""#)),
        ("a=%a\"&", escape(r#""%a\"""#)),
        ("a=%\\x", escape(r#""%\\x""#)),
        ("a=%ü", escape("\"%ü\"")),
        ("a=%1ü", escape(r#""%1\xc3""#)),
        ("a=%€", escape(r#""%\xe2\x82""#)),
        ("a=%\u{a0}", escape(r#""%\u00a0""#)),
        ("a=%\x07\n", escape(r#""%\a\n""#)),
        ("a=%\x7f", escape(r#""%\x7f""#)),
        (";", semicolon.clone()),
        ("%zz&a;b", semicolon.clone()),
        ("a;b&%zz", semicolon),
    ] {
        assert_eq!(error(put("", text)), wanted, "{text}");
        assert_eq!(error(get(text)), wanted, "{text}");
    }
    assert_eq!(error(put("%qq", "%yy")), escape(r#""%yy""#), "the body is read first");
    assert_eq!(error(put(";", "%yy")), escape(r#""%yy""#));
    assert_eq!(error(put("wait=x&%qq", "")), escape(r#""%qq""#), "the form is read before its values");
}

#[test]
fn the_content_type_decides_whether_the_body_is_a_form() {
    let value = |content_type: Option<&[u8]>| {
        Params::read(Method::Put, "", content_type, b"value=V").map(|params| params.value)
    };
    for form in [
        "application/x-www-form-urlencoded",
        "APPLICATION/X-www-form-urlencoded",
        "application/x-www-form-urlencoded;",
        "application/x-www-form-urlencoded; charset=\"utf-8\"",
        "application/x-www-form-urlencoded ; x = y ;",
        "\u{a0}application/x-www-form-urlencoded\u{3000};a=b\u{a0}",
        "application/x-www-form-urlencoded;a=\"\\\";\\x\";A*0=c",
    ] {
        assert_eq!(value(Some(form.as_bytes())).unwrap(), b"V", "{form}");
    }
    for other in ["", "a", "text/plain", "a/b;", "a/b;c=\"\"", "multipart/form-data; boundary=x"] {
        assert_eq!(value(Some(other.as_bytes())).unwrap(), b"", "{other}");
    }
    assert_eq!(value(None).unwrap(), b"");
}

#[test]
fn a_bad_content_type_is_the_first_error() {
    let table: &[(&[u8], &str)] = &[
        (b";", "mime: no media type"),
        (b"/", "mime: no media type"),
        (b"a b", "mime: expected slash after first token"),
        (b"a\xff/b", "mime: expected slash after first token"),
        (b"a/", "mime: expected token after slash"),
        (b"a/b c", "mime: unexpected content after media subtype"),
        (b"a/b/c", "mime: unexpected content after media subtype"),
        (b"a/b;;;", "mime: invalid media parameter"),
        (b"a/b; ;", "mime: invalid media parameter"),
        (b"a/b;c", "mime: invalid media parameter"),
        (b"a/b;c=", "mime: invalid media parameter"),
        (b"a/b;=c", "mime: invalid media parameter"),
        (b"a/b;c=\"", "mime: invalid media parameter"),
        (b"a/b;c=\"x\\\"", "mime: invalid media parameter"),
        (b"a/b; c=d e", "mime: invalid media parameter"),
        (b"a/b;a=b;A=b", "mime: duplicate parameter name"),
        (b"a/b;a*0=b;a*0=c", "mime: duplicate parameter name"),
    ];
    for (content_type, wanted) in table {
        let read = Params::read(Method::Put, "ttl=x&;", Some(content_type), b"%zz");
        assert_eq!(error(read), (210, (*wanted).to_owned()), "{content_type:?}");
        assert!(Params::read(Method::Delete, "", Some(content_type), b"").is_ok());
    }
}

#[test]
fn booleans_are_parsed_as_go_does() {
    for (words, wanted) in [("1 t T TRUE true True", true), ("0 f F FALSE false False", false)] {
        for word in words.split(' ') {
            let params = get(&format!("recursive={word}&prevExist={word}")).unwrap();
            assert_eq!((params.recursive, params.prev_exist), (wanted, Some(wanted)), "{word}");
        }
    }
    for word in ["", "yes", "tRUE", "2", "+1", "true+", "01"] {
        let wanted = (209, "invalid value for \"recursive\"".to_owned());
        assert_eq!(error(get(&format!("recursive={word}"))), wanted, "{word}");
    }
    assert_eq!(get("").unwrap(), Params::default());
}

#[test]
fn numbers_are_decimal_digits_of_64_bits() {
    assert_eq!(get("waitIndex=18446744073709551615").unwrap().wait_index, u64::MAX);
    assert_eq!(get("waitIndex=0007").unwrap().wait_index, 7);
    assert_eq!(get("prevIndex=0").unwrap().prev_index, None);
    assert_eq!(get("prevIndex=000000000000000000000000000000001").unwrap().prev_index, Some(1));
    assert_eq!(get("ttl=").unwrap().ttl, None);
    assert_eq!(get("ttl=0").unwrap().ttl, Some(0));
    for number in ["%2B1", "-1", "1+", "0x1", "1_0", "18446744073709551616", "١", "1.0"] {
        assert_eq!(error(get(&format!("prevIndex={number}"))).0, 203, "{number}");
        assert_eq!(error(get(&format!("waitIndex={number}"))).0, 203, "{number}");
        assert_eq!(error(get(&format!("ttl={number}"))).0, 202, "{number}");
    }
    assert_eq!(error(get("prevIndex=")), (203, "invalid value for \"prevIndex\"".to_owned()));
    assert_eq!(error(get("waitIndex=")), (203, "invalid value for \"waitIndex\"".to_owned()));
}

#[test]
fn the_first_error_in_etcds_order_is_returned() {
    let order = [
        ("prevIndex=x", 203, "invalid value for \"prevIndex\""),
        ("waitIndex=x", 203, "invalid value for \"waitIndex\""),
        ("recursive=x", 209, "invalid value for \"recursive\""),
        ("sorted=x", 209, "invalid value for \"sorted\""),
        ("wait=x", 209, "invalid value for \"wait\""),
        ("dir=x", 209, "invalid value for \"dir\""),
        ("quorum=x", 209, "invalid value for \"quorum\""),
        ("stream=x", 209, "invalid value for \"stream\""),
        ("wait=true", 209, "\"wait\" can only be used with GET requests"),
        ("prevValue=", 201, "\"prevValue\" cannot be empty"),
        ("noValueOnSuccess=x", 209, "invalid value for \"noValueOnSuccess\""),
        ("ttl=x", 202, "invalid value for \"ttl\""),
        ("prevExist=x", 209, "invalid value for prevExist"),
        ("refresh=x", 209, "invalid value for refresh"),
        ("refresh=1&value=x", 211, "A value was provided on a refresh"),
        ("refresh=1", 212, "No TTL value set"),
    ];
    for (at, (_, code, wanted)) in order.iter().enumerate() {
        let fields: Vec<_> = order[at..].iter().rev().map(|(field, ..)| *field).collect();
        // `wait=x` hides `wait=true`, which precedes it when the order is reversed.
        let fields = if *wanted == "invalid value for \"wait\"" {
            fields.into_iter().filter(|field| *field != "wait=true").collect()
        } else {
            fields
        };
        // Likewise only the first `ttl`, `refresh` and `value` count, so put the wanted one first.
        let text = format!("{}&{}", order[at].0, fields.join("&"));
        assert_eq!(error(put(&text, "")), (*code, (*wanted).to_owned()), "{text}");
    }
}

#[test]
fn waiting_is_for_get_and_a_refresh_needs_a_ttl_and_no_value() {
    assert!(get("wait=true").unwrap().wait);
    assert_eq!(error(Params::read(Method::Head, "wait=true", None, b"")).0, 209);
    assert!(put("wait=false", "").is_ok());
    assert!(put("", "refresh=true&ttl=5&value=").unwrap().refresh);
    assert!(!put("", "refresh=false&value=x").unwrap().refresh);
    assert_eq!(error(put("", "refresh=true&ttl=")).0, 212);
    assert_eq!(error(get("refresh=true")).0, 212);
}

#[test]
fn every_parameter_reaches_its_field() {
    let query = "value=v&ttl=1&dir=1&prevExist=0&prevValue=p&prevIndex=2&recursive=1&sorted=1&quorum=1&wait=1&\
                 waitIndex=3&stream=1&refresh=0&noValueOnSuccess=1";
    let wanted = Params {
        value: b"v".to_vec(),
        ttl: Some(1),
        dir: true,
        prev_exist: Some(false),
        prev_value: Some(b"p".to_vec()),
        prev_index: Some(2),
        recursive: true,
        sorted: true,
        quorum: true,
        wait: true,
        wait_index: 3,
        stream: true,
        refresh: false,
        no_value_on_success: true,
    };
    assert_eq!(get(query).unwrap(), wanted);
}
