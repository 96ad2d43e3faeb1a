//! The states of a container, one test each.

use std::time::Duration;

use tokio::time::Instant;

use super::super::container::{Container, ContainerState, Healthcheck};
use super::super::engine::EngineEvent;
use super::super::model::{Model, NodeConfig};
use super::super::settings::Deregister;
use super::world::{listed, node_config, running};

const ID: &str = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";

struct Case {
    model: Model,
    now: Instant,
    container: Container,
}

impl Case {
    fn new(change: impl FnOnce(&mut Container)) -> Self {
        Self::with_config(node_config(), change)
    }

    fn with_config(frame: NodeConfig, change: impl FnOnce(&mut Container)) -> Self {
        let mut container = running(ID, 1234, 1_000);
        change(&mut container);
        let mut case = Self { model: Model::new(frame), now: Instant::now(), container };
        case.list();
        case.settle();
        case
    }

    fn list(&mut self) {
        self.model.listed(vec![listed(&self.container)], self.now);
    }

    /// Performs all inspections that are due.
    fn settle(&mut self) {
        while let Some(id) = self.model.due_inspections(1, self.now).pop() {
            self.model.inspected(&id, Ok(Some(self.container.clone())), self.now);
        }
    }

    fn event(&mut self, action: &str, signal: Option<i32>, at: Option<i64>) {
        let event =
            EngineEvent { action: action.into(), id: ID.into(), at, signal, ..EngineEvent::default() };
        self.model.event(&event, self.now);
    }

    fn has_key(&mut self) -> bool {
        !self.model.wanted().keys.is_empty()
    }

    fn state(&self) -> String {
        self.model.status()[0].state.clone()
    }

    /// Takes the result of the check that should be running.
    fn checked(&mut self, result: Result<(), String>) {
        let (service_id, probe) = self.model.probes().into_iter().next().expect("a check should be running");
        self.model.checked(&service_id, &probe, result);
    }
}

fn with_check(container: &mut Container) {
    container.env.push(("SERVICE_CHECK_TCP".into(), "true".into()));
}

/// The event of the way back is lost, and the list says what the list before it said.
#[tokio::test(start_paused = true)]
async fn a_reverted_change_whose_events_were_lost_is_found_by_the_next_list() {
    let changes: [fn(&mut Container); 2] =
        [|container| container.name = "other".into(), |container| container.ports.clear()];
    for change in changes {
        let mut case = Case::new(|_| {});
        let before = (case.model.wanted().keys, case.container.clone());
        change(&mut case.container);
        case.event("rename", None, None);
        case.settle();
        assert_ne!(case.model.wanted().keys, before.0, "the change is seen");
        case.container = before.1;
        case.list();
        case.settle();
        assert_eq!(case.model.wanted().keys, before.0);
        case.list();
        assert!(case.model.due_inspections(1, case.now).len() <= 1, "at most once more");
        case.settle();
        case.list();
        assert!(case.model.due_inspections(1, case.now).is_empty(), "and then no more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_signal_removes_the_key_before_the_container_has_exited() {
    let mut case = Case::new(|_| {});
    assert!(case.has_key());
    case.event("kill", Some(15), Some(2_000));
    assert!(!case.has_key());
    assert_eq!(case.state(), "draining");
}

#[tokio::test(start_paused = true)]
async fn sighup_removes_no_key_unless_it_is_the_containers_stop_signal() {
    let mut case = Case::new(|container| container.stop_signal = 3);
    case.event("kill", Some(1), Some(2_000));
    case.settle();
    assert!(case.has_key());
    case.event("kill", Some(3), Some(2_000));
    assert!(!case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_stop_older_than_the_current_run_is_ignored() {
    let mut case = Case::new(|_| {});
    case.event("kill", Some(15), Some(500));
    case.event("die", None, Some(600));
    case.settle();
    assert!(case.has_key(), "{}", case.state());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_survives_its_stop_signal_gets_its_key_back() {
    let mut case = Case::new(|container| container.stop_timeout = Some(1));
    case.event("kill", Some(15), Some(2_000));
    case.settle();
    assert!(!case.has_key());
    case.now += Duration::from_secs(4);
    case.model.tick(case.now);
    assert!(!case.has_key(), "time alone says nothing: its engine may be gone");
    case.settle();
    assert!(case.has_key(), "{}", case.state());
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_engine_went_with_it_gets_no_key_back_by_waiting() {
    let mut case = Case::new(|_| {});
    case.event("kill", Some(15), Some(2_000));
    case.event("die", None, Some(3_000));
    case.model.lost(case.now);
    for _ in 0..40 {
        case.now += Duration::from_secs(1);
        case.model.tick(case.now);
        for id in case.model.due_inspections(5, case.now) {
            case.model.inspected(&id, Err(()), case.now);
        }
        assert!(!case.has_key(), "{}", case.state());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outdated_inspection_does_not_end_a_drain() {
    let mut case = Case::new(|_| {});
    case.event("die", None, Some(3_000));
    let asked = case.model.due_inspections(5, case.now);
    case.now += Duration::from_secs(5);
    case.model.tick(case.now);
    case.model.inspected(&asked[0], Ok(Some(case.container.clone())), case.now);
    assert!(!case.has_key(), "the inspection was made when it may have been running");
    case.settle();
    assert!(case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_drain_on_request_outlasts_the_stop_that_follows_it() {
    let mut case = Case::new(|_| {});
    assert!(case.model.drain("name-aaaa", true));
    case.event("kill", Some(15), Some(2_000));
    case.settle();
    case.now += Duration::from_secs(60);
    case.model.tick(case.now);
    case.settle();
    assert!(!case.has_key(), "it still runs, and was to be drained");
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_inspection_takes_effect() {
    let container = running(ID, 1234, 1_000);
    let mut model = Model::new(node_config());
    let now = Instant::now();
    let event = |action: &str, signal| EngineEvent {
        action: action.into(),
        id: ID.into(),
        at: Some(2_000),
        signal,
        ..EngineEvent::default()
    };
    model.event(&event("start", None), now);
    model.event(&event("kill", Some(15)), now);
    for id in model.due_inspections(5, now) {
        model.inspected(&id, Ok(Some(container.clone())), now);
    }
    assert!(model.wanted().keys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_engine_outage_registers_no_unhealthy_container() {
    let mut case = Case::new(|container| container.healthcheck = Some(Healthcheck::Unhealthy));
    assert!(!case.has_key());
    case.model.lost(case.now);
    case.now += Duration::from_secs(61);
    case.model.tick(case.now);
    assert!(case.model.probes().is_empty(), "an unhealthy service is not asked by TCP");
    assert!(!case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_may_still_become_healthy_is_pending() {
    let mut case = Case::new(|container| {
        with_check(container);
        container.env.push(("SERVICE_CHECK_RISE".into(), "2".into()));
    });
    case.checked(Ok(()));
    let wanted = case.model.wanted();
    assert!(!wanted.complete && wanted.unknown.contains(&ID[..12]), "one pass of two says nothing");
    case.checked(Ok(()));
    assert!(case.model.complete());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_inspected_is_waited_for_only_so_long() {
    let mut model = Model::new(node_config());
    let mut now = Instant::now();
    model.listed(vec![listed(&running(ID, 1234, 1_000))], now);
    for id in model.due_inspections(5, now) {
        model.inspected(&id, Err(()), now);
    }
    assert!(!model.complete());
    now += Duration::from_secs(16);
    model.tick(now);
    let wanted = model.wanted();
    assert!(wanted.complete);
    assert!(wanted.unknown.contains(&ID[..12]), "what is left of it is not to be taken for a leftover");
}

#[tokio::test(start_paused = true)]
async fn a_key_appears_only_after_a_passed_check_and_goes_after_a_failed_one() {
    let mut case = Case::new(with_check);
    assert_eq!((case.has_key(), case.state()), (false, "starting".to_owned()));
    case.checked(Err("refused".into()));
    assert_eq!((case.has_key(), case.state()), (false, "starting".to_owned()));
    case.checked(Ok(()));
    assert_eq!((case.has_key(), case.state()), (true, "passing".to_owned()));
    case.checked(Err("refused".into()));
    assert_eq!((case.has_key(), case.state()), (false, "failing".to_owned()));
    assert_eq!(case.model.status()[0].why, "refused");
}

#[tokio::test(start_paused = true)]
async fn a_state_changes_after_the_configured_number_of_passes_or_failures_in_a_row() {
    let mut case = Case::new(|container| {
        with_check(container);
        container.env.push(("SERVICE_CHECK_RISE".into(), "2".into()));
        container.env.push(("SERVICE_CHECK_FALL".into(), "3".into()));
    });
    let results = [true, false, true, true, false, false, true, false, false, false];
    let keys: Vec<bool> = results
        .into_iter()
        .map(|passes| {
            case.checked(if passes { Ok(()) } else { Err("no".into()) });
            case.has_key()
        })
        .collect();
    assert_eq!(keys, [false, false, false, true, true, true, true, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_container_has_to_pass_its_check_again() {
    let mut case = Case::new(with_check);
    case.checked(Ok(()));
    let (service_id, old) = case.model.probes().into_iter().next().unwrap();
    case.container.started = Some(3_000);
    case.event("start", None, Some(3_000));
    case.settle();
    assert!(!case.has_key());
    case.model.checked(&service_id, &old, Ok(()));
    assert!(!case.has_key(), "a result of the life before counts");
    case.checked(Ok(()));
    assert!(case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_failed_inspection_changes_nothing_and_is_retried() {
    let mut case = Case::new(|_| {});
    case.event("start", None, Some(2_000));
    for _ in 0..20 {
        case.now += Duration::from_secs(20);
        let asked = case.model.due_inspections(5, case.now);
        assert_eq!(asked, [ID]);
        case.model.inspected(ID, Err(()), case.now);
        assert!(case.model.due_inspections(5, case.now).is_empty(), "asked again at once");
        assert!(case.has_key());
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_missing_from_a_list_loses_its_key_only_once_an_inspection_confirms_it() {
    let mut case = Case::new(|_| {});
    case.model.listed(Vec::new(), case.now);
    assert!(case.has_key());
    let asked = case.model.due_inspections(5, case.now);
    assert_eq!(asked, [ID]);
    case.model.inspected(ID, Ok(None), case.now);
    assert!(!case.has_key());
    assert!(case.model.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn during_a_long_engine_outage_a_check_of_the_port_decides() {
    let mut case = Case::new(|_| {});
    case.model.lost(case.now);
    case.now += Duration::from_secs(61);
    case.model.tick(case.now);
    assert!(case.has_key(), "the key went because the engine was away");
    case.checked(Ok(()));
    assert!(case.has_key());
    case.checked(Err("refused".into()));
    assert!(!case.has_key());
    case.list();
    case.settle();
    assert!(case.has_key(), "the engine's word counts again");
    assert!(case.model.probes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_paused_container_loses_its_key_until_it_is_unpaused() {
    let mut case = Case::new(|_| {});
    case.container.run_state = ContainerState::Paused;
    case.event("pause", None, Some(2_000));
    case.settle();
    assert_eq!((case.has_key(), case.state()), (false, "failing".to_owned()));
    case.container.run_state = ContainerState::Running;
    case.event("unpause", None, Some(3_000));
    case.settle();
    assert!(case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_failed_containers_key_is_left_to_its_lease_where_only_success_deregisters() {
    for (code, left) in [(0, false), (1, true), (127, true), (137, false), (143, false)] {
        let on_success = NodeConfig { deregister: Deregister::OnSuccess, ..node_config() };
        let mut case = Case::with_config(on_success, |_| {});
        assert!(case.has_key());
        (case.container.run_state, case.container.exit_code) = (ContainerState::NotRunning, code);
        case.container.ports.clear();
        case.event("die", None, Some(2_000));
        case.settle();
        let wanted = case.model.wanted();
        assert!(wanted.keys.is_empty());
        assert_eq!(!wanted.released.is_empty(), left, "exit status {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requested_drain_lasts_until_the_next_start() {
    let mut case = Case::new(|_| {});
    assert!(!case.model.drain("other", true));
    assert!(case.model.drain("name-aaaa", true));
    assert_eq!((case.has_key(), case.state()), (false, "draining".to_owned()));
    case.now += Duration::from_secs(3_600);
    case.model.tick(case.now);
    case.list();
    case.settle();
    assert!(!case.has_key());
    case.container.started = Some(5_000);
    case.event("start", None, Some(5_000));
    case.settle();
    assert!(case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_undone_and_a_stop_cannot() {
    let mut case = Case::new(|_| {});
    assert!(case.model.drain("name-aaaa", true));
    assert!(case.model.drain("name-aaaa", false));
    assert!(case.has_key());
    case.event("kill", Some(15), Some(2_000));
    assert!(case.model.drain("name-aaaa", false));
    assert!(!case.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_registered_is_failing() {
    let case = Case::new(|container| container.env.push(("SERVICE_NAME".into(), "a/../b".into())));
    let status = case.model.status().remove(0);
    assert_eq!(status.state, "failing");
    assert!(status.why.starts_with("refused: "), "{}", status.why);
}

#[tokio::test(start_paused = true)]
async fn of_two_containers_with_one_key_the_holder_keeps_it() {
    let named = |container: &mut Container| {
        container.env.push(("SERVICE_NAME".into(), "web".into()));
        container.env.push(("SERVICE_ID".into(), "web".into()));
    };
    let mut case = Case::new(named);
    assert!(case.has_key());
    let other = "0000bbbbccccddddeeeeffff0000111122223333444455556666777788889999";
    let mut second = running(other, 4321, 500);
    named(&mut second);
    case.model.listed(vec![listed(&case.container), listed(&second)], case.now);
    while let Some(id) = case.model.due_inspections(1, case.now).pop() {
        let found = if id == other { second.clone() } else { case.container.clone() };
        case.model.inspected(&id, Ok(Some(found)), case.now);
    }
    let value = |case: &mut Case| case.model.wanted().keys["/web/web"].value.clone();
    assert_eq!(value(&mut case), "198.51.100.7:1234", "the one that came later took it");
    let loser = case.model.status().into_iter().find(|status| status.id == other).unwrap();
    assert!(loser.why.contains("already belongs to aaaabbbbcccc"), "{}", loser.why);
    case.event("die", None, Some(9_000));
    assert_eq!(value(&mut case), "198.51.100.7:4321", "the other gets it when it is free");
}

#[tokio::test(start_paused = true)]
async fn everything_is_known_only_when_all_checks_have_finished() {
    let mut case = Case::new(with_check);
    assert!(!case.model.complete());
    case.checked(Err("not yet".into()));
    assert!(case.model.complete());
    let mut empty = Model::new(node_config());
    assert!(!empty.complete(), "nothing was listed yet");
    empty.listed(Vec::new(), case.now);
    assert!(empty.complete());
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_check_attribute_is_reported_with_the_nearest_valid_one() {
    let mut case = Case::new(|container| {
        container.env.push(("SERVICE_CHECK_HTPP".into(), "/secret".into()));
        container.env.push(("SERVICE_CHECK_INITIAL_STATUS".into(), "passing".into()));
    });
    assert!(case.has_key(), "it is registered all the same");
    let said = case.model.status()[0].skipped.join("\n");
    assert!(said.contains("SERVICE_CHECK_HTPP is not a check attribute"), "{said}");
    assert!(said.contains("did you mean SERVICE_CHECK_HTTP?") && !said.contains("secret"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_passes_its_first_check_is_reported_once() {
    let mut case = Case::new(with_check);
    assert!(case.model.overdue(case.now).is_empty());
    case.checked(Err("connection refused".into()));
    let began = case.now;
    case.now += Duration::from_secs(59);
    assert!(case.model.overdue(case.now).is_empty());
    assert!(
        case.model.next().is_some_and(|at| at <= began + Duration::from_secs(60)),
        "time alone will tell"
    );
    case.now += Duration::from_secs(1);
    let lines = case.model.overdue(case.now);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("has passed no check in 60 s") && lines[0].contains("connection refused"),
        "{lines:?}"
    );
    case.now += Duration::from_secs(600);
    assert!(case.model.overdue(case.now).is_empty(), "once");
    case.model.tick(case.now);
    assert!(case.model.next().is_none_or(|at| at > case.now), "and time has nothing more to tell");

    let mut case = Case::new(with_check);
    assert!(case.model.overdue(case.now).is_empty());
    case.checked(Ok(()));
    case.now += Duration::from_secs(600);
    assert!(case.model.overdue(case.now).is_empty(), "what passed is not overdue");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_of_a_service_is_reported_once_with_its_reason() {
    let mut case = Case::new(with_check);
    assert!(case.model.first_failures().is_empty(), "nothing is known yet");
    case.checked(Err("connection refused".into()));
    let lines = case.model.first_failures();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("(aaaabbbbcccc), service ") && lines[0].ends_with(": connection refused"),
        "{lines:?}"
    );
    case.checked(Err("timed out".into()));
    assert!(case.model.first_failures().is_empty(), "once");

    let mut case = Case::new(with_check);
    case.checked(Ok(()));
    assert!(case.model.first_failures().is_empty());
    case.checked(Err("connection refused".into()));
    assert!(case.model.first_failures().is_empty(), "the removal of its key is logged");

    let mut case = Case::new(|container| container.healthcheck = Some(Healthcheck::Unhealthy));
    assert!(case.model.first_failures().concat().ends_with("its HEALTHCHECK fails"));
    assert!(case.model.first_failures().is_empty(), "once");
}
