//! One life of the adapter: from finding it to its end, or that of BlueZ.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use btleplug::api::{Central, CentralEvent, CentralState, ScanFilter};
use btleplug::platform::{Adapter, Manager, Peripheral, PeripheralId};
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::adapter::{ANSWER, answer, find};
use super::device::{Attendant, Order, Report};
use super::signs::{Sign, Undecided, describe, mac_of, sign};
use super::trouble::Trouble;
use super::{Event, Shared};
use crate::ops::RateLimit;
use crate::transport::ble::known::Known;
use crate::transport::ble::lane::Lane;
use crate::transport::ble::roster::{Roster, Step};
use crate::transport::ble::settings::{Advert, Mac, PermitJoin};

/// How often it is looked whether BlueZ is still there: its streams stay silent when it is gone.
const LOOK: Duration = Duration::from_secs(5);
/// How long a device may take to be connected that was heard, and one that was not: of such one, the scan
/// goes on and reports each once in ten seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const BLIND_PATIENCE: Duration = Duration::from_secs(15);
/// How often names are asked for that have not come.
const NAMES: Duration = Duration::from_secs(1);
/// Tasks of devices that are away, each with a stream; the bus allows some hundred.
const TASKS: usize = 100;
/// How long devices may take to be disconnected at the end.
const GOODBYE: Duration = Duration::from_millis(600);

/// Lines about one device.
const LINES: u32 = 3;
const LINES_INTERVAL: Duration = Duration::from_secs(600);

/// What is known of a device that may connect.
struct Device {
    peripheral: Peripheral,
    advert: Advert,
    task: Option<Task>,
    /// Connections that it has had.
    visits: u64,
}

struct Task {
    orders: mpsc::Sender<Order>,
    handle: JoinHandle<()>,
    lane: Option<Arc<Lane>>,
    used: Instant,
}

/// An adapter at work.
pub(super) struct Session<'a> {
    shared: &'a Arc<Shared>,
    known: &'a mut Known,
    roster: Roster,
    devices: HashMap<Mac, Device>,
    undecided: Undecided,
    scanning: bool,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    lines: RateLimit<Mac>,
    refusals: RateLimit<Mac>,
}

impl<'a> Session<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, known: &'a mut Known) -> Self {
        let settings = &shared.settings;
        Self {
            shared,
            known,
            roster: Roster::new(settings.max_connections, settings.slot_time),
            devices: HashMap::new(),
            undecided: Undecided::default(),
            scanning: true,
            reports: mpsc::channel(64),
            lines: RateLimit::new(LINES, LINES_INTERVAL, 256),
            refusals: RateLimit::new(1, LINES_INTERVAL, 256),
        }
    }

    /// Until it is asked to stop, or until there is trouble: whether it had worked before, and what it is.
    pub(super) async fn run(
        mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), (bool, Trouble)> {
        let settings = &self.shared.settings;
        let begin = async {
            let manager = answer("answer", ANSWER, Manager::new()).await?;
            let (found, claim) = find(&manager, settings.adapter.as_deref()).await?;
            // First the events, so that none is missed.
            let events = answer("tell events", ANSWER, found.adapter.events()).await?;
            begin_scan(&found.adapter, &found.name, self.shared).await?;
            Ok((manager, found, claim, events))
        };
        let (_manager, found, _claim, mut events) = tokio::select! {
            begun = begin => begun.map_err(|trouble| (false, trouble))?,
            _ = stop.changed() => return Ok(()),
        };
        self.say_hello(&found.to_string());
        let adapter = found.adapter;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        let mut names = interval(NAMES);
        names.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.shared.now();
            while let Some(step) = self.next_step() {
                self.take(step);
            }
            self.set_scan(&adapter, &found.name).await.map_err(|trouble| (true, trouble))?;
            let next = self.roster.next_timeout(now).map(|at| at.since(now));
            // What has just become due is done in the next turn.
            let next = next.map(|after| after.max(Duration::from_millis(10)));
            let trouble = tokio::select! {
                _ = stop.changed() => break,
                event = events.next() => match event {
                    Some(CentralEvent::StateUpdate(CentralState::PoweredOff)) => {
                        Some(Trouble::Off { adapter: found.name.clone() })
                    }
                    Some(event) => {
                        self.on_event(&adapter, event).await;
                        None
                    }
                    None => Some(Trouble::NoBluez),
                },
                report = self.reports.1.recv() => match report.and_then(|it| self.on_report(it)) {
                    // BlueZ may be gone.
                    Some(()) => check(&adapter, &found.name).await.err(),
                    None => None,
                },
                () = after(next) => None,
                // However much else happens.
                _ = names.tick(), if !self.undecided.is_empty() => {
                    for (mac, id) in self.undecided.due(now, settings.needs_names()) {
                        self.consider(&adapter, mac, &id, false).await;
                    }
                    None
                }
                _ = look.tick() => {
                    self.keep_tasks().await;
                    self.look(&adapter, &found.name).await.err()
                }
            };
            if let Some(trouble) = trouble {
                return Err((true, trouble));
            }
        }
        self.say_goodbye().await;
        let _ = timeout(GOODBYE, adapter.stop_scan()).await;
        Ok(())
    }

    /// Scans, but while a connection is made; whose task sees the order for it only after this.
    async fn set_scan(&mut self, adapter: &Adapter, name: &str) -> Result<(), Trouble> {
        let wanted = !self.roster.is_connecting();
        if self.scanning && !wanted {
            // It is only slower if this fails.
            let _ = answer("stop the scan", ANSWER, adapter.stop_scan()).await;
            self.scanning = false;
        }
        if wanted && !self.scanning {
            begin_scan(adapter, name, self.shared).await?;
            self.scanning = true;
        }
        Ok(())
    }

    /// Whether all is as it was.
    async fn look(&self, adapter: &Adapter, name: &str) -> Result<(), Trouble> {
        if !self.scanning {
            return check(adapter, name).await;
        }
        // A scan that has ended by itself is the only sign of a BlueZ that has been started again.
        match begin_scan(adapter, name, self.shared).await? {
            true => Err(Trouble::Restarted),
            false => Ok(()),
        }
    }

    fn say_hello(&self, adapter: &str) {
        let Shared { name, settings, .. } = &**self.shared;
        self.shared.counts.up.store(true, Ordering::Relaxed);
        let service = settings.service;
        info!(
            "listening for MQTT-SN on {name}, adapter {adapter}, profile {}, service {}",
            service.profile, service.uuid
        );
        let known = self.known.len();
        match settings.permit_join {
            PermitJoin::Always => {}
            PermitJoin::Never if known == 0 => warn!(
                "{name}: permit_join is \"never\" and no device was ever here, so none can connect; let \
                 some in by the API, or set permit_join = \"10m\" under [[ble]] to do so after a start"
            ),
            PermitJoin::Never => info!("{name}: the {known} devices that were here may connect"),
            PermitJoin::For(time) => info!(
                "{name}: devices may join for {} s after the start; {known} were here before",
                time.as_secs()
            ),
        }
    }

    fn next_step(&mut self) -> Option<Step> {
        let Self { roster, devices, shared, .. } = self;
        roster.next(shared.now(), &|mac| {
            let lane = devices.get(&mac)?.task.as_ref()?.lane.as_ref()?;
            Some(lane.quiet())
        })
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect(mac) | Step::Try(mac) => {
                let patience = if step == Step::Try(mac) { BLIND_PATIENCE } else { PATIENCE };
                let Some(device) = self.devices.get_mut(&mac) else {
                    return self.roster.failed(self.shared.now(), mac);
                };
                let rssi = device.advert.rssi;
                let task = device.task.get_or_insert_with(|| {
                    let (sender, orders) = mpsc::channel(8);
                    let attendant = Attendant {
                        shared: Arc::clone(self.shared),
                        device: mac,
                        peripheral: device.peripheral.clone(),
                        reports: self.reports.0.clone(),
                        orders,
                        notes: None,
                    };
                    let handle = tokio::spawn(attendant.run());
                    Task { orders: sender, handle, lane: None, used: Instant::now() }
                });
                task.used = Instant::now();
                // It is idle, so there is room; if it is not there any more, that is seen later.
                let _ = task.orders.try_send(Order::Connect { rssi, patience });
            }
            Step::Release(mac) => {
                debug!("{}: device {mac} is disconnected because others wait", self.shared.name);
                self.order(mac, Order::Release);
            }
        }
    }

    fn order(&self, mac: Mac, order: Order) {
        if let Some(task) = self.devices.get(&mac).and_then(|device| device.task.as_ref()) {
            // If it has so many already, it is on its way.
            let _ = task.orders.try_send(order);
        }
    }

    async fn on_event(&mut self, adapter: &Adapter, event: CentralEvent) {
        match sign(event) {
            Some(Sign::Gone(id)) => {
                if let Some(mac) = mac_of(&id) {
                    self.order(mac, Order::Check);
                }
            }
            Some(Sign::Heard(id, rssi)) => {
                let Some(mac) = mac_of(&id) else { return };
                let now = self.shared.now();
                if let Some(device) = self.devices.get_mut(&mac) {
                    device.advert.rssi = rssi.or(device.advert.rssi);
                    self.roster.heard(now, mac);
                } else if self.undecided.heard(now, mac, &id, false) {
                    self.consider(adapter, mac, &id, true).await;
                }
            }
            Some(Sign::Connected(id)) => {
                let Some(mac) = mac_of(&id) else { return };
                if self.devices.contains_key(&mac) {
                    self.roster.heard(self.shared.now(), mac);
                } else {
                    // This is told once, and while it is connected it is not heard: whoever was here before us left
                    // it so.
                    self.consider(adapter, mac, &id, true).await;
                }
            }
            Some(Sign::Found(id)) => {
                let Some(mac) = mac_of(&id) else { return };
                if self.devices.contains_key(&mac)
                    || self.undecided.heard(self.shared.now(), mac, &id, true)
                {
                    self.consider(adapter, mac, &id, false).await;
                }
            }
            None => {}
        }
    }

    /// Whether a device may connect, and can be heard, if that is not known.
    async fn consider(&mut self, adapter: &Adapter, mac: Mac, id: &PeripheralId, heard: bool) {
        if !self.shared.settings.may_admit(mac) {
            return self.undecided.remove(mac);
        }
        let Some((peripheral, advert, is_there)) = describe(adapter, id).await else { return };
        let heard = heard || is_there;
        if let Some(device) = self.devices.get_mut(&mac) {
            if heard {
                // Its services may be forgotten for now.
                let name = device.advert.name.take();
                device.advert = Advert { name: advert.name.or(name), ..advert };
                self.roster.heard(self.shared.now(), mac);
            }
            return;
        }
        if !heard {
            if self.shared.settings.admits(mac, &advert) {
                // All that it takes is the next sign of it.
                self.undecided.ask_at_once(mac);
            }
            return;
        }
        let Shared { name, settings, .. } = &**self.shared;
        if !settings.admits(mac, &advert) {
            return;
        }
        let now = self.shared.now();
        let joining = self.shared.window.left().is_some();
        if !self.known.lets_in(joining, mac) {
            if let Some(more) = self.refusals.allow(Instant::now(), mac) {
                info!(
                    "{name}: device {mac}{} wants to join, but permit_join under [[ble]] does not let it \
                     now{more}",
                    called(&advert)
                );
            }
            return;
        }
        self.undecided.remove(mac);
        self.roster.heard(now, mac);
        // Those that it has forgotten for this one.
        let roster = &self.roster;
        self.devices.retain(|mac, _| roster.knows(*mac));
        if roster.knows(mac) {
            self.devices.insert(mac, Device { peripheral, advert, task: None, visits: 0 });
        }
    }

    /// Gives whether BlueZ should be looked at.
    fn on_report(&mut self, report: Report) -> Option<()> {
        let now = self.shared.now();
        let name = &self.shared.name;
        let mac = match report {
            Report::Up(mac, ..) | Report::Failed(mac, _) | Report::Ended(mac, _) => mac,
        };
        let device = self.devices.get_mut(&mac)?;
        let called = called(&device.advert);
        match report {
            Report::Up(mac, lane, link) => {
                device.visits += 1;
                self.roster.connected(now, mac);
                if let Some(task) = &mut device.task {
                    task.lane = Some(lane);
                }
                self.known.remember(mac, device.advert.name.as_deref().unwrap_or_default());
                self.shared.counts.known.store(self.known.len() as u64, Ordering::Relaxed);
                let (write, listen) = (link.channel.write.uuid, link.channel.listen.uuid);
                let mtu = link.mtu;
                if device.visits == 1
                    && let Some(more) = self.lines.allow(Instant::now(), mac)
                {
                    let rssi = device.advert.rssi;
                    let rssi = rssi.map_or(String::new(), |rssi| format!(", RSSI {rssi} dBm"));
                    info!(
                        "{name}: device {mac}{called} is connected, MTU {mtu}{rssi}; written to \
                         {write}, listened to on {listen}{more}"
                    );
                } else {
                    debug!("{name}: device {mac}{called} is connected, MTU {mtu}");
                }
                None
            }
            Report::Failed(mac, why) => {
                self.roster.failed(now, mac);
                let Some(why) = why else {
                    debug!("{name}: device {mac}{called} gives way to others");
                    return None;
                };
                if let Some(more) = self.lines.allow(Instant::now(), mac) {
                    warn!("{name}: device {mac}{called}: {why}{more}");
                }
                Some(())
            }
            Report::Ended(mac, why) => {
                let lane = device.task.as_mut().and_then(|task| task.lane.take());
                let sleeps = lane.is_some_and(|lane| lane.sleeps());
                self.roster.ended(now, mac, sleeps);
                match why.filter(|_| !sleeps) {
                    Some(why) => {
                        if let Some(more) = self.lines.allow(Instant::now(), mac) {
                            info!("{name}: device {mac}{called} is disconnected: {why}{more}");
                        }
                        Some(())
                    }
                    None => {
                        debug!("{name}: device {mac}{called} is disconnected");
                        None
                    }
                }
            }
        }
    }

    /// Ends tasks that have ended by a panic, and those above the limit that were used longest ago.
    async fn keep_tasks(&mut self) {
        let now = self.shared.now();
        for (mac, device) in &mut self.devices {
            if device.task.as_ref().is_some_and(|task| task.handle.is_finished()) {
                device.task = None;
                self.roster.failed(now, *mac);
                // The loop may think that it is connected.
                let _ = self.shared.events.send(Event::Down(*mac)).await;
            }
        }
        let idle = self.devices.iter().filter_map(|(mac, device)| {
            let task = device.task.as_ref().filter(|task| task.lane.is_none())?;
            Some((task.used, *mac))
        });
        let mut idle: Vec<(Instant, Mac)> = idle.collect();
        idle.sort_unstable();
        for (_, mac) in idle.iter().rev().skip(TASKS) {
            if let Some(device) = self.devices.get_mut(mac) {
                device.task = None;
            }
        }
    }

    /// Disconnects everybody: nobody would listen to them.
    async fn say_goodbye(mut self) {
        let mut waiting = 0;
        for (mac, device) in &self.devices {
            if device.task.as_ref().is_some_and(|task| task.lane.is_some()) {
                self.order(*mac, Order::Release);
                waiting += 1;
            }
        }
        let all = async {
            while waiting > 0 {
                match self.reports.1.recv().await {
                    Some(Report::Ended(..)) => waiting -= 1,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = timeout(GOODBYE, all).await;
    }
}

/// Whether BlueZ and the adapter are still there, and it is switched on.
async fn check(adapter: &Adapter, name: &str) -> Result<(), Trouble> {
    let state = answer("say how the adapter is", ANSWER, adapter.adapter_state()).await?;
    if state == CentralState::PoweredOff {
        // So it looks, too, when there is nobody to ask.
        answer("describe the adapter", ANSWER, adapter.adapter_info()).await?;
        return Err(Trouble::Off { adapter: name.to_owned() });
    }
    Ok(())
}

/// Starts to scan, if that is not under way; whether it was not.
async fn begin_scan(adapter: &Adapter, name: &str, shared: &Shared) -> Result<bool, Trouble> {
    // The library would switch the adapter on, against whoever has switched it off.
    check(adapter, name).await?;
    let filter = ScanFilter { services: shared.settings.advertised() };
    let start = async {
        match adapter.start_scan(filter).await {
            Err(error) if format!("{error:?}").contains("org.bluez.Error.InProgress") => Ok(false),
            outcome => outcome.map(|()| true),
        }
    };
    answer("scan", ANSWER, start).await
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

fn called(advert: &Advert) -> String {
    advert.name.as_ref().map_or(String::new(), |name| format!(" \"{}\"", name.escape_debug()))
}
