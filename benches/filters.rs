//! What many subscriptions cost the core, without any IO: `cargo bench --bench filters`. Finding who
//! gets a message, and subscribing, must not depend on how many filters there are.

use std::hint::black_box;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Connect, Message, Qos, Subscribe, SubscribeTopic};
use mqtt_sn_gateway::core::upstream::{LineId, MqttQos, UpstreamEvent};
use mqtt_sn_gateway::core::{Address, Effect, Effects, Gateway, LinkId, Settings, Signal};
use mqtt_sn_gateway::time::Time;
use nix::time::{ClockId, clock_gettime};

/// Filters of one client.
const EACH: usize = 10;
const RUNS: usize = 5;

/// A gateway, a broker that grants everything, and devices that do not answer.
struct Bench {
    gateway: Gateway,
    fx: Effects,
    now: Time,
    /// SUBSCRIBEs that reached the broker.
    asked: usize,
    buffer: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let now = Time(1_000_000);
        let settings = Settings { max_clients: 200_000, ..Settings::default() };
        let mut bench = Self {
            gateway: Gateway::new(settings, 7, now),
            fx: Effects::new(),
            now,
            asked: 0,
            buffer: vec![0; 512],
        };
        bench.upstream(UpstreamEvent::Connected {
            session_present: false,
            subscription_ids: true,
            maximum_qos: MqttQos::Two,
        });
        bench
    }

    fn upstream(&mut self, event: UpstreamEvent<'_>) {
        self.gateway.handle_upstream(self.now, LineId::MAIN, event, &mut self.fx);
        self.settle();
    }

    /// Grants what was asked for, and what that leads to.
    fn settle(&mut self) {
        loop {
            let grants: Vec<_> = self
                .fx
                .items()
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Subscribe { token, qos, .. } => {
                        Some(UpstreamEvent::Subscribed { token: *token, outcome: Ok(*qos) })
                    }
                    Effect::Unsubscribe { token, .. } => {
                        Some(UpstreamEvent::Unsubscribed { token: *token })
                    }
                    _ => None,
                })
                .collect();
            self.fx.clear();
            if grants.is_empty() {
                return;
            }
            for grant in grants {
                self.asked += usize::from(matches!(grant, UpstreamEvent::Subscribed { .. }));
                self.gateway.handle_upstream(self.now, LineId::MAIN, grant, &mut self.fx);
            }
        }
    }

    fn send(&mut self, client: usize, message: &Message<'_>) {
        let length = message.encode(&mut self.buffer).expect("the buffer is large enough");
        let address = Address::new(&(client as u32).to_be_bytes()).expect("four octets");
        let bytes = &self.buffer[..length];
        self.gateway.handle_datagram(
            self.now,
            LinkId(0),
            &address,
            Signal::default(),
            bytes,
            &mut self.fx,
        );
        self.settle();
    }

    fn connect(&mut self, client: usize) {
        let id = format!("client-{client}");
        let connect = Connect {
            will: false,
            clean_session: true,
            protocol_id: 1,
            duration: 60_000,
            client_id: id.as_bytes(),
        };
        self.send(client, &Message::Connect(connect));
    }

    fn subscribe(&mut self, client: usize, msg_id: u16, filter: &str) {
        let topic = SubscribeTopic::Name(filter.as_bytes());
        let (dup, qos) = (false, Qos::Zero);
        self.send(client, &Message::Subscribe(Subscribe { dup, qos, msg_id, topic }));
    }

    fn unsubscribe(&mut self, client: usize, msg_id: u16, filter: &str) {
        let topic = SubscribeTopic::Name(filter.as_bytes());
        self.send(client, &Message::Unsubscribe { msg_id, topic });
    }

    fn publish(&mut self, topic: &str, ids: &[u32]) -> usize {
        let event = UpstreamEvent::Message {
            delivery: None,
            topic,
            payload: b"21.5",
            qos: MqttQos::Zero,
            retain: false,
            expiry: None,
            subscription_ids: ids,
        };
        self.gateway.handle_upstream(self.now, LineId::MAIN, event, &mut self.fx);
        let sent = self.fx.items().len();
        self.fx.clear();
        sent
    }
}

/// The filters of a client: five exact ones, three with `+`, two with `#`, all its own.
fn filter(client: usize, number: usize) -> String {
    match number {
        0..5 => format!("site/{client}/value/{number}"),
        5..7 => format!("site/{client}/+/state-{number}"),
        7 => format!("+/{client}/alarm"),
        8 => format!("site/{client}/config/#"),
        _ => format!("+/+/{client}/log/#"),
    }
}

/// Clients with all their filters.
fn populated(clients: usize) -> Bench {
    let mut bench = Bench::new();
    for client in 0..clients {
        bench.connect(client);
    }
    for client in 0..clients {
        for number in 0..EACH {
            bench.subscribe(client, number as u16 + 1, &filter(client, number));
        }
    }
    // Beyond the time in which retained messages are expected.
    bench.now = bench.now.after(Duration::from_secs(600));
    bench.gateway.handle_timeout(bench.now, &mut bench.fx);
    bench.fx.clear();
    bench
}

/// CPU time of this thread so far; what else runs on the machine does not count.
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// The best of some runs: what disturbs only adds.
fn best(mut run: impl FnMut() -> f64) -> f64 {
    (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds per message that is for one client by an exact filter.
fn match_cost(clients: usize) -> f64 {
    let mut bench = populated(clients);
    let topics: Vec<(String, [u32; 1])> = (0..10_000)
        .map(|number| {
            let client = number * 7_919 % clients;
            let id = u32::try_from(client * EACH + number % 5 + 1).expect("a small number");
            (filter(client, number % 5), [id])
        })
        .collect();
    best(|| {
        let began = used();
        for (topic, id) in &topics {
            assert_eq!(black_box(bench.publish(topic, id)), 1, "{topic} goes to one client");
        }
        (used() - began).as_nanos() as f64 / topics.len() as f64
    })
}

/// The same for messages that nobody subscribed to, which walk the tree of filters too.
fn miss_cost(clients: usize) -> f64 {
    let mut bench = populated(clients);
    let topics: Vec<String> =
        (0..10_000).map(|number| format!("site/{}/other/{number}", number % clients)).collect();
    best(|| {
        let began = used();
        for topic in &topics {
            assert_eq!(black_box(bench.publish(topic, &[1])), 0);
        }
        (used() - began).as_nanos() as f64 / topics.len() as f64
    })
}

/// Nanoseconds per SUBSCRIBE and its SUBACK, the broker's included: every client all its filters.
fn storm_cost(clients: usize) -> f64 {
    best(|| {
        let mut bench = Bench::new();
        for client in 0..clients {
            bench.connect(client);
        }
        let filters: Vec<(usize, u16, String)> = (0..clients)
            .flat_map(|client| {
                (0..EACH).map(move |number| (client, number as u16 + 1, filter(client, number)))
            })
            .collect();
        let began = used();
        for (client, msg_id, filter) in &filters {
            bench.subscribe(*client, *msg_id, filter);
        }
        let cost = (used() - began).as_nanos() as f64 / filters.len() as f64;
        assert_eq!(bench.asked, filters.len(), "every filter is asked for once");
        cost
    })
}

/// Nanoseconds per SUBSCRIBE and per UNSUBSCRIBE of clients that share one filter.
fn crowd_cost(clients: usize) -> (f64, f64) {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        let mut bench = Bench::new();
        for client in 0..clients {
            bench.connect(client);
        }
        let began = used();
        for client in 0..clients {
            bench.subscribe(client, 1, "all/cmd");
        }
        least.0 = least.0.min((used() - began).as_nanos() as f64 / clients as f64);
        let began = used();
        for client in 0..clients {
            bench.unsubscribe(client, 2, "all/cmd");
        }
        least.1 = least.1.min((used() - began).as_nanos() as f64 / clients as f64);
    }
    least
}

fn main() {
    // `cargo test` runs benchmarks too.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("CPU time, best of {RUNS} runs, ns\n");
    println!("| what                                  | 10 filters | 1,000 | 10,000 | 100,000 |");
    println!("|---------------------------------------|-----------:|------:|-------:|--------:|");
    let row = |what: &str, cost: &dyn Fn(usize) -> f64| {
        let [one, hundred, thousand, many] = [1, 100, 1_000, 10_000].map(cost);
        println!("| {what:37} | {one:10.0} | {hundred:5.0} | {thousand:6.0} | {many:7.0} |");
    };
    row("message for one client", &match_cost);
    row("message for nobody", &miss_cost);
    row("SUBSCRIBE with the broker's answer", &storm_cost);
    println!("\n| clients of one filter                 |         10 | 1,000 | 10,000 | 100,000 |");
    println!("|---------------------------------------|-----------:|------:|-------:|--------:|");
    let crowds =
        [10, 1_000, 10_000, std::env::var("BIG").map_or(20_000, |_| 100_000)].map(crowd_cost);
    row_of("SUBSCRIBE", crowds.map(|(join, _)| join));
    row_of("UNSUBSCRIBE", crowds.map(|(_, leave)| leave));
}

fn row_of(what: &str, [one, thousand, ten, hundred]: [f64; 4]) {
    println!("| {what:37} | {one:10.0} | {thousand:5.0} | {ten:6.0} | {hundred:7.0} |");
}
