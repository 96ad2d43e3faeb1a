//! The plan of one seed: members, faults, requests.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// The parameters of one run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) founders: usize,
    /// Milliseconds with faults, before everything heals.
    pub(super) trouble: u64,
    /// How often a message is lost, or duplicated.
    pub(super) lost: f64,
    pub(super) twice: f64,
    /// The longest delay of a message in milliseconds.
    pub(super) delay: u64,
    /// An occasional longer delay.
    pub(super) late: u64,
    /// Messages arrive only at multiples of this many milliseconds, and then in any order.
    pub(super) lump: u64,
    /// Elections are delayed by up to this many ticks, so that not all start at once.
    pub(super) ticks: usize,
    /// The longest downtime after a crash in milliseconds.
    pub(super) back: u64,
    /// Crashes, network cuts and false reports per second.
    pub(super) crashes: f64,
    pub(super) cuts: f64,
    pub(super) lies: f64,
    /// Changes of the list of members per second.
    pub(super) regroups: f64,
    /// Entries between two snapshots.
    pub(super) snapshot_every: u64,
    pub(super) clients: usize,
    /// The longest pause of a client between two requests in milliseconds.
    pub(super) rest: u64,
    /// Requests per second that a leader transfers its leadership.
    pub(super) hand_overs: f64,
}

impl Plan {
    /// Returns the plan of a seed; `stormy`: as bad as possible.
    pub(super) fn of(random: &mut StdRng, stormy: bool) -> Self {
        let plain = Self::plain(random);
        if random.random_bool(0.1) || stormy { plain.storm(random) } else { plain }
    }

    /// No faults and no clients: a script brings its own.
    pub(super) fn calm(founders: usize) -> Self {
        Self {
            founders,
            trouble: 0,
            lost: 0.0,
            twice: 0.0,
            delay: 10,
            late: 10,
            lump: 1,
            ticks: 10,
            back: 0,
            crashes: 0.0,
            cuts: 0.0,
            lies: 0.0,
            regroups: 0.0,
            snapshot_every: 12,
            clients: 0,
            rest: 0,
            hand_overs: 0.0,
        }
    }

    /// As bad as possible: messages in batches, elections without end.
    fn storm(self, random: &mut StdRng) -> Self {
        let often = |random: &mut StdRng, most: f64| random.random_range(most / 4.0..most);
        Self {
            founders: [3, 3, 5][random.random_range(0..3)],
            trouble: random.random_range(4_000..10_000),
            lost: often(random, 0.2),
            twice: often(random, 0.4),
            delay: 300,
            late: random.random_range(300..2_000),
            lump: [20, 100, 200][random.random_range(0..3)],
            ticks: random.random_range(1..4),
            back: [20, 100, 1_000][random.random_range(0..3)],
            crashes: often(random, 2.0),
            lies: often(random, 12.0),
            snapshot_every: [3, 5, 12][random.random_range(0..3)],
            ..self
        }
    }

    fn plain(random: &mut StdRng) -> Self {
        let founders = [3, 3, 3, 3, 3, 2, 1, 5][random.random_range(0..8)];
        let calm = random.random_bool(0.15);
        let some = |random: &mut StdRng, most: f64| {
            if calm || random.random_bool(0.3) { 0.0 } else { random.random_range(0.0..most) }
        };
        Self {
            founders,
            trouble: random.random_range(3_000..9_000),
            lost: some(random, 0.15),
            twice: some(random, 0.1),
            delay: [2, 10, 40, 150][random.random_range(0..4)],
            late: random.random_range(100..3_000),
            lump: 1,
            ticks: 10,
            back: 2_000,
            crashes: some(random, 0.8),
            cuts: some(random, 0.8),
            lies: some(random, 1.0),
            regroups: if random.random_bool(0.35) { random.random_range(0.2..1.2) } else { 0.0 },
            snapshot_every: [5, 12, 30, 1_000][random.random_range(0..4)],
            clients: random.random_range(2..5),
            rest: [30, 100, 400][random.random_range(0..3)],
            hand_overs: some(random, 0.4),
        }
    }
}
