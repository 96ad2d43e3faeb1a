//! The example of three members with a proxy in front of them, both ours: one is killed, then another, then one
//! comes back.

use serde_json::Value;

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::cluster::group::Plan;
use crate::cluster::majority::kill_third_member;
use crate::durable::wire::Wire;
use crate::support::{WAIT_TIMEOUT, eventually, scaled};

#[test]
fn behind_a_proxy_reads_survive_the_loss_of_the_majority_and_writes_return_with_it() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = kill_third_member(plan);
    let front = TestProxy::start(ProxyProgram::Ours, &group.cluster(), &["--proxy-failure-wait", "300"]);
    let ask = |method: &str, path: &str, form: Option<&str>| {
        let answer = Wire::to(&front.address()).request(method, path, form).expect("a proxy always answers");
        (answer.status, answer.json())
    };
    eventually("what the third took is read through the proxy", WAIT_TIMEOUT, || {
        ask("GET", "/v2/keys/message", None).1["node"]["value"] == "hello"
    });
    assert_eq!(ask("PUT", "/v2/keys/through", Some("value=two")).0, 201, "two of three are enough");
    group.catches_up(0);
    group.members[1].kill();
    eventually("the one that is left is asked", scaled(WAIT_TIMEOUT), || {
        ask("GET", "/v2/keys/through", None).0 == 200
    });
    let (status, answer) = ask("PUT", "/v2/keys/through", Some("value=one"));
    assert_eq!((status, &answer["errorCode"]), (500, &Value::from(300)), "{answer}");
    assert_eq!(ask("GET", "/v2/keys/message", None).1["node"]["value"], "hello");
    group.members[1].start();
    eventually("writes work again", scaled(WAIT_TIMEOUT), || {
        ask("PUT", "/v2/keys/through", Some("value=again")).0 == 200
    });
    group.members[2].start();
    group.level();
    assert_eq!(group.value(2, "/through").as_deref(), Some("again"), "the third has what it missed");
}
