//! Writes man pages and completions into a directory:
//!
//! ```sh
//! cargo run --example pages -- target/pages
//! ```

use std::path::Path;
use std::process::ExitCode;

mod write;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: pages DIRECTORY");
        return ExitCode::from(2);
    };
    match write::write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&directory).display());
            ExitCode::FAILURE
        }
    }
}
