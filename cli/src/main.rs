//! `tidegate` for who has cargo. From pip and npm the same runs inside of the host's process.

fn main() {
    std::process::exit(tidegate_cli::run(std::env::args_os().collect()));
}
