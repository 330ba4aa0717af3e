//! A gateway, a broker, a network between them, devices and the world, with traffic in both
//! directions that goes on while a test does its worst.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::device::Life;
use crate::field::Field;
use crate::ledger::{Ledger, Owed, Way};
use crate::proxy::Proxy;
use crate::rig::{Gateway, Upstream, mosquitto, steady_configuration};
use crate::support::mosquitto::Mosquitto;
use crate::tap::Tap;
use crate::world::{Part, World};

/// How long something that must happen may take. Only what never happens takes that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever lives in a storm.
const LIVES: [Life; 12] = [
    Life::Talker,
    Life::Talker,
    Life::Talker,
    Life::Talker,
    Life::Sleeper,
    Life::Sleeper,
    Life::Sleeper,
    Life::Sleeper,
    Life::Sleeper,
    Life::Leaver,
    Life::Leaver,
    Life::Leaver,
];

/// How a storm is set up.
pub struct Plan<'a> {
    pub upstream: Upstream,
    /// Lines of mosquitto's configuration.
    pub broker: &'a str,
    /// Lines under `[upstream]`.
    pub connection: &'a str,
    /// The world listens while the storm goes on. A broker that is restarted under an exchange with
    /// a listener may deliver twice; then it listens afterwards.
    pub listening: bool,
    pub seed: u64,
}

/// Traffic under way. Fields are dropped in their order: whoever talks before those it talks to.
pub struct Storm {
    field: Field,
    commander: World,
    listener: Option<World>,
    pub gateway: Gateway,
    pub proxy: Proxy,
    pub broker: Mosquitto,
    pub ledger: Arc<Ledger>,
    began: Instant,
    seed: u64,
}

impl Storm {
    #[track_caller]
    pub fn begin(plan: &Plan<'_>) -> Self {
        println!("seed {}", plan.seed);
        let ledger = Arc::<Ledger>::default();
        let broker = mosquitto(&format!("max_inflight_messages 0\n{}", plan.broker));
        // The first connection makes the session; who is to be absent is gone again.
        let mut listener = Some(World::start(broker.address(), Part::Listener, &ledger, plan.seed));
        wait("the listener", || listener.as_ref().is_some_and(|world| world.connected() > 0));
        if !plan.listening {
            listener = None;
        }
        let proxy = Proxy::start(broker.address(), Some(Tap::new(Arc::clone(&ledger))));
        let version = if plan.upstream == Upstream::Mqtt5 { "5" } else { "3.1.1" };
        let connection = format!("version = \"{version}\"\n{}", plan.connection);
        let sessions = "[sessions]\nretry_interval = \"200ms\"\nretry_count = 100\n\
                        [discovery]\nadvertise_interval = \"0s\"\n";
        let gateway = Gateway::start(&steady_configuration(&proxy.url(), &connection, sessions));
        gateway.wait_for_broker(1);
        let field = Field::start(gateway.link(), &LIVES, &ledger, plan.seed);
        let part = Part::Commander {
            devices: LIVES.len() as u32,
            at_a_time: 10,
            pause: Duration::from_millis(2),
        };
        let commander = World::start(broker.address(), part, &ledger, plan.seed + 1);
        let (began, seed) = (Instant::now(), plan.seed);
        Self { field, commander, listener, gateway, proxy, broker, ledger, began, seed }
    }

    /// Waits until every subscription holds at the broker.
    #[track_caller]
    pub fn settle_in(&self) {
        self.wait("subscriptions", || self.ledger.open_count() == 2 * LIVES.len());
    }

    /// The gateway is killed and started again.
    #[track_caller]
    pub fn kill_gateway(&mut self) {
        assert!(self.gateway.is_running(), "the gateway has ended by itself");
        self.gateway.kill();
        self.ledger.event(None, "kill -9");
        self.look_at_log();
        self.gateway.restart();
    }

    /// The program has not complained about itself.
    #[track_caller]
    fn look_at_log(&self) {
        self.gateway.log.wait_for_end();
        let lines = self.gateway.log.all();
        let bad = lines.iter().find(|line| line.contains(" ERROR ") || line.contains("panicked"));
        assert_eq!(bad, None);
    }

    /// Waits until each device has had some more messages through, in whichever direction.
    #[track_caller]
    pub fn wait_for_progress(&self) {
        let progress = || {
            let numbers = 0..LIVES.len() as u32;
            numbers.map(|device| self.ledger.progress(device)).collect::<Vec<_>>()
        };
        let before = progress();
        let done = || progress().iter().zip(&before).all(|(now, before)| *now >= before + 4);
        self.wait("progress of each device", done);
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        if !holds_in_time(done) {
            let (count, missing) = self.ledger.missing(Owed::Everything);
            let (states, missing) = (self.field.states(), missing.join("\n"));
            panic!("waiting for {what}\n{states}\n{count} acknowledged, not delivered:\n{missing}");
        }
    }

    /// Lets everything that is under way arrive, and settles the accounts.
    #[track_caller]
    pub fn end(mut self, title: &str, owed: Owed) {
        self.field.enough();
        self.commander.enough();
        let commander = &self.commander;
        self.wait("all to be acknowledged", || self.field.is_idle() && commander.open() == 0);
        let listening = self.listener.is_some();
        if !listening {
            let broker = self.broker.address();
            self.listener = Some(World::start(broker, Part::Listener, &self.ledger, self.seed + 2));
        }
        // What is missing for good is for `settle` to say.
        let arrived = holds_in_time(|| self.ledger.missing(owed).0 == 0);
        if arrived {
            // A copy that ought not to be would come now.
            thread::sleep(Duration::from_millis(700));
        }
        let (naps, repeats, congested) = self.field.counts();
        let title = format!(
            "{title}; seed {}, {:.1} s, {} devices, {naps} naps, {repeats} requests repeated, \
             {congested} times congestion; the broker had forgotten the gateway {} times",
            self.seed,
            self.began.elapsed().as_secs_f64(),
            LIVES.len(),
            self.proxy.tap().forgotten().saturating_sub(1),
        );
        if !arrived {
            println!("{}", self.field.states());
        }
        assert!(self.gateway.is_running(), "the gateway has ended by itself");
        self.ledger.settle(&title, owed);
        if listening && owed == Owed::Everything {
            // A broker lets a new message overtake those that it has kept for somebody absent, so
            // the order is only that of the gateway where nobody was.
            self.ledger.settle_order(Way::Up);
        }
        assert_eq!(self.gateway.terminate(), 0);
        self.look_at_log();
    }
}

/// Waits until something holds.
#[track_caller]
pub fn wait(what: &str, done: impl FnMut() -> bool) {
    assert!(holds_in_time(done), "waiting for {what}: it did not happen");
}

fn holds_in_time(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
