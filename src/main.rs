//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mqtt_sn_gateway::cli::main()
}
