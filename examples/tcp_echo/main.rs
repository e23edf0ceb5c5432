//! A TCP echo server on one thread and one ring.
//!
//! It shows how a server is made of completions: a multishot accept and multishot receives that
//! take their buffers from a buffer ring, sends in order, and what it takes to survive everything
//! that peers and the system can do to it: resets, half-closed and idle peers, peers that do not
//! read, too few buffers, too few descriptors, signals. Start reading in `server.rs`.
//!
//! ```sh
//! cargo run --release --example tcp_echo                       # then: nc 127.0.0.1 7007
//! cargo run --release --example tcp_echo -- --demo             # brings its own clients
//! cargo run --release --example tcp_echo -- --demo --buffers 4 --buffer-size 64
//! ```
//!
//! It needs Linux 6.0.

#![expect(clippy::print_stdout, reason = "a program that talks to people")]
#![expect(clippy::print_stderr, reason = "errors are for people too")]

mod accept;
mod buffers;
mod connection;
mod demo;
mod entries;
mod server;
mod signals;
mod totals;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::demo::Plan;
use crate::server::{Server, Settings};
use crate::signals::Signals;

/// Sends back whatever it receives.
#[derive(Parser)]
struct Args {
    /// The port to listen on, 7007 unless given; 0 for any that is free, as the demo takes.
    #[arg(long)]
    port: Option<u16>,

    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,

    /// How many connections there may be before it stops accepting more.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,

    /// How many buffers all connections share; a power of two up to 32768.
    #[arg(long, default_value_t = 1024, value_parser = power_of_two)]
    buffers: u16,

    /// The size of a buffer in bytes.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    buffer_size: u32,

    /// Cut peers that take nothing for this many seconds while they hold all the buffers.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    stall: u64,

    /// Start clients, check what comes back to them, print how fast it was, and stop.
    #[arg(long)]
    demo: bool,

    /// Demo: how many clients.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,

    /// Demo: how many messages each client sends.
    #[arg(long, default_value_t = 2000)]
    messages: u32,

    /// Demo: the size of a message in bytes, up to what sockets hold.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    message_size: u32,

    /// Demo: the most seconds that it takes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

fn power_of_two(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(number) if number.is_power_of_two() => Ok(number),
        _ => Err("not a power of two from 1 to 32768".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcp_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Before any thread starts, so that all of them leave the signals to the server.
    let signals = Signals::new()?;
    let port = args.port.unwrap_or(if args.demo { 0 } else { 7007 });
    let settings = Settings {
        address: SocketAddr::new(args.address, port),
        connections: args.connections as usize,
        buffers: args.buffers,
        buffer_size: args.buffer_size,
        stall: Duration::from_secs(args.stall),
    };
    let server = Server::new(settings, signals)?;
    let address = server.address()?;
    println!("listening on {address}");
    let demo = args.demo.then(|| {
        let plan = Plan {
            clients: args.clients,
            messages: args.messages,
            message_size: args.message_size,
            time: Duration::from_secs(args.seconds),
        };
        demo::start(plan, address)
    });
    let totals = server.run()?;
    println!("{totals}");
    if let Some(demo) = demo {
        let report = demo.join().map_err(|_| "the demo's thread panicked")??;
        println!("{report}");
    }
    Ok(())
}
