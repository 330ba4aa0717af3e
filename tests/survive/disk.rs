//! Trouble with the disk, for real: a file system without space, one that becomes read-only, a limit
//! on the size of files. The gateway says so, promises nothing that it cannot keep, and recovers by
//! itself.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mqtt_sn_gateway::codec::{PublishTopic, Qos, ReturnCode};
use tempfile::TempDir;

use crate::rig::{Device, Gateway, Listener, keep_for, mosquitto, steady_configuration};
use crate::storm::wait;
use crate::support::mosquitto::Mosquitto;

/// A small file system in memory under the gateway's state directory.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, with a line that cannot be missed, where we may not mount.
    fn mount(directory: &Path) -> Option<Self> {
        let path = directory.join("state");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,mode=700", "survive"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { path });
        }
        eprintln!("SKIPPED: no permission to mount a tmpfs; this test has tested nothing");
        None
    }

    /// No octet more.
    fn fill(&self) {
        let mut file = fs::File::create(self.path.join("ballast")).unwrap();
        let block = [0; 4_096];
        while file.write_all(&block).is_ok() {}
        // A page is the least that is given out.
        while file.write_all(&[0]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &option]).arg(&self.path).status();
        assert!(status.unwrap().success(), "mount -o {option}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the gateway may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A gateway with a broker, a device with a topic, and somebody who hears how the disk is.
struct Bench {
    gateway: Gateway,
    broker: Mosquitto,
    device: Device,
    topic: PublishTopic,
    accepted: Vec<String>,
    number: u32,
}

const WORLD: &str = "world";

impl Bench {
    fn new(directory: TempDir) -> Self {
        let broker = mosquitto("");
        let url = format!("mqtt://{}", broker.address());
        keep_for(broker.address(), WORLD, "up/#");
        let gateway = Gateway::start_in(directory, &steady_configuration(&url, "", ""));
        gateway.wait_for_broker(1);
        let mut device = Device::connected(gateway.link(), "meter");
        let topic = device.register("up/meter").unwrap();
        let mut bench = Self { gateway, broker, device, topic, accepted: Vec::new(), number: 0 };
        bench.await_store(&["\"ok\""]);
        for qos in [Qos::One, Qos::Two] {
            assert_eq!(bench.publish(qos), ReturnCode::ACCEPTED);
        }
        bench
    }

    /// Publishes some 200 octets.
    #[track_caller]
    fn publish(&mut self, qos: Qos) -> ReturnCode {
        self.number += 1;
        let payload = format!("{qos:?} {} {}", self.number, "x".repeat(200));
        let code = self.device.publish(self.topic, qos, &payload);
        if code == ReturnCode::ACCEPTED {
            self.accepted.push(payload);
        }
        code
    }

    /// Publishes until there is this answer.
    #[track_caller]
    fn publish_until(&mut self, qos: Qos, code: ReturnCode) {
        for _ in 0..5_000 {
            match self.publish(qos) {
                answer if answer == code => return,
                ReturnCode::ACCEPTED => {}
                // A device that is told to wait does so.
                ReturnCode::CONGESTION => std::thread::sleep(std::time::Duration::from_millis(20)),
                other => panic!("{other:?}"),
            }
        }
        panic!("{qos:?} was never answered {code:?}");
    }

    /// Waits until the status topic says all of these.
    #[track_caller]
    fn await_store(&mut self, parts: &[&str]) -> String {
        let said = Listener::start(self.broker.address(), &["mqtt-sn-gateway/e2e/store"]);
        said.wait(&format!("{parts:?} on the status topic"), |heard| {
            let newest = &heard.last()?.payload;
            parts.iter().all(|part| newest.contains(part)).then(|| newest.clone())
        })
    }

    /// All that was accepted has come to the world.
    #[track_caller]
    fn settle(mut self) {
        let world = Listener::with(self.broker.address(), &["up/#"], &["-c", "-i", WORLD]);
        world.wait("all that was accepted", |heard| {
            let heard: Vec<_> = heard.iter().map(|heard| &heard.payload).collect();
            self.accepted.iter().all(|payload| heard.contains(&payload)).then_some(())
        });
        println!("accepted {} of {}, all delivered", self.accepted.len(), self.number);
        assert!(!self.device.dismissed);
        assert_eq!(self.gateway.terminate(), 0);
    }

    /// The disk is in trouble: with the broker there, QoS 1 goes on; without it nothing is promised,
    /// not even after a restart.
    #[track_caller]
    fn endure(&mut self) {
        // QoS 2 needs memory that survives.
        self.publish_until(Qos::Two, ReturnCode::CONGESTION);
        for _ in 0..20 {
            assert_eq!(self.publish(Qos::One), ReturnCode::ACCEPTED, "the broker has it");
        }
        self.device.ping();
        self.broker.stop();
        self.gateway.log.wait_for(&["lost the connection"]);
        self.publish_until(Qos::One, ReturnCode::CONGESTION);
        self.publish_until(Qos::Two, ReturnCode::CONGESTION);
        self.gateway.kill();
        self.gateway.restart_and_wait();
        self.device.ping();
        assert!(!self.device.dismissed, "what was written before is still known");
        self.publish_until(Qos::One, ReturnCode::CONGESTION);
    }

    /// The trouble is over: it works as before, and it is written down.
    #[track_caller]
    fn recover(&mut self) {
        for qos in [Qos::One, Qos::Two] {
            self.publish_until(qos, ReturnCode::ACCEPTED);
        }
        for _ in 0..20 {
            assert_eq!(self.publish(Qos::Two), ReturnCode::ACCEPTED);
        }
        self.gateway.kill();
        self.gateway.restart_and_wait();
        self.broker.restart();
        self.gateway.wait_for_broker(1);
        self.await_store(&["\"ok\""]);
    }
}

#[test]
fn a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    let mut bench = Bench::new(directory);
    disk.fill();
    bench.publish_until(Qos::Two, ReturnCode::CONGESTION);
    let status = bench.await_store(&["\"failed\"", "\"full\""]);
    let line = bench.gateway.log.wait_for(&["state/journal", "space"]);
    println!("{status}\n{line}");
    bench.endure();
    disk.free();
    bench.recover();
    bench.settle();
}

#[test]
fn a_disk_that_becomes_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    let mut bench = Bench::new(directory);
    // A file that is open for writing keeps the file system from becoming read-only in order; what a
    // kernel does to a disk with errors cannot be had here. So it is done while nobody looks.
    bench.gateway.kill();
    disk.remount("ro");
    bench.gateway.restart();
    let line = bench.gateway.log.wait_for(&["state", "ead-only"]);
    println!("{line}");
    if !line.starts_with("error: ") {
        bench.await_store(&["\"failed\"", "\"read_only\""]);
        bench.endure();
        disk.remount("rw");
    } else {
        // To refuse to start is an answer too, if it says why.
        assert_eq!(bench.gateway.wait_for_end(), 1);
        disk.remount("rw");
        bench.broker.stop();
        bench.gateway.restart_and_wait();
    }
    bench.recover();
    bench.settle();
}

/// `ulimit -f`, or a quota: it is the file that must not grow. It needs no privileges.
#[test]
fn a_limit_on_the_size_of_files() {
    if Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no prlimit; this test has tested nothing");
        return;
    }
    let mut bench = Bench::new(tempfile::tempdir().unwrap());
    let id = bench.gateway.id().to_string();
    let limit = |size: &str| {
        let limit = format!("--fsize={size}:");
        let status = Command::new("prlimit").args(["--pid", &id, &limit]).status();
        assert!(status.unwrap().success(), "prlimit {limit}");
    };
    limit("16");
    // The signal that comes with it (SIGXFSZ) ends a program that does not care for it.
    bench.publish_until(Qos::Two, ReturnCode::CONGESTION);
    assert!(bench.gateway.is_running(), "SIGXFSZ is no reason to end");
    for _ in 0..20 {
        assert_eq!(bench.publish(Qos::One), ReturnCode::ACCEPTED, "the broker has it");
    }
    let status = bench.await_store(&["\"failed\""]);
    println!("{status}");
    limit("unlimited");
    bench.publish_until(Qos::Two, ReturnCode::ACCEPTED);
    bench.await_store(&["\"ok\""]);
    bench.broker.stop();
    bench.gateway.log.wait_for(&["lost the connection"]);
    bench.recover();
    bench.settle();
}

/// Nobody watches the disk, and the gateway recovers without being asked for anything.
#[test]
fn it_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    let mut bench = Bench::new(directory);
    disk.fill();
    bench.publish_until(Qos::Two, ReturnCode::CONGESTION);
    bench.await_store(&["\"failed\""]);
    disk.free();
    bench.await_store(&["\"ok\""]);
    wait("a line about it", || bench.gateway.log.all().iter().any(|line| line.contains("again")));
    bench.settle();
}
