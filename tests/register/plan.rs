//! Scripts: events of an engine, its containers, the store's connection and the registrar, all from a seed.

use std::fmt;
use std::time::Duration;

use super::faulty_link::Mode;
use crate::support::fake_engine::{Container, Dialect, Endpoint, Failure, Health, OnEngineStop, Since};
use crate::support::rng::TestRng;

/// How many containers come and go in a script.
pub(super) const SLOTS: usize = 6;
/// The store is unreachable for less than this, so that no lease may expire.
const STORE_AWAY: u64 = 700;
/// The time between two outages: long enough to renew every lease.
const STORE_BACK: u64 = 2500;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Run(usize, ContainerKind),
    Begin(usize),
    Stop(usize, Duration),
    Kill(usize, i32),
    Die(usize, i64),
    Crash(usize, Duration),
    Restart(usize, Duration),
    Pause(usize),
    Unpause(usize),
    Probe(usize, Health),
    Rename(usize),
    Remove(usize),
    Pull(usize),
    Fault(Fault),
    Mend,
    CutStreams { in_a_line: bool },
    EngineDown,
    EngineUp,
    EngineRestart(OnEngineStop),
    StoreAway(Mode, Duration),
    Registrar { killed: bool },
}

/// What goes wrong with the engine from then on.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Lost(u64),
    Doubled(u64),
    Late(Duration),
    Jitter(Duration),
    Silent,
    LateHead,
    Since(Since),
    Request(Option<Endpoint>, Failure, u64),
}

/// The kind of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerKind {
    One,
    Two,
    PortNamed,
    PortIgnored,
    Ignored,
    OneOfTwo,
    Both,
    Checked,
    Unnamed,
    Labelled,
    Fixed,
    NoPorts,
}

const CONTAINER_KINDS: [ContainerKind; 12] = [
    ContainerKind::One,
    ContainerKind::Two,
    ContainerKind::PortNamed,
    ContainerKind::PortIgnored,
    ContainerKind::Ignored,
    ContainerKind::OneOfTwo,
    ContainerKind::Both,
    ContainerKind::Checked,
    ContainerKind::Unnamed,
    ContainerKind::Labelled,
    ContainerKind::Fixed,
    ContainerKind::NoPorts,
];

impl ContainerKind {
    /// Returns a container of this kind; several share a service's name.
    pub(super) fn container(self, name: &str, slot: usize) -> Container {
        let plain = Container::new(name).image("registry.example:5000/team/app:3");
        let service = ["web", "api", "db"][slot % 3];
        let one = || plain.clone().publish("80/tcp", None).env("SERVICE_NAME", service);
        let two = || one().publish("443/tcp", None);
        match self {
            Self::One => one(),
            Self::Two => two(),
            Self::PortNamed => {
                two().env("SERVICE_80_NAME", "front").env("SERVICE_443_ID", &format!("secure-{slot}"))
            }
            Self::PortIgnored => two().env("SERVICE_443_IGNORE", "1"),
            Self::Ignored => one().label("SERVICE_IGNORE", "false"),
            Self::OneOfTwo => one().expose("443/tcp"),
            Self::Both => plain.publish("53/tcp", None).publish("53/udp", None).env("SERVICE_NAME", "dns"),
            Self::Checked => one().healthcheck(),
            Self::Unnamed => plain.publish("80/tcp", None),
            Self::Labelled => {
                one().label("SERVICE_NAME", "labelled").label("SERVICE_ID", &format!("l{slot}"))
            }
            Self::Fixed => plain
                .publish("80/tcp", Some(u16::try_from(9000 + slot).unwrap()))
                .env("SERVICE_NAME", service)
                .stop_signal(3),
            Self::NoPorts => plain.env("SERVICE_NAME", service),
        }
    }
}

/// A script.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) dialect: Dialect,
    pub(super) suffix: bool,
    /// Whether the engine may be unreachable for longer than the registrar's grace time.
    pub(super) short_grace: bool,
    /// Whether the registrar publishes its node's record beside the services.
    pub(super) publish_node: bool,
    /// The steps, and the milliseconds after each.
    pub(super) steps: Vec<(Step, u64)>,
}

impl Plan {
    /// Returns the script of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = TestRng::seeded(seed);
        let mut plan = Self {
            seed,
            dialect: if rng.one_in(4) { Dialect::Podman } else { Dialect::Docker },
            suffix: rng.one_in(2),
            short_grace: rng.one_in(4),
            publish_node: rng.one_in(4),
            steps: Vec::new(),
        };
        // Engine crashes that kill all containers have their own scripts: no container is steady there.
        let fatal = rng.one_in(6);
        let (length, mut since_store) = (12 + rng.below(28), STORE_BACK);
        for slot in 0..3 {
            plan.steps.push((Step::Run(slot, CONTAINER_KINDS[rng.index(CONTAINER_KINDS.len())]), 0));
        }
        for _ in 0..length {
            let pause = [0, 0, 3, 10, 40, 120, 350][rng.index(7)];
            let step = step(&mut rng, fatal, since_store >= STORE_BACK);
            since_store += pause;
            if matches!(step, Step::StoreAway(..)) {
                since_store = 0;
            }
            plan.steps.push((step, pause));
        }
        plan
    }

    /// Returns whether containers that no step names are never changed.
    pub(super) fn has_steady(&self) -> bool {
        !self.steps.iter().any(|(step, _)| matches!(step, Step::EngineRestart(OnEngineStop::End)))
    }

    /// Returns whether store and registrar work all the time: then nothing may be written twice.
    pub(super) fn calm(&self) -> bool {
        !self.steps.iter().any(|(step, _)| matches!(step, Step::StoreAway(..) | Step::Registrar { .. }))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, dialect, suffix, short_grace, publish_node, steps } = self;
        writeln!(
            f,
            "seed {seed}: {dialect:?}, suffix {suffix}, short grace {short_grace}, publishes its node {publish_node}"
        )?;
        for (at, (step, pause)) in steps.iter().enumerate() {
            writeln!(f, "  {at:3} {step:?}, then {pause} ms")?;
        }
        Ok(())
    }
}

fn step(rng: &mut TestRng, fatal: bool, store_may_go: bool) -> Step {
    match rng.below(100) {
        0..60 => lifecycle_step(rng),
        60..80 => Step::Fault(fault(rng)),
        80..86 => Step::Mend,
        86..89 => Step::CutStreams { in_a_line: rng.one_in(2) },
        89..91 => Step::EngineDown,
        91..93 => Step::EngineUp,
        93..95 => Step::EngineRestart(if fatal { OnEngineStop::End } else { OnEngineStop::Stay }),
        95..98 if store_may_go => {
            let mode = if rng.one_in(2) { Mode::Closed } else { Mode::Held };
            Step::StoreAway(mode, Duration::from_millis(50 + rng.below(STORE_AWAY - 50)))
        }
        95..98 => lifecycle_step(rng),
        _ => Step::Registrar { killed: rng.one_in(2) },
    }
}

fn lifecycle_step(rng: &mut TestRng) -> Step {
    let slot = rng.index(SLOTS);
    let wait = Duration::from_millis([0, 1, 20, 100, 400][rng.index(5)]);
    match rng.below(24) {
        0..6 => Step::Run(slot, CONTAINER_KINDS[rng.index(CONTAINER_KINDS.len())]),
        6..8 => Step::Begin(slot),
        8..10 => Step::Stop(slot, wait),
        10 => Step::Kill(slot, [1, 9, 10, 15][rng.index(4)]),
        11 => Step::Die(slot, [0, 1, 137][rng.index(3)]),
        12..14 => Step::Crash(slot, wait),
        14..16 => Step::Restart(slot, wait),
        16 => Step::Pause(slot),
        17 => Step::Unpause(slot),
        18..21 => Step::Probe(slot, [Health::Healthy, Health::Healthy, Health::Unhealthy][rng.index(3)]),
        21 => Step::Rename(slot),
        22 => Step::Remove(slot),
        _ => Step::Pull([1, 30, 300][rng.index(3)]),
    }
}

fn fault(rng: &mut TestRng) -> Fault {
    const ENDPOINTS: [Option<Endpoint>; 7] = [
        None,
        Some(Endpoint::List),
        Some(Endpoint::List),
        Some(Endpoint::Inspect),
        Some(Endpoint::Inspect),
        Some(Endpoint::Events),
        Some(Endpoint::Ping),
    ];
    let wait = Duration::from_millis([5, 30, 150, 600][rng.index(4)]);
    match rng.below(15) {
        0..2 => Fault::Lost([30, 100][rng.index(2)]),
        2 => Fault::Doubled(50),
        3 => Fault::Late(wait),
        4..6 => Fault::Jitter(wait),
        6 => Fault::Silent,
        14 => Fault::LateHead,
        7 => Fault::Since(if rng.one_in(2) { Since::Nothing } else { Since::Everything }),
        _ => {
            let failure = match rng.below(6) {
                0..2 => Failure::Error,
                2 => Failure::Hang,
                3 => Failure::Truncate,
                4 => Failure::Reset,
                _ => Failure::Slow(wait),
            };
            Fault::Request(ENDPOINTS[rng.index(ENDPOINTS.len())], failure, [20, 60, 100][rng.index(3)])
        }
    }
}
