//! What is installed, as far as it can be seen without installing it: the unit, man pages, completions, the
//! configuration of the package, and that files which the package and the container are made of are there.
//! `packaging/test-deb.sh` installs the package, `packaging/test-vm.sh` boots a machine with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mqtt_sn_gateway::config::Config;

#[path = "../packaging/pages/write.rs"]
mod write;

/// What `systemd-analyze security` may say of the unit, in tenths: 0 is safe, 100 is not.
const EXPOSURE: &str = "--threshold=25";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; tests/setup.sh installs what the tests need")
    })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The unit in a directory of its own, changed so that what it names is here.
fn unit(directory: &Path, from: &str, to: &str) -> PathBuf {
    let unit = read("packaging/mqtt-sn-gateway.service");
    assert!(unit.contains(from), "{from}");
    let unit = unit.replace(from, to).replace("=/usr/bin/mqtt-sn-gateway", "=/bin/true");
    let lines = unit.lines().filter(|line| !line.starts_with("Documentation="));
    let path = directory.join("mqtt-sn-gateway.service");
    fs::write(&path, lines.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    path
}

/// What systemd finds wrong with a unit.
fn verify(unit: &Path) -> String {
    let output = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit));
    let complaints = text(&output.stderr);
    // Of other units of this machine it speaks, too.
    complaints.lines().filter(|line| line.contains("mqtt-sn-gateway")).collect()
}

fn is_confined(unit: &Path) -> bool {
    let mut command = Command::new("systemd-analyze");
    run(command.args(["security", "--offline=yes", EXPOSURE]).arg(unit)).status.success()
}

#[test]
fn systemd_understands_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(verify(&unit(directory.path(), "Restart=always", "Restart=always")), "");
    let wrong = verify(&unit(directory.path(), "Restart=always", "Restrat=always"));
    assert!(wrong.contains("Restrat"), "{wrong}");
}

#[test]
fn the_unit_may_do_little() {
    let directory = tempfile::tempdir().unwrap();
    assert!(is_confined(&unit(directory.path(), "UMask=0077", "UMask=0077")));
    for without in ["CapabilityBoundingSet=", "SystemCallFilter="] {
        assert!(!is_confined(&unit(directory.path(), without, "#")), "{without}");
    }
}

#[test]
fn the_rule_that_starts_the_gateway_names_the_unit() {
    assert!(read("udev/71-mqtt-sn-gateway-start.rules").contains("+=\"mqtt-sn-gateway.service\""));
}

#[test]
fn every_command_has_a_man_page_and_man_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    write::write(directory.path()).unwrap();
    let pages = directory.path().join("man1");
    let main = fs::read_to_string(pages.join("mqtt-sn-gateway.1")).unwrap();
    let help = run(Command::new(env!("CARGO_BIN_EXE_mqtt-sn-gateway")).arg("--help"));
    let help = text(&help.stdout);
    let commands = help.split("\nCommands:\n").nth(1).expect("a list of commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"simulate"), "{commands:?}");
    for command in &commands {
        assert!(main.contains(&format!("mqtt\\-sn\\-gateway\\-{command}(1)")), "{command}");
        assert!(pages.join(format!("mqtt-sn-gateway-{command}.1")).exists(), "{command}");
    }
    let files: Vec<PathBuf> =
        fs::read_dir(pages).unwrap().map(|file| file.unwrap().path()).collect();
    // And those of commands of commands.
    assert!(files.len() > commands.len());
    for page in files {
        let output = run(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page));
        assert_eq!(text(&output.stdout), "", "{}", page.display());
        let roff = fs::read_to_string(&page).unwrap();
        let headings: Vec<&str> =
            roff.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        assert_eq!(headings[..4], ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]);
        let of_it = |name: &str| page.ends_with(format!("mqtt-sn-gateway-{name}.1"));
        if commands.iter().any(|name| of_it(name)) {
            assert!(headings.contains(&"EXAMPLES"), "{headings:?}");
        }
        assert!(!headings.contains(&"EXTRA") && !roff.contains("\nExample"), "{roff}");
    }
}

#[test]
fn shells_complete_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    write::write(directory.path()).unwrap();
    let completed = |words: &str| {
        let script = format!(
            "source bash/mqtt-sn-gateway.bash; COMP_WORDS=({words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); last=${{COMP_WORDS[COMP_CWORD]}}; \
             _mqtt__sn__gateway mqtt-sn-gateway \"$last\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let output = run(Command::new("bash").args(["-c", &script]).current_dir(directory.path()));
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(completed("mqtt-sn-gateway simu"), "simulate");
    assert_eq!(completed("mqtt-sn-gateway run --res"), "--reset-state");
    assert_eq!(completed("mqtt-sn-gateway sub --framing co"), "cobs");
    for file in ["zsh/_mqtt-sn-gateway", "fish/mqtt-sn-gateway.fish"] {
        let text = fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(text.contains("simulate") && text.contains("reset-state"), "{file}");
    }
}

#[test]
fn the_configuration_of_the_package_is_right() {
    let output = run(&mut Command::new(root().join("packaging/config.sh")));
    let config = Config::from_toml(
        Path::new("/etc/mqtt-sn-gateway/gateway.toml"),
        &text(&output.stdout),
        std::iter::empty(),
    );
    let shown = config.expect("a configuration").to_toml();
    for line in ["state_dir = \"/var/lib/mqtt-sn-gateway\"", "url = \"mqtt://127.0.0.1:1883\""] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    // All else is as in the sample: three lines differ.
    let sample = read("gateway.toml");
    let ours = text(&output.stdout);
    assert_eq!(ours.lines().count(), sample.lines().count());
    let differ = ours.lines().zip(sample.lines()).filter(|(ours, sample)| ours != sample);
    assert_eq!(differ.count(), 3);
}

#[test]
fn what_the_package_is_made_of_is_there() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml");
    let package = manifest["package"].as_table().unwrap();
    let deb = package["metadata"]["deb"].as_table().unwrap();
    let made = ["target/release/", "target/package/"];
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        if made.iter().any(|made| source.starts_with(made)) {
            continue;
        }
        let pattern = root().join(source.trim_end_matches("*.md").trim_end_matches('*'));
        assert!(pattern.exists(), "{source}");
    }
    let version = package["version"].as_str().unwrap();
    let changelog = read("packaging/debian/changelog");
    assert!(
        changelog.starts_with(&format!("mqtt-sn-gateway ({version}-1) ")),
        "packaging/debian/changelog does not begin with version {version}"
    );
    for script in ["postinst", "prerm", "postrm"] {
        let path = format!("packaging/debian/{script}");
        let checked = run(Command::new("sh").arg("-n").arg(root().join(&path)));
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        assert_eq!(read(&path).lines().filter(|line| *line == "#DEBHELPER#").count(), 1, "{path}");
    }
}

/// What the container is built of is enough for cargo to see a whole package, and is not left out.
#[test]
fn what_the_container_is_made_of_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let let_in = read("packaging/Dockerfile.dockerignore");
    let dockerfile = read("packaging/Dockerfile");
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    for copy in copies.filter(|copy| !copy.starts_with("--from=build ")) {
        let words: Vec<&str> = copy.split(' ').collect();
        let (_, sources) = words.split_last().unwrap();
        for source in sources {
            assert!(let_in.lines().any(|line| line == format!("!{source}")), "{source}");
            let copied =
                run(Command::new("cp").arg("-r").arg(root().join(source)).arg(directory.path()));
            assert!(copied.status.success(), "{}", text(&copied.stderr));
        }
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = ["metadata", "--offline", "--no-deps", "--format-version", "1"];
    let output = run(Command::new(cargo).args(metadata).current_dir(directory.path()));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
